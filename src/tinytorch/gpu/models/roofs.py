"""The least time that work takes on a GPU: arithmetic, memory and launches each ask for some of it.

Arithmetic and memory go on at the same time, so the slower of the two counts; launches are between kernels
and come on top. (Williams, Waterman and Patterson, Roofline, 2009.)
"""

from dataclasses import dataclass
from typing import Literal

from tinytorch.gpu.arch.products import Product
from tinytorch.runtime.errors import InputError

#: What starting a kernel costs where nothing else is told: assumed, of the size that is commonly measured.
LAUNCH_SECONDS = 4e-6


@dataclass(frozen=True)
class Bound:
    """The seconds that each part of the work takes at least."""

    compute_seconds: float
    memory_seconds: float
    launch_seconds: float

    @property
    def seconds(self) -> float:
        """The least time."""
        return max(self.compute_seconds, self.memory_seconds) + self.launch_seconds

    @property
    def by(self) -> Literal["compute", "memory", "launches"]:
        """What most of the time goes to."""
        if self.launch_seconds > max(self.compute_seconds, self.memory_seconds):
            return "launches"
        return "compute" if self.compute_seconds > self.memory_seconds else "memory"


def bound(
    product: Product,
    dtype: str,
    operations: float,
    nbytes: float,
    launches: int = 1,
    launch_seconds: float = LAUNCH_SECONDS,
) -> Bound:
    """Return the least time of `operations` of a dtype that move `nbytes` in so many launches.

    Raises InputError for negative numbers, or where the product has no peak or bandwidth.

    >>> from tinytorch.gpu.arch import product
    >>> found = bound(product("H100 SXM"), "bf16", 2 * 4096**3, 3 * 2 * 4096**2)
    >>> round(found.seconds * 1e6), found.by
    (143, 'compute')
    """
    if min(operations, nbytes, launches, launch_seconds) < 0:
        raise InputError("operations, bytes, launches and their time cannot be negative")
    if product.bandwidth is None:
        raise InputError(f"the bandwidth of {product.name} is not known: give a product by its name")
    return Bound(operations / product.peak(dtype), nbytes / product.bandwidth, launches * launch_seconds)
