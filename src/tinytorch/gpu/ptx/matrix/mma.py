"""mma.sync: one warp multiplies two small matrices and adds a third, D = A B + C.

Each lane brings a fragment of A, B and C and takes one of D. All warps' matrices are put together from the
fragments by reshaping, multiplied in one call, and taken apart again. (PTX ISA, mma.)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.matrix import formats, fragments
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError

_SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")
_FLOAT8 = ("e4m3", "e5m2")

#: The shapes m, n, k of each format of A; B has the same, or another of 8 or 4 bits.
SHAPES: Mapping[str, frozenset[tuple[int, int, int]]] = {
    "f16": frozenset({(16, 8, 8), (16, 8, 16)}),
    "bf16": frozenset({(16, 8, 8), (16, 8, 16)}),
    "tf32": frozenset({(16, 8, 4), (16, 8, 8)}),
    **dict.fromkeys(_FLOAT8, frozenset({(16, 8, 16), (16, 8, 32)})),
    **dict.fromkeys(("s8", "u8"), frozenset({(8, 8, 16), (16, 8, 16), (16, 8, 32)})),
    **dict.fromkeys(("s4", "u4"), frozenset({(8, 8, 32), (16, 8, 32), (16, 8, 64)})),
    "f64": frozenset({(8, 8, 4), (16, 8, 4), (16, 8, 8), (16, 8, 16)}),
}

#: The accumulators that go with each format of A.
SUMS: Mapping[str, tuple[str, ...]] = {
    "f16": ("f32", "f16"),
    "bf16": ("f32",),
    "tf32": ("f32",),
    **dict.fromkeys(_FLOAT8, ("f32", "f16")),
    **dict.fromkeys(("s8", "u8", "s4", "u4"), ("s32",)),
    "f64": ("f64",),
}


@dataclass(frozen=True)
class Mma:
    """An mma.sync: the dtypes of its registers, A, B, C and D flattened, and what it does to them."""

    m: int
    n: int
    k: int
    sources: tuple[str, ...]
    results: tuple[str, ...]
    apply: Callable[..., tuple[np.ndarray, ...]]

    @property
    def flops(self) -> int:
        """The multiplications and additions of one warp."""
        return 2 * self.m * self.n * self.k


def mma_of(instruction: Instruction) -> Mma | None:
    """Return what an mma instruction does, None for other opcodes. Raises NotCoveredError.

    >>> name = "sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
    >>> mma_of(Instruction("mma", tuple(name.split(".")), (), 1, "")).sources
    ('u4', 'u4', 'u4', 'u4', 'u4', 'u4', 'f4', 'f4', 'f4', 'f4')
    """
    if instruction.opcode != "mma":
        return None
    match instruction.modifiers:
        case ("sync", "aligned", shape, "row", "col", *options, d, a, b, c):
            pass
        case _:
            raise NotCoveredError(instruction, "only mma.sync of row by col without scales is")
    found = _SHAPE.fullmatch(shape)
    m, n, k = map(int, found.groups()) if found else (0, 0, 0)
    if (m, n, k) not in SHAPES.get(a, ()) or not alike(a, b):
        raise NotCoveredError(instruction, f"{shape} of {a} and {b}")
    saturate = options == ["satfinite"]
    # The kind f8f6f4 is for still narrower formats, too; of these two it makes nothing else.
    plain = not options or (saturate and d == "s32") or (options == ["kind::f8f6f4"] and a in _FLOAT8)
    if d not in SUMS[a] or c != d or not plain:
        raise NotCoveredError(instruction, f"{'.'.join([*options, d])} from {c} for {a}")

    registers_a = m * k // fragments.LANES // formats.per_register(a)
    registers_b = n * k // fragments.LANES // formats.per_register(b)
    multiplied = registers_a + registers_b
    packed = "f8" if a == "f64" else "u4"

    def apply(*sources: np.ndarray) -> tuple[np.ndarray, ...]:
        A = multiplicand(sources[:registers_a], a, m)
        B = formats.values(fragments.columns_of(fragments.stacked(sources[registers_a:multiplied])), b)
        sums = np.add(A @ B.swapaxes(1, 2), read_accumulators(sources[multiplied:], c, m), dtype="f8")
        return write_accumulators(sums, d, saturate)

    return Mma(
        m,
        n,
        k,
        sources=(packed,) * multiplied + accumulator_dtypes(c, m * n),
        results=accumulator_dtypes(d, m * n),
        apply=apply,
    )


def alike(a: str, b: str) -> bool:
    """Return whether A of one format may be multiplied with B of another.

    >>> alike("s8", "u8"), alike("e4m3", "e5m2"), alike("f16", "bf16")
    (True, True, False)
    """
    return a == b or any(a in kinds and b in kinds for kinds in (_FLOAT8, ("s8", "u8"), ("s4", "u4")))


def accumulator_dtypes(kind: str, elements: int) -> tuple[str, ...]:
    """Return the dtypes of one lane's registers that hold its part of `elements` accumulators.

    >>> accumulator_dtypes("f16", 128)
    ('u4', 'u4')
    """
    each = 2 if kind == "f16" else 1
    return (formats.ACCUMULATORS[kind],) * (elements // fragments.LANES // each)


def multiplicand(registers: tuple[np.ndarray, ...], kind: str, rows: int) -> np.ndarray:
    """Return A, (n, rows, k), from registers of a format."""
    return formats.values(fragments.rows_of(fragments.stacked(registers), rows), kind)


def read_accumulators(registers: tuple[np.ndarray, ...], kind: str, rows: int) -> np.ndarray:
    """Return C, (n, rows, columns), from registers of a format; columns as `fragments` keeps them."""
    stacked = fragments.stacked(registers)
    if kind == "f16":  # one register holds what are two of the other formats
        pairs = stacked.view("f2").reshape(*stacked.shape, 2).transpose(0, 3, 1, 2)
        stacked = pairs.astype("f4").reshape(-1, *stacked.shape[1:])
    return fragments.accumulators(stacked, rows)


def write_accumulators(sums: np.ndarray, kind: str, saturate: bool = False) -> tuple[np.ndarray, ...]:
    """Return the registers, (n, 32) each, of float64 sums (n, rows, columns): undo `read_accumulators`."""
    registers = fragments.spread(formats.rounded(sums, kind, saturate))
    if kind == "f16":
        pairs = registers.reshape(-1, 2, *registers.shape[1:]).transpose(0, 2, 3, 1)
        registers = np.ascontiguousarray(pairs).view("u4")[..., 0]
    return tuple(registers)
