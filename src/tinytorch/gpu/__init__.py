"""GPU kernels analysed exactly, without a GPU: run lane by lane, and counted. Imports with NumPy alone."""

from typing import TYPE_CHECKING, Any

__all__ = ["analyze"]

if TYPE_CHECKING:
    from tinytorch.gpu.analysis.analyze import analyze


def __getattr__(name: str) -> Any:
    """Resolve `analyze` on first use (PEP 562): its parts are imported then."""
    if name == "analyze":
        from tinytorch.gpu.analysis.analyze import analyze

        return analyze
    raise AttributeError(f"module 'tinytorch.gpu' has no attribute {name!r}")
