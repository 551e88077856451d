"""Address streams of the textbook's access patterns, to be judged as those of real kernels are.

One thread touches one element, and 32 consecutive threads are a warp: a pattern says which element the thread
of a number touches, and from that come the addresses of every warp's request.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.arch import CAPABILITIES
from tinytorch.gpu.models.sample import spread
from tinytorch.runtime.errors import InputError

PATTERNS = ("row_major", "column_major", "strided", "random")
ITEM_SIZES = (1, 2, 4, 8, 16)
#: Above so many warps some stand for all: 2^19 addresses, 4 MiB.
MOST_WARPS = 16384
#: Bytes of shared memory of the SMs that have most of it.
MOST_SHARED = max(one.shared_per_sm for one in CAPABILITIES.values())


@dataclass(frozen=True)
class Stream:
    """Requests of warps: `addresses` in bytes (n, 32) int64, `active` (n, 32) bool, `width` bytes a lane."""

    addresses: np.ndarray
    active: np.ndarray
    width: int
    warps: int  # that there are; those given stand for them
    note: str  # how it was made, in words

    @property
    def sampled(self) -> bool:
        """Whether not all warps are given."""
        return len(self.addresses) < self.warps


def global_stream(
    pattern: str,
    data_shape: Sequence[int],
    itemsize: int = 4,
    stride: int = 2,
    seed: int = 0,
    most_warps: int = MOST_WARPS,
) -> Stream:
    """Return the requests of warps whose threads go through an array of `data_shape` in global memory.

    The array lies in C order from an aligned address. `row_major`: consecutive threads take consecutive
    elements. `column_major`: they walk down the columns (the first axis first; a vector has but one).
    `strided`: thread t takes element t * `stride`, up to the array's end. `random`: the threads take the
    elements in a random order, that of `seed`. The last warp may be partial. Of more than `most_warps` warps,
    some from the first to the last are given. Raises InputError for what cannot be.

    >>> stream = global_stream("column_major", (64, 100))
    >>> stream.addresses.shape, stream.addresses[0, :3].tolist()
    ((200, 32), [0, 400, 800])
    """
    elements = _elements(data_shape, itemsize)
    if pattern not in PATTERNS:
        raise InputError(f"there is no pattern {pattern!r}: the patterns are {', '.join(PATTERNS)}")
    if seed < 0:
        raise InputError(f"a seed is 0 or more, not {seed}")
    if stride < 1:
        raise InputError(f"a stride is 1 element or more, not {stride}")
    if most_warps < 1:
        raise InputError(f"the limit is 1 warp or more, not {most_warps}")
    threads = -(-elements // stride) if pattern == "strided" else elements
    warps = -(-threads // 32)
    chosen = np.array(spread(most_warps, warps), np.int64)
    thread = chosen[:, np.newaxis] * 32 + np.arange(32)
    active = thread < threads
    thread = np.minimum(thread, threads - 1)
    notes = [f"{pattern} over {' x '.join(map(str, data_shape))}"]
    if pattern == "column_major":
        index = np.ravel_multi_index(np.unravel_index(thread, data_shape, order="F"), data_shape)
    elif pattern == "strided":
        index = thread * min(stride, elements)
        notes.append(f"stride {stride}")
    elif pattern == "random":
        # Any part of a random permutation is a draw without repetition: the whole of it is not needed.
        index = np.zeros_like(thread)
        index[active] = np.random.default_rng(seed).choice(elements, np.count_nonzero(active), replace=False)
        notes.append(f"seed {seed}")
    else:
        index = thread
    if len(chosen) < warps:
        notes.append(f"{len(chosen)} of {warps} warps, spread over all")
    return Stream(np.asarray(index, np.int64) * itemsize, active, itemsize, warps, ", ".join(notes))


def shared_strided(stride: int, width: int = 4) -> Stream:
    """Return the request of a warp whose lane i accesses word i * `stride` of shared memory.

    A word is 4 bytes, and each lane moves `width` bytes from there, so with 8 and 16 bytes the stride must be
    in whole accesses. Raises InputError for what cannot be.

    >>> shared_strided(33).addresses[0, :3]
    array([  0, 132, 264])
    """
    _check_item(width)
    if stride < 0 or stride * 4 % width:
        raise InputError(f"accesses of {width} bytes must be aligned: a stride of {stride} words does not do")
    _check_shared(31 * stride * 4 + width)
    addresses = np.arange(32)[np.newaxis] * stride * 4
    note = f"lanes {stride} words apart in shared memory"
    return Stream(addresses, np.ones((1, 32), bool), width, 1, note)


def shared_columns(columns: int = 32, padding: int = 0, itemsize: int = 4) -> Stream:
    """Return the requests of a warp that reads a tile s[32][columns + padding] column by column.

    Lane i takes s[i][j] in request j, as the reading half of a transpose through shared memory does. Raises
    InputError for what cannot be.

    >>> shared_columns(32, padding=1).addresses[2, :3]
    array([  8, 140, 272])
    """
    _check_item(itemsize)
    if columns < 1 or padding < 0:
        raise InputError(f"a row has 1 element or more and padding of 0 or more, not {columns} and {padding}")
    _check_shared(32 * (columns + padding) * itemsize)
    index = np.arange(32)[np.newaxis] * (columns + padding) + np.arange(columns)[:, np.newaxis]
    note = f"columns of s[32][{columns + padding}]"
    return Stream(index * itemsize, np.ones(index.shape, bool), itemsize, columns, note)


def _elements(data_shape: Sequence[int], itemsize: int) -> int:
    """Count the elements of a shape; InputError if they cannot be addressed."""
    _check_item(itemsize)
    shape = tuple(data_shape) if np.iterable(data_shape) else ()
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise InputError(f"a data shape is whole numbers above 0, such as (1024, 1024), not {data_shape!r}")
    elements = math.prod(map(int, shape))
    if elements * itemsize > 2**48:
        raise InputError(f"an array of shape {shape} is larger than any GPU's memory")
    return elements


def _check_item(itemsize: int) -> None:
    if itemsize not in ITEM_SIZES:
        raise InputError(f"a lane moves 1, 2, 4, 8 or 16 bytes, not {itemsize}")


def _check_shared(size: int) -> None:
    if size > MOST_SHARED:
        raise InputError(f"{size} bytes of shared memory are more than any SM has: {MOST_SHARED}")
