"""Fast machine-learning kernels written in Python, measured honestly.

Importing the package costs next to nothing: what needs a compiler is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "get_num_threads", "set_num_threads"]

if TYPE_CHECKING:
    from tinytorch.runtime.threads import get_num_threads, set_num_threads


def __getattr__(name: str) -> Any:
    """Resolve the public functions and packages on first use (PEP 562)."""
    if name in ("get_num_threads", "set_num_threads"):
        from tinytorch.runtime import threads

        return getattr(threads, name)
    if name in ("compress", "core", "gpu", "measure", "ops", "torch"):
        return importlib.import_module(f"tinytorch.{name}")
    raise AttributeError(f"module 'tinytorch' has no attribute {name!r}")
