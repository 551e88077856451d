"""Copies of a kernel's arrays for its source to run on: what overlaps in the originals does so in them."""

from collections.abc import Iterator

import numpy as np

from tinytorch.measure.counting.memory import block_of
from tinytorch.measure.counting.source_arrays import Array, check_dtype
from tinytorch.measure.counting.source_memory import LINE, Memory
from tinytorch.measure.counting.source_trace import Trace


def copies(trace: Trace, given: list[np.ndarray]) -> dict[int, Array]:
    """Return copies that tell, by the ids of the originals."""
    groups: list[list[np.ndarray]] = []
    end = 0
    for plain in sorted({id(a): a for a in given}.values(), key=lambda a: block_of(a).bounds):
        low, high = block_of(plain).bounds
        if groups and low < end:
            groups[-1].append(plain)
        else:
            groups.append([plain])
        end = max(end, high)
    return {key: copy for group in groups for key, copy in _copies(trace, group)}


def _copies(trace: Trace, overlapping: list[np.ndarray]) -> Iterator[tuple[int, Array]]:
    blocks = [block_of(plain) for plain in overlapping]
    low = min(block.bounds[0] for block in blocks)
    size = max(block.bounds[1] for block in blocks) - low
    place = np.zeros(size + LINE, np.uint8)
    begin = block_of(place).address
    skipped = (low - begin) % LINE  # the copies share lines where the originals do
    apart = len({(b.itemsize, (b.address - low) % b.itemsize) for b in blocks}) == 1
    memory = Memory(trace, begin + skipped, begin + skipped + size, apart)
    for plain, block in zip(overlapping, blocks, strict=True):
        check_dtype(trace, plain)
        copy: np.ndarray = np.ndarray(
            plain.shape, plain.dtype, place, skipped + block.address - low, plain.strides
        )
        copy[...] = plain
        yield id(plain), Array(trace, copy, memory)
