"""How many bytes an operation touches: those of the elements that really exist, each once.

A broadcast operand has one element under many indices, overlapping windows share most of theirs. What counts
is the number of different addresses, which shape and strides alone determine.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The largest table of addresses that is drawn up for strides that interleave; 64 MiB.
_MARKS = 1 << 26


@dataclass(frozen=True)
class Block:
    """Where the elements of an array lie; strides in bytes."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @property
    def bounds(self) -> tuple[int, int]:
        """First address, and the one behind the last."""
        reach = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        low = sum(r for r in reach if r < 0)
        high = sum(r for r in reach if r > 0)
        return self.address + low, self.address + high + self.itemsize

    @property
    def bytes(self) -> int:
        """Number of different bytes under the elements.

        >>> block_of(np.broadcast_to(np.zeros(5), (100, 5))).bytes
        40
        """
        return distinct_bytes(self.shape, self.strides, self.itemsize)


def block_of(array: Any) -> Block:
    """Return where an ndarray lies."""
    return Block(array.__array_interface__["data"][0], array.shape, array.strides, array.itemsize)


def distinct_bytes(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """Count the different bytes that an array of this shape and these strides (bytes) lies on.

    Exact unless strides interleave over more than 64 Mi places; then it is an upper bound.

    >>> distinct_bytes((8, 3), (8, 8), 8)  # windows of 3 over 10 float64
    80
    """
    if itemsize == 0 or 0 in shape:
        return 0
    steps: dict[int, int] = {}  # stride: number of steps along it; equal strides add up
    for n, stride in zip(shape, strides, strict=True):
        if n > 1 and stride:
            steps[abs(stride)] = steps.get(abs(stride), 0) + n - 1
    # The bytes of one element are a dimension like the others, of stride 1.
    steps[1] = steps.get(1, 0) + itemsize - 1
    dimensions = sorted((stride, count) for stride, count in steps.items() if count)
    total, cluster, reach = 1, list[tuple[int, int]](), 0
    for i, (stride, count) in enumerate(dimensions):
        # All larger strides are multiples of their divisor: where that is beyond what the smaller ones
        # reach, no address is met twice and the two groups count independently.
        if cluster and math.gcd(*(s for s, _ in dimensions[i:])) > reach:
            total, cluster = total * _sums(cluster), []
        cluster.append((stride, count))
        reach += stride * count
    return total * _sums(cluster)


def _sums(dimensions: list[tuple[int, int]]) -> int:
    """Count the different sums of up to `count` times each stride."""
    if len(dimensions) <= 1:
        return dimensions[0][1] + 1 if dimensions else 1
    unit = math.gcd(*(stride for stride, _ in dimensions))
    places = sum(stride * count for stride, count in dimensions) // unit + 1
    if places > _MARKS:
        return min(places, math.prod(count + 1 for _, count in dimensions))
    marks = np.zeros(places, np.bool_)
    marks[0] = True
    for stride, count in dimensions:
        done, step = 0, stride // unit
        while done < count:  # from sums of 0..done steps to those of 0..2 done + 1
            more = min(done + 1, count - done)
            marks[more * step :] |= marks[: places - more * step].copy()
            done += more
    return int(np.count_nonzero(marks))


def distinct(blocks: Iterable[Block]) -> int:
    """Count the different bytes under several blocks, each once.

    Exact for blocks that are the same, apart, or without gaps; for others that overlap an upper bound.

    >>> x = np.zeros(10)
    >>> distinct([block_of(x), block_of(x[:5]), block_of(x)])
    80
    """
    placed = sorted((*block.bounds, block.bytes) for block in set(blocks) if block.bytes)
    total, bytes_here, begin, end = 0, 0, 0, 0
    for low, high, size in placed:
        if low >= end:
            total += min(bytes_here, end - begin)
            bytes_here, begin = 0, low
        bytes_here += size
        end = max(end, high)
    return total + min(bytes_here, end - begin)


def blocks_in(value: Any) -> Iterator[Block]:
    """Find the arrays and tensors in a value, also inside lists, tuples, sets and dicts."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if id(value) not in seen:  # a list may hold itself
                seen.add(id(value))
                waiting.extend(value.values() if isinstance(value, Mapping) else value)
        else:
            yield from _block(value)


def _block(value: Any) -> Iterator[Block]:
    torch = sys.modules.get("torch")
    if isinstance(value, np.ndarray):
        yield block_of(value)
    elif torch is not None and isinstance(value, torch.nn.Module):
        for tensor in (*value.parameters(), *value.buffers()):
            yield from _block(tensor)
    elif torch is not None and isinstance(value, torch.Tensor):
        yield from tensor_blocks(value)
    elif hasattr(value, "__cuda_array_interface__") and not isinstance(value, type):
        yield _device_block(value.__cuda_array_interface__)
    elif hasattr(value, "__array__") and not isinstance(value, type | np.generic):
        yield block_of(np.asarray(value))


def _device_block(interface: Mapping[str, Any]) -> Block:
    """Return where an array on a GPU lies, as it tells: CuPy's, numba's."""
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides") or tuple(
        dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))
    )
    return Block(interface["data"][0], shape, tuple(strides), dtype.itemsize)


def tensor_blocks(tensor: Any) -> Iterator[Block]:
    """Return where a torch tensor lies: one block, or those of a sparse tensor's parts."""
    import torch

    if tensor.layout is torch.strided:
        size = tensor.element_size()
        strides = tuple(size * stride for stride in tensor.stride())
        yield Block(tensor.data_ptr(), tuple(tensor.shape), strides, size)
        return
    if tensor.layout is torch.sparse_coo:
        parts = [tensor._indices(), tensor._values()]
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        parts = [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    else:  # opaque to torch itself, as MKL-DNN's are
        parts = []
    for part in parts:
        yield from tensor_blocks(part)
