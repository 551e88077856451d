"""Matrix descriptors of wgmma: 64 bits that say where in shared memory a matrix lies, and in which layout.

Memory is dealt with in pieces of 16 bytes. Eight of them make a block: 8 rows (or 8 of k, when the matrix
stands the other way) that are as far apart as the swizzle is wide. The swizzle then moves each piece within
its 128 bytes by an exclusive or with their number. (PTX ISA, matrix descriptor and canonical layouts.)
"""

from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.program import PtxError

PIECE = 16  # bytes
_EIGHT = 8  # rows, or columns, of a block
_WIDTHS = np.array([16, 128, 64, 32])  # by the swizzle's code; 16 stands for none


@dataclass(frozen=True)
class Descriptors:
    """Descriptors read, all in bytes of shared memory, each field (n, 1, 1) to go over pieces."""

    start: np.ndarray
    leading: np.ndarray
    stride: np.ndarray
    width: np.ndarray  # of the swizzle; 16 is none


def read(descriptors: np.ndarray) -> Descriptors:
    """Return the fields of descriptors, (n,) of 64 bits each. Raises PtxError for a base offset, not covered.

    >>> read(np.array([0x4000004000010010], "u8")).stride.ravel()
    array([1024])
    """
    bits = np.asarray(descriptors).view("i8").reshape(-1, 1, 1)
    if (bits >> 49 & 7).any():
        raise PtxError(
            "a matrix descriptor with a base offset is not covered: swizzles start at their own size"
        )
    start, leading, stride = ((bits >> low & 0x3FFF) << 4 for low in (0, 16, 32))
    return Descriptors(start, leading, stride, _WIDTHS[bits >> 62 & 3])


def pieces_by_row(descriptors: np.ndarray, rows: np.ndarray, pieces: int) -> np.ndarray:
    """Return the addresses (n, rows, pieces) of rows that lie along k (K-major).

    `rows` are numbers of rows, (r,) or (n, r); a swizzled row is whole, else its pieces are `leading` apart.

    >>> pieces_by_row(np.array([0x0000001000080000], "u8"), np.array([0, 1, 8]), 2).tolist()
    [[[0, 128], [16, 144], [256, 384]]]
    """
    of = read(descriptors)
    row, piece = np.atleast_2d(rows)[:, :, None], np.arange(pieces)
    along = np.where(of.width == PIECE, of.leading, PIECE)
    down = row // _EIGHT * of.stride + row % _EIGHT * of.width
    return swizzled(of.start + down + piece * along, of.width)


def pieces_by_column(descriptors: np.ndarray, columns: int, pieces: np.ndarray) -> np.ndarray:
    """Return the addresses (n, columns, pieces) of columns that lie along the rows (M-major or N-major).

    A column is one number of k; a piece holds the next rows of it, `pieces` their numbers, (p,) or (n, p).

    >>> pieces_by_column(np.array([0x0000001000080000], "u8"), 9, np.array([0, 1]))[0, ::8].tolist()
    [[0, 256], [128, 384]]
    """
    of = read(descriptors)
    column, piece = np.arange(columns)[:, None], np.atleast_2d(pieces)[:, None, :]
    whole = of.width // PIECE  # pieces that lie side by side
    plain = of.width == PIECE
    # Without a swizzle the two offsets are named the other way round.
    between_pieces = np.where(plain, of.stride, of.leading)
    between_columns = np.where(plain, of.leading, of.stride)
    across = piece // whole * between_pieces + piece % whole * PIECE
    down = column // _EIGHT * between_columns + column % _EIGHT * of.width
    return swizzled(of.start + across + down, of.width)


def swizzled(addresses: np.ndarray, width: np.ndarray | int) -> np.ndarray:
    """Return addresses in bytes as a swizzle of a width in bytes, 16 for none, moves them.

    >>> swizzled(np.array([0, 128, 144, 1024 + 256]), 128).tolist()
    [0, 144, 128, 1312]
    """
    row = addresses >> 7 & (width // PIECE - 1)
    return addresses ^ row << 4
