"""Chains in which each step waits for the last: of loads, which tell latency; of additions, the clock."""

from collections.abc import Mapping

from tinytorch.runtime.arrays import INT64
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value
from tinytorch.simd.target import Target

#: Bytes of a cache line on every CPU that the targets are for (Apple's are twice as long: two steps a line).
LINE = 64
#: Steps of a chain a turn, lest the loop's own instructions count.
STEPS = 16
#: Odd numbers with bits all over, of the finalizer of MurmurHash3 and the golden ratio.
FACTORS = (0x85EBCA6B, 0xC2B2AE35, 0x9E3779B1)


def chain_kernels(target: Target) -> Mapping[str, Kernel]:
    """Return "link" (lines, bits, memory), "chase" (turns, start, result), "count" (turns, one, result)."""
    return {"link": Kernel(link), "chase": Kernel(chase), "count": Kernel(count)}


def link(code: Code, lines: Value, bits: Value, memory: Value) -> None:
    """Write into each of the first `lines` lines the address of the next on a random way through them all.

    The order is that of 0, 1, ... 2^bits - 1 after multiplications by odd numbers and shifted exclusive ors,
    each of which is a permutation modulo 2^bits; numbers from `lines` on are left out. The first is line 0.
    """
    V, place = code.vectors(INT64), code.address(memory)
    size = code.integer(1) << bits
    half = (bits + 1) // 2
    last = code.variable(code.integer(0))
    with code.loop(size) as i:
        mixed = i
        for factor in FACTORS:
            mixed = (mixed * factor) & (size - 1)
            mixed = mixed ^ (mixed >> half)
        with code.when(mixed < lines):
            V.store_number(memory + mixed * LINE, place + last.get() * LINE)
            last.set(mixed)
    V.store_number(memory, place + last.get() * LINE)


def chase(code: Code, turns: Value, start: Value, result: Value) -> None:
    """Follow STEPS * turns addresses from `start`, each load waiting for the one before; store the last."""
    V = code.vectors(INT64)
    place = code.variable(start)
    with code.loop(turns):
        for _ in range(STEPS):
            place.set(V.load_number(code.address(place.get())))
    V.store_number(place.get(), code.address(result))


def count(code: Code, turns: Value, one: Value, result: Value) -> None:
    """Add STEPS * turns times, each sum waiting for the one before: a cycle each on every CPU of today.

    The addend is in a register: newer CPUs add small constants in no time while they rename registers.
    """
    V = code.vectors(INT64)
    total = code.variable(one)
    with code.loop(turns):
        for _ in range(STEPS):
            total.set(code.opaque_integer(total.get() + one))
    V.store_number(total.get(), code.address(result))
