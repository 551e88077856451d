"""How many bytes a second each level of memory gives and takes, read, written, copied, added.

Bytes are those that the code asks for. What a store reads before it writes is not counted: kernels whose
stores pass by the caches do without, and then reach what is measured here.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from tinytorch.machine.caches import UNKNOWN_CACHE
from tinytorch.machine.quota import available_memory
from tinytorch.measure.probe import Probe, Reading, readings
from tinytorch.runtime.arrays import Array
from tinytorch.simd.build import library
from tinytorch.simd.chains import LINE
from tinytorch.simd.elementwise import STREAM
from tinytorch.simd.memory import ARRAYS, pass_kernels, step_bytes
from tinytorch.simd.target import chosen

#: The passes by how much of what they move is written, least first: none, a third, half, all.
WRITTEN = {"read": 0.0, "triad": 1 / 3, "copy": 1 / 2, "write": 1.0}
#: Linux's large page on x86 and ARM. Memory that begins at one is given in such pages where it has any.
_HUGE = 2 << 20
_PAGE = 4096
#: Between arrays, beyond whole pages: at the same place in a page, stores hold up later loads of the others.
_APART = 17 * LINE


def level_bytes(caches: Mapping[str, int], last: int | None, threads: int) -> dict[str, int]:
    """Return for each level the bytes for one thread that lie in it: each of the caches, and memory.

    Of L1 and L2, which each core has, half; of L3, which is shared, what lies halfway (as a ratio) between
    it and L2. Memory is twice `last`, the whole of the last cache, or an eighth of what is available.

    >>> level_bytes({"l1": 32 << 10, "l2": 512 << 10, "l3": 32 << 20}, 32 << 20, threads=1)["l3"] >> 10
    4096
    """
    sizes = {name: size // 2 for name, size in caches.items()}
    if "l3" in caches:
        near = caches.get("l2", 0)
        between = int((near * caches["l3"]) ** 0.5) or caches["l3"] // 2
        share = min(between, caches["l3"] // 2) // threads
        if share > near:
            sizes["l3"] = share
        else:  # what all L2 hold together leaves no room in it that is not theirs
            del sizes["l3"]
    # Each thread brings an L2; where L3 does not hold what is in them, too, the caches are their sum.
    together = threads * caches.get("l2", 0) + (last or 0)
    largest = max(last or UNKNOWN_CACHE, together, *caches.values())
    sizes["memory"] = min(2 * largest, available_memory() // 8) // threads
    return sizes


def pass_probes(size: int) -> dict[str, Probe]:
    """Return a probe of each pass over `size` bytes in all of its arrays, and of its variants.

    Their work is bytes. All use the same memory, one after the other.
    """
    step, kernels = step_bytes(chosen()), library(pass_kernels)
    most = max(sum(arrays) for arrays in ARRAYS.values())
    memory = memory_block(size + most * (step + _PAGE + _APART))
    probes = {}
    for name, (reads, writes) in ARRAYS.items():
        arrays = reads + writes
        each = max(step, size // arrays // step * step)
        apart = -(-each // _PAGE) * _PAGE + _APART
        places = [memory.ctypes.data + i * apart for i in range(arrays)]
        # Kernels take two arrays to read and one to write; those that a pass has no use for are not touched.
        given = (each, places[0], places[min(1, arrays - 1)], places[-1])
        for variant in (name, name + STREAM) if writes else (name,):
            run = kernels.function(variant, 5)
            probes[variant] = Probe(partial(_passes, run, given), arrays * each, memory)
    return probes


def _passes(run: Callable[..., None], given: tuple[int, ...], turns: int) -> None:
    run(turns, *given)


def bandwidths(size: int, threads: int, samples: int) -> dict[str, Reading]:
    """Return the bytes a second of each pass over `size` bytes of each thread, by its best variant."""
    return best_variants(readings(lambda: pass_probes(size), threads, samples))


def best_variants(found: Mapping[str, Reading]) -> dict[str, Reading]:
    """Return for each pass the faster of its variants."""
    variants = {name: [found[key] for key in (name, name + STREAM) if key in found] for name in ARRAYS}
    return {name: max(each, key=lambda one: one.value) for name, each in variants.items() if each}


def around(written: float) -> list[str]:
    """Return the passes, each with its variants, between whose shares of writing a mix lies.

    >>> around(0.4)
    ['triad', 'triad_stream', 'copy', 'copy_stream']
    """
    near = [name for name in WRITTEN if WRITTEN[name] <= written + 1e-9][-1:]
    if WRITTEN[near[0]] < written - 1e-9:
        near += [name for name in WRITTEN if WRITTEN[name] > written][:1]
    return [name + end for name in near for end in (("", STREAM) if ARRAYS[name][1] else ("",))]


def memory_block(size: int) -> Array:
    """Return zeros, in large pages where the system has them: what lay there before may be subnormal."""
    raw = np.empty(size + 2 * _HUGE, np.uint8)  # NumPy asks Linux for large pages from 4 MB on
    block = raw[-raw.ctypes.data % _HUGE :][:size]
    block.fill(0)
    return block


def mixed(rates: Mapping[str, float], written: float) -> float:
    """Return the rate of a mix of which the share `written` is written: straight in time per byte.

    >>> mixed({"read": 4.0, "triad": 3.0, "copy": 2.0, "write": 1.0}, 0.75)
    1.3333333333333333
    """
    names = sorted(rates, key=lambda name: WRITTEN[name])
    times = [1 / rates[name] for name in names]
    return float(1 / np.interp(written, [WRITTEN[name] for name in names], times))
