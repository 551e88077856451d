"""Ways to compress one weight (in, out): each makes a packed weight that is less to move or to multiply."""

from numbers import Real
from typing import Any

import numpy as np

from tinytorch.ops.linear import pack_weight
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.ops.weights.blocks import pack_blocks
from tinytorch.ops.weights.factors import FactoredWeight
from tinytorch.ops.weights.sparse import pack_sparse
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import FLOAT32, FLOAT64, FLOATS, Array, convert
from tinytorch.simd.sparse import BLOCK_COLUMNS, BLOCK_ROWS

#: What zeros come in.
UNSTRUCTURED, BLOCKS = "unstructured", "blocks"


def pruned(weight: Array, sparsity: float, structure: str = BLOCKS) -> PackedWeight:
    """Set the share `sparsity` of a weight to zero, what is smallest, and keep the rest alone.

    "unstructured" takes single numbers by their magnitude, "blocks" blocks of 4 x 16 by the root of their sum
    of squares: what a register tile multiplies at a time.

    Raises ValueError for a sparsity outside 0 to 1, another structure, and NaN.

    >>> pruned(np.ones((8, 16), np.float32), 0.5).nbytes
    280
    """
    if not isinstance(sparsity, Real) or not 0 <= float(sparsity) <= 1:
        raise ValueError(f"sparsity must be a share from 0 to 1, not {sparsity!r}")
    if not isinstance(structure, str) or structure not in (UNSTRUCTURED, BLOCKS):
        raise ValueError(f"structure must be {BLOCKS!r} or {UNSTRUCTURED!r}, not {structure!r:.60}")
    matrix = _finite(weight)
    if structure == UNSTRUCTURED:
        kept = matrix.reshape(-1).copy()
        kept[_smallest(np.abs(kept), sparsity)] = 0
        return pack_sparse(kept.reshape(matrix.shape))
    rows, columns = (-(-n // size) for n, size in zip(matrix.shape, (BLOCK_ROWS, BLOCK_COLUMNS), strict=True))
    filled = np.zeros((rows * BLOCK_ROWS, columns * BLOCK_COLUMNS), matrix.dtype)
    filled[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = filled.reshape(rows, BLOCK_ROWS, columns, BLOCK_COLUMNS)
    sizes = np.square(blocks, dtype=np.float64).sum(axis=(1, 3)).reshape(-1)
    gone = np.zeros(sizes.size, bool)
    gone[_smallest(sizes, sparsity)] = True
    blocks *= ~gone.reshape(rows, 1, columns, 1)
    return pack_blocks(filled[: matrix.shape[0], : matrix.shape[1]])


def _smallest(sizes: Array, share: float) -> Array:
    """Return where the smallest lie: as many as make up the share."""
    count = round(share * sizes.size)
    return np.argsort(sizes, kind="stable")[:count]


def factored(
    weight: Array,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    dtype: Any = None,
) -> FactoredWeight:
    """Replace a weight by the product of two of the given rank: the nearest there is, by the SVD.

    Eckart and Young (1936). The rank is given, or the least that keeps the share `energy` of the sum of
    squared singular values, or that has a relative `error` (in the Frobenius norm) of at most so much: error
    = sqrt(1 - energy). Both factors are packed as `dtype`.

    Raises ValueError unless exactly one of the three is given, and is in range.

    >>> factored(np.outer(np.arange(8.0), np.arange(4.0)), error=0.01).rank
    1
    """
    check_thinness(rank, energy, error)
    matrix = _finite(weight).astype(FLOAT64)
    if rank is not None and rank > min(matrix.shape):
        raise ValueError(f"rank must be at most {min(matrix.shape)}, not {rank}")
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    if rank is None:
        rest = 1 - energy if energy is not None else float(error or 0) ** 2
        squares = np.square(values)
        lost = np.concatenate((np.cumsum(squares[::-1])[::-1], [0.0]))  # of each rank, at 0 all of it
        rank = int(np.argmax(lost <= rest * lost[0] * (1 + 1e-12)))
    roots = np.sqrt(values[:rank])  # shared between both, so that neither has larger numbers
    kept = weight.dtype if weight.dtype in FLOATS else FLOAT32
    first, second = (convert(part, kept) for part in (left[:, :rank] * roots, roots[:, None] * right[:rank]))
    return FactoredWeight.of(pack_weight(first, dtype), pack_weight(second, dtype))


def check_thinness(rank: Any, energy: Any, error: Any) -> None:
    """Raise ValueError unless exactly one is given, and is in range."""
    if sum(choice is not None for choice in (rank, energy, error)) != 1:
        raise ValueError("give one of rank, energy and error")
    if rank is not None:
        integer("rank", rank, 1)
    for name, share in (("energy", energy), ("error", error)):
        if share is not None and not (isinstance(share, Real) and 0 <= float(share) <= 1):
            raise ValueError(f"{name} must be from 0 to 1, not {share!r}")


def _finite(weight: Array) -> Array:
    if weight.dtype not in (FLOAT32, FLOAT64):
        weight = weight.astype(FLOAT32)
    if not np.isfinite(weight).all():
        raise ValueError("weight holds NaN or infinity: there is no telling which numbers matter least")
    return weight


def kept_as(weight: PackedWeight) -> str:
    """Say in a few words how a weight is kept.

    >>> kept_as(pruned(np.ones((8, 16), np.float32), 0.5))
    'blocks, 50% zero'
    """
    if isinstance(weight, FactoredWeight):
        return f"rank {weight.rank}, {kept_as(weight.first)}"
    density = getattr(weight, "density", None)
    if density is not None:
        return f"{weight.kind}, {1 - density:.0%} zero"
    return str(weight.dtype) if weight.kind == "float" else weight.kind.replace("-", " ")
