"""Passes that only move bytes: what they reach is what kernels that do something useful are held against."""

from collections.abc import Mapping

from tinytorch.runtime.arrays import FLOAT32
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value
from tinytorch.simd.elementwise import STREAM
from tinytorch.simd.target import Target

#: Vectors a step, lest the loop's own instructions count.
UNROLL = 8
#: How many arrays a pass reads and writes.
ARRAYS = {"read": (1, 0), "write": (0, 1), "copy": (1, 1), "triad": (2, 1)}


def pass_kernels(target: Target) -> Mapping[str, Kernel]:
    """Return the passes, each that writes with a variant whose stores pass by the caches.

    Each takes (turns, bytes of an array, addresses of two arrays to read and one to write).
    """
    return {
        name + (STREAM if stream else ""): Kernel(move, *ARRAYS[name], stream)
        for name in ARRAYS
        for stream in (False, True)
        if ARRAYS[name][1] or not stream
    }


def step_bytes(target: Target) -> int:
    """Return what the bytes of an array in a pass must be a multiple of."""
    return UNROLL * target.vector_bytes


def move(
    code: Code, reads: int, writes: int, stream: bool, turns: Value, size: Value, x: Value, y: Value, z: Value
) -> None:
    """Do `turns` passes over `size` bytes of each array: z = x + 0.5 y as far as there are arrays to read."""
    V = code.vectors(FLOAT32)
    sources, target = [code.address(x), code.address(y)][:reads], code.address(z)
    half = V.constant(0.5)
    with code.loop(turns), code.loop(size // (UNROLL * V.bytes)) as i:
        for v in range(UNROLL):
            here = i * (UNROLL * V.bytes) + v * V.bytes
            values = [V.load(source + here) for source in sources]
            value = V.fma(values[1], half, values[0]) if reads == 2 else values[0] if reads else half
            if writes:
                V.store(value, target + here, stream=stream, align=V.bytes)
            else:
                V.consume(value)
    if stream:
        code.fence_streams()
