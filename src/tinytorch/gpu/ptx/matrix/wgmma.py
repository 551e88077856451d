"""wgmma.mma_async: the four warps of a warpgroup multiply 64 rows by N columns that lie in shared memory.

Warp r of the group computes rows 16r to 16r + 15: what it holds is laid out as N / 8 products of mma, side by
side. It runs when it is issued; the fences and waits around it have nothing left to do. (PTX ISA, wgmma.)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.matrix import descriptors, formats, fragments, mma
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError, Operand, Vector

#: k of each format of A, always 32 bytes; and the accumulators that go with it.
DEPTHS: Mapping[str, int] = {"f16": 16, "bf16": 16, "tf32": 8, "e4m3": 32, "e5m2": 32, "s8": 32, "u8": 32}

ROWS = 16  # of one warp
WARPS = 4  # of a group
_PIECES = 2  # of 16 bytes: k of a row
_SHAPE = re.compile(r"m64n(\d+)k(\d+)")
_SCALES = {"scale-a": (-1, 1), "scale-b": (-1, 1), "trans-a": (0, 1), "trans-b": (0, 1)}


@dataclass(frozen=True)
class Wgmma:
    """A wgmma.mma_async of A (64, k) and B (k, n): what each warp of the group does."""

    n: int
    k: int
    a: str
    b: str
    d: str
    a_in_registers: bool  # four registers; else A is in shared memory, too
    saturate: bool = False
    negative: bool = False  # one of A and B is subtracted
    trans_a: bool = False  # M-major
    trans_b: bool = False  # N-major

    @property
    def sources(self) -> tuple[str, ...]:
        """The dtypes of what is read: accumulators, A's registers or descriptor, B's descriptor, scale-d."""
        of_a = ("u4",) * 4 if self.a_in_registers else ("u8",)
        return (*self.results, *of_a, "u8", "?")

    @property
    def results(self) -> tuple[str, ...]:
        """The dtypes of the accumulators."""
        return mma.accumulator_dtypes(self.d, ROWS * self.n)

    @property
    def flops(self) -> int:
        """The multiplications and additions of one warp, a quarter of the instruction's."""
        return 2 * ROWS * self.n * self.k

    def addresses_a(self, of: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Return the addresses of the pieces of 16 bytes that hold the warps' rows of A, (n, …, …).

        `of` are descriptors, (n,); `ranks` the warps' numbers in their groups, (n,), 0 to 3.
        """
        if self.trans_a:
            return descriptors.pieces_by_column(of, self.k, 2 * ranks[:, None] + np.arange(2))
        return descriptors.pieces_by_row(of, ROWS * ranks[:, None] + np.arange(ROWS), _PIECES)

    def addresses_b(self, of: np.ndarray) -> np.ndarray:
        """Return the addresses of the pieces of 16 bytes that hold B, (n, …, …), from descriptors (n,)."""
        if self.trans_b:
            return descriptors.pieces_by_column(of, self.k, np.arange(self.n // 8))
        columns = np.arange(0, self.n, 8)[:, None] + fragments.ORDER
        return descriptors.pieces_by_row(of, columns.ravel(), _PIECES)

    def apply(
        self,
        accumulators: tuple[np.ndarray, ...],
        a: np.ndarray | tuple[np.ndarray, ...],
        b: np.ndarray,
        scale_d: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """Return the new accumulators: A B, and the old ones added where `scale_d`, (n,) or (1,), is true.

        `a` are four registers, or what lies at `addresses_a`; `b` is what lies at `addresses_b`: each piece
        4 uint32 of a last axis. If the warps are whole groups in order, `b` may be given once per group.
        """
        B = self._columns(b)
        A = self._rows(a)
        sums = (A.reshape(len(B), -1, self.k) @ B).reshape(-1, ROWS, self.n).astype("f8", copy=False)
        if self.negative:
            np.negative(sums, out=sums)
        before = mma.read_accumulators(accumulators, self.d, ROWS)
        np.add(sums, before, out=sums, where=np.reshape(scale_d, (-1, 1, 1)))
        return mma.write_accumulators(sums, self.d, self.saturate)

    def _rows(self, a: np.ndarray | tuple[np.ndarray, ...]) -> np.ndarray:
        """Return A, (n, 16, k)."""
        if isinstance(a, tuple):
            return mma.multiplicand(a, self.a, ROWS)
        found = formats.values(a.reshape(*a.shape[:2], -1), self.a)
        return found.swapaxes(1, 2) if self.trans_a else found

    def _columns(self, b: np.ndarray) -> np.ndarray:
        """Return B, (n, k, columns), its columns as `fragments` keeps them."""
        if not self.trans_b:
            return formats.values(b.reshape(*b.shape[:2], -1), self.b).swapaxes(1, 2)
        columns = b.view("u2").reshape(len(b), self.k, self.n // 8, 4, 2).swapaxes(3, 4)
        ordered = np.ascontiguousarray(columns).reshape(len(b), self.k, self.n)
        return formats.values(ordered.view("u4"), self.b)


def wgmma_of(instruction: Instruction) -> Wgmma | None:
    """Return what a wgmma.mma_async does, None for all else, wgmma.fence and its like too.

    Raises NotCoveredError.
    """
    if instruction.opcode != "wgmma" or instruction.modifiers[:1] != ("mma_async",):
        return None
    match instruction.modifiers[1:]:
        case ("sync", "aligned", shape, *options, d, a, b):
            pass
        case _:
            raise NotCoveredError(instruction, "only dense wgmma.mma_async.sync.aligned is")
    found = _SHAPE.fullmatch(shape)
    n, k = map(int, found.groups()) if found else (0, 0)
    if k != DEPTHS.get(a) or n % 8 or not 8 <= n <= 256 or not mma.alike(a, b):
        raise NotCoveredError(instruction, f"{shape} of {a} and {b}")
    saturate = options == ["satfinite"]
    if d not in mma.SUMS[a] or (options and not (saturate and d == "s32")):
        raise NotCoveredError(instruction, f"{'.'.join([*options, d])} for {a}")
    if len(instruction.operands) < 4:
        raise NotCoveredError(instruction, "it has too few operands")
    a_in_registers = isinstance(instruction.operands[1], Vector)
    names = [] if d == "s32" else ["scale-a", "scale-b"]
    if a in ("f16", "bf16"):
        names += ["trans-b"] if a_in_registers else ["trans-a", "trans-b"]
    told = _immediates(instruction, names)
    return Wgmma(
        n,
        k,
        a,
        b,
        d,
        a_in_registers,
        saturate,
        negative=told.get("scale-a", 1) * told.get("scale-b", 1) < 0,
        trans_a=told.get("trans-a") == 1,
        trans_b=told.get("trans-b") == 1,
    )


def _immediates(instruction: Instruction, names: list[str]) -> dict[str, int]:
    given: tuple[Operand, ...] = instruction.operands[4:]
    told = {
        name: operand.value
        for name, operand in zip(names, given, strict=False)
        if isinstance(operand, Immediate) and operand.value in _SCALES[name]
    }
    if len(told) != len(names) or len(given) != len(names):
        raise NotCoveredError(instruction, f"it takes {', '.join(names) or 'nothing'} after scale-d")
    return told
