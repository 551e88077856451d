"""What keeps a submission's process to itself: layers, as many as the system has."""

from typing import Any


def confine(plan: dict[str, Any]) -> list[str]:
    """Confine this process for good, and return the layers that are in force."""
    return []
