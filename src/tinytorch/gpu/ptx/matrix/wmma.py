"""wmma, nvcuda::wmma of CUDA C++: fragments of matrices loaded from memory, multiplied, added and stored.

Which lane holds which element is left open by the ISA. Here lane after lane holds the next elements, of A and
C by rows and of B by columns, and of f16 those of a small matrix again until the registers are full: what a
kernel does to every element of a fragment is done to the matrix. (PTX ISA, wmma.load, wmma.mma, wmma.store.)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.matrix import formats, mma
from tinytorch.gpu.ptx.matrix.fragments import LANES
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError

Shape = tuple[int, int, int]

_K16: frozenset[Shape] = frozenset({(16, 16, 16), (32, 8, 16), (8, 32, 16)})
#: The shapes m, n, k of each format of A and B; the accumulators that go with it are those of mma.
SHAPES: Mapping[str, frozenset[Shape]] = {
    **dict.fromkeys(("f16", "bf16", "s8", "u8"), _K16),
    "tf32": frozenset({(16, 16, 8)}),
    **dict.fromkeys(("s4", "u4"), frozenset({(8, 8, 32)})),
    "f64": frozenset({(8, 8, 4)}),
}

_SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")
_BITS = {**formats.BITS, "f32": 32, "s32": 32}
_F16_REGISTERS = 8  # of A and B, whatever the shape
_WIDEST = 16  # bytes of memory that move as one
_MOVED = {"load": ("a", "b", "c"), "store": ("d",)}
_SPACES: tuple[list[str], ...] = ([], ["global"], ["shared"], ["shared::cta"])
_ALONG = {"a": "row", "b": "col", "c": "row", "d": "row"}  # how a matrix is kept in registers


@dataclass(frozen=True)
class Fragment:
    """A matrix that a warp holds: `lines` of `length` elements, its rows, or of B its columns."""

    lines: int
    length: int
    kind: str
    registers: int  # of a lane

    @property
    def dtype(self) -> str:
        """The dtype of a register's bits."""
        return "u8" if self.kind == "f64" else "u4"

    @property
    def nbytes(self) -> int:
        """The bytes that a lane holds."""
        return self.registers * int(self.dtype[1:])

    @property
    def words(self) -> int:
        """The registers of all lanes that the matrix fills once."""
        return self.lines * self.length * _BITS[self.kind] // (8 * int(self.dtype[1:]))

    def spread(self, words: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the registers, (n, 32) each, that hold matrices, (n, words).

        >>> [register[0, :3].tolist() for register in Fragment(16, 8, "f32", 4).spread(np.arange(128)[None])]
        [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
        """
        times = self.registers * LANES // self.words
        held = np.tile(words, (1, times)).reshape(-1, LANES, self.registers)
        return tuple(np.ascontiguousarray(held[..., i]) for i in range(self.registers))

    def gather(self, registers: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return the matrices, (n, words), that registers, (n, 32) each, hold: undo `spread`."""
        held = np.stack(registers, axis=-1)
        return np.ascontiguousarray(held.reshape(len(held), -1)[:, : self.words])


def fragment(matrix: str, shape: Shape, kind: str) -> Fragment:
    """Return the fragment of matrix a, b, c or d of a product of m, n, k.

    >>> fragment("b", (32, 8, 16), "f16")
    Fragment(lines=8, length=16, kind='f16', registers=8)
    """
    m, n, k = shape
    lines, length = {"a": (m, k), "b": (n, k)}.get(matrix, (m, n))
    bits = _BITS[kind] * lines * length // LANES
    registers = bits // (64 if kind == "f64" else 32)
    if kind == "f16" and matrix in ("a", "b"):
        registers = _F16_REGISTERS
    return Fragment(lines, length, kind, registers)


@dataclass(frozen=True)
class Move:
    """A wmma.load or wmma.store; memory is gone to in pieces of bytes that lie side by side."""

    fragment: Fragment
    turned: bool  # in memory it lies the other way than in registers: A and C by columns, B by rows
    store: bool
    space: str  # "" for generic

    @property
    def stride(self) -> int:
        """The elements from one line in memory to the next, if the instruction does not say."""
        return self.fragment.lines if self.turned else self.fragment.length

    @property
    def alignment(self) -> int:
        """The bytes that its address is a multiple of: those of a lane, or of a line if it has fewer."""
        return min(self.fragment.nbytes, self.stride * _BITS[self.fragment.kind] // 8)

    @property
    def piece(self) -> int:
        """The bytes of a piece. CUDA C++ lets strides be any multiple of 16 bytes, so it is no more."""
        return min(_WIDEST, self.alignment)

    def offsets(self, strides: np.ndarray) -> np.ndarray:
        """Return where pieces lie behind the matrix's address in bytes, (n, pieces), by strides (n,).

        >>> Move(fragment("a", (16, 16, 8), "tf32"), False, False, "").offsets(np.array([100]))[0, :4]
        array([  0,  16, 400, 416])
        """
        bits = _BITS[self.fragment.kind]
        lines = self.fragment.lines * self.fragment.length // self.stride
        down = np.arange(lines)[:, None] * (strides[:, None, None] * bits // 8)
        along = np.arange(0, self.stride * bits // 8, self.piece)
        return (down + along).reshape(len(strides), -1)

    def take(self, pieces: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the registers, (n, 32) each, of matrices in memory: pieces as uint32, (n, pieces, …)."""
        found = pieces.reshape(len(pieces), -1)
        if self.turned:
            found = self._turn(found, self.fragment.length, self.fragment.lines)
        return self.fragment.spread(found.view(self.fragment.dtype))

    def give(self, registers: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return what is to lie at the pieces, as uint32 (n, pieces, …), from registers (n, 32) each."""
        found = self.fragment.gather(registers).view("u4")
        if self.turned:
            found = self._turn(found, self.fragment.lines, self.fragment.length)
        return found.reshape(len(found), -1, self.piece // 4)

    def _turn(self, words: np.ndarray, rows: int, columns: int) -> np.ndarray:
        elements = words.view(f"u{_BITS[self.fragment.kind] // 8}").reshape(-1, rows, columns)
        return np.ascontiguousarray(elements.swapaxes(1, 2)).reshape(len(words), -1).view("u4")


def move_of(instruction: Instruction) -> Move | None:
    """Return what a wmma.load or wmma.store moves, None for other instructions. Raises NotCoveredError.

    >>> name = "load.b.sync.aligned.col.m16n16k16.shared.s8"
    >>> move_of(Instruction("wmma", tuple(name.split(".")), (), 1, "")).fragment
    Fragment(lines=16, length=16, kind='s8', registers=2)
    """
    if instruction.opcode != "wmma" or instruction.modifiers[:1] not in (("load",), ("store",)):
        return None
    match instruction.modifiers:
        case ("load" | "store" as way, matrix, "sync", "aligned", layout, named, *space, kind):
            pass
        case _:
            raise NotCoveredError(instruction, "its modifiers")
    if matrix not in _MOVED[way] or layout not in ("row", "col") or space not in _SPACES:
        raise NotCoveredError(instruction, "its matrix, layout or space")
    shape = _shape(named)
    multiplied = [each for each, shapes in SHAPES.items() if shape in shapes]
    kinds = multiplied if matrix in ("a", "b") else [d for each in multiplied for d in mma.SUMS[each]]
    turned = layout != _ALONG[matrix]
    if kind not in kinds or (turned and _BITS[kind] < 8):
        raise NotCoveredError(instruction, f"{matrix} of {kind} in {named} by {layout}")
    where = space[0].partition("::")[0] if space else ""
    return Move(fragment(matrix, shape, kind), turned, way == "store", where)


def product_of(instruction: Instruction) -> mma.Mma | None:
    """Return what a wmma.mma does, None for other instructions. Raises NotCoveredError.

    >>> name = "mma.sync.aligned.row.col.m8n8k4.f64.f64.f64.f64.rn"
    >>> product_of(Instruction("wmma", tuple(name.split(".")), (), 1, "")).sources
    ('f8', 'f8', 'f8', 'f8')
    """
    if instruction.opcode != "wmma" or instruction.modifiers[:1] in (("load",), ("store",)):
        return None
    match instruction.modifiers:
        case ("mma", "sync", "aligned", "row" | "col", "row" | "col", named, *kinds):
            pass
        case _:
            raise NotCoveredError(instruction, "only dense wmma.mma.sync.aligned is")
    option = kinds.pop() if kinds and kinds[-1] in ("satfinite", "rn") else ""
    if len(kinds) == 2:  # f16 is not named
        kinds[1:1] = ["f16", "f16"]
    if len(kinds) != 4:
        raise NotCoveredError(instruction, "its types")
    d, a, b, c = kinds
    shape = _shape(named)
    if shape not in SHAPES.get(a, ()) or not mma.alike(a, b):
        raise NotCoveredError(instruction, f"{named} of {a} and {b}")
    if not {c, d} <= set(mma.SUMS[a]) or option not in {"s32": ("", "satfinite"), "f64": ("", "rn")}.get(
        d, ("",)
    ):
        raise NotCoveredError(instruction, f"{d} from {c} for {a} {option}".rstrip())
    A, B, C, D = (
        fragment(*which) for which in (("a", shape, a), ("b", shape, b), ("c", shape, c), ("d", shape, d))
    )

    def apply(*sources: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = formats.values(A.gather(sources[: A.registers]), a)
        columns = formats.values(B.gather(sources[A.registers : -C.registers]), b)
        before = formats.values(C.gather(sources[-C.registers :]), c)
        n = len(before)
        products = rows.reshape(n, A.lines, -1) @ columns.reshape(n, B.lines, -1).swapaxes(1, 2)
        sums = np.add(products.reshape(n, -1), before.reshape(n, -1), dtype="f8")
        return D.spread(formats.rounded(sums, d, option == "satfinite").view(formats.ACCUMULATORS[d]))

    packed = "f8" if a == "f64" else "u4"
    return mma.Mma(
        *shape,
        sources=(packed,) * (A.registers + B.registers) + (formats.ACCUMULATORS[c],) * C.registers,
        results=(formats.ACCUMULATORS[d],) * D.registers,
        apply=apply,
    )


def _shape(named: str) -> Shape:
    """Return m, n, k; zeros for what is no shape."""
    found = _SHAPE.fullmatch(named)
    m, n, k = map(int, found.groups()) if found else (0, 0, 0)
    return m, n, k
