"""Measurements in files that were written at different times: of `Comparison.save`, bench and profile."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinytorch.measure.comparison import Comparison
from tinytorch.measure.measurement import Measurement
from tinytorch.runtime.files import UNREADABLE


def read(path: str | Path) -> Comparison:
    """Return the measurements in a file, by names that tell what was measured.

    Raises ValueError if the file holds none, OSError if it cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text())
        found = {name: Measurement.from_dict(name, one) for name, one in _named(content)}
    except UNREADABLE as error:
        raise ValueError(f"{path} holds no measurements of ours: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no measurements of ours")
    return Comparison(found)


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every measurement in a file, whichever of ours it is."""
    for one in content.get("measurements", ()):  # a comparison
        yield str(one["name"]), one
    for ladder in content.get("ladders", ()):  # a bench
        shape = " x ".join(map(str, ladder["shape"]))
        for rung in ladder["rungs"]:
            yield f"{ladder['operation']} {shape}, {rung['name']}", rung
    for one in content.get("digits", ()):
        yield f"digits, {one['name']}", one["batch"]
    if "measurement" in content:  # a profile
        yield str(content["name"]), content["measurement"]
