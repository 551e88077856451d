"""ldmatrix, stmatrix and movmatrix: 8 x 8 matrices of 16 bits between shared memory and fragments.

Lane 8i + r gives the address of the 16 bytes of row r of matrix i; lane 4g + t gets (or gives) the elements
2t and 2t + 1 of row g, or of column g when transposed. The rows of a matrix are one phase: eight lanes of 16
bytes each, so one wavefront unless their banks collide. (PTX ISA, ldmatrix.)
"""

from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError

SIDE = 8  # rows and columns of a matrix, and the lanes that give its addresses
# Without a space the address is generic.
_HOW = [(*trans, *space) for trans in ((), ("trans",)) for space in ((), ("shared",), ("shared::cta",))]


@dataclass(frozen=True)
class LdMatrix:
    """An ldmatrix or stmatrix of `count` matrices: the lanes 0 to 8 * count - 1 give rows' addresses."""

    count: int
    trans: bool
    store: bool = False

    @property
    def lanes(self) -> int:
        """How many lanes give an address, the first ones."""
        return SIDE * self.count

    def spread(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the registers, (n, 32) uint32 each, of matrices given by rows, (n, 8 * count, 8) uint16.

        >>> rows = np.arange(64, dtype="u2").reshape(1, 8, 8)
        >>> [hex(lane) for lane in LdMatrix(1, trans=False).spread(rows)[0][0, :2]]
        ['0x10000', '0x30002']
        >>> [hex(lane) for lane in LdMatrix(1, trans=True).spread(rows)[0][0, :2]]
        ['0x80000', '0x180010']
        """
        matrices = rows.reshape(len(rows), self.count, SIDE, SIDE)
        if self.trans:
            matrices = matrices.swapaxes(2, 3)
        pairs = np.ascontiguousarray(matrices.swapaxes(0, 1)).view("u4")
        return tuple(pairs.reshape(self.count, len(rows), SIDE * SIDE // 2))

    def gather(self, registers: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return the rows, (n, 8 * count, 8) uint16, that registers, (n, 32) uint32 each, hold.

        >>> rows = np.arange(128, dtype="u2").reshape(1, 16, 8)
        >>> kind = LdMatrix(2, trans=True)
        >>> bool((kind.gather(kind.spread(rows)) == rows).all())
        True
        """
        matrices = np.stack(registers, axis=1).view("u2").reshape(-1, self.count, SIDE, SIDE)
        if self.trans:
            matrices = matrices.swapaxes(2, 3)
        return matrices.reshape(-1, SIDE * self.count, SIDE)


def ldmatrix_of(instruction: Instruction) -> LdMatrix | None:
    """Return what an ldmatrix or stmatrix moves, None for other opcodes. Raises NotCoveredError.

    >>> name = "sync.aligned.m8n8.x4.trans.shared.b16"
    >>> ldmatrix_of(Instruction("ldmatrix", tuple(name.split(".")), (), 1, ""))
    LdMatrix(count=4, trans=True, store=False)
    """
    if instruction.opcode not in ("ldmatrix", "stmatrix"):
        return None
    match instruction.modifiers:
        case ("sync", "aligned", "m8n8", "x1" | "x2" | "x4" as count, *how, "b16") if tuple(how) in _HOW:
            return LdMatrix(int(count[1:]), trans="trans" in how, store=instruction.opcode == "stmatrix")
        case _:
            raise NotCoveredError(instruction, "only m8n8 of b16 in shared memory is")


def movmatrix_of(instruction: Instruction) -> bool:
    """Return whether it is a movmatrix, which `transpose` carries out. Raises NotCoveredError.

    >>> movmatrix_of(Instruction("movmatrix", ("sync", "aligned", "m8n8", "trans", "b16"), (), 1, ""))
    True
    """
    if instruction.opcode != "movmatrix":
        return False
    if instruction.modifiers != ("sync", "aligned", "m8n8", "trans", "b16"):
        raise NotCoveredError(instruction, "only m8n8.trans.b16 is")
    return True


def transpose(register: np.ndarray) -> np.ndarray:
    """Return the registers (n, 32) of each warp's 8 x 8 matrix of 16 bits, transposed (movmatrix).

    >>> [hex(lane) for lane in transpose(np.arange(32, dtype="u4")[None])[0, :2]]
    ['0x40000', '0xc0008']
    """
    return LdMatrix(1, trans=True).spread(LdMatrix(1, trans=False).gather((register,)))[0]
