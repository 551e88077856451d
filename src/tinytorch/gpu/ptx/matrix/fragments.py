"""Fragments: which lane and register holds which element of a matrix that a warp shares.

Lane 4g + t holds of A row g, of B column g: the t-th word of k, then every fourth. Of C it holds row g and
columns 2t and 2t + 1. (PTX ISA, matrix fragments for mma and wgmma.)

The words of four neighbouring lanes lie together in a matrix and are moved as one: up to four times as fast.
For that the columns of B and C stand in the registers' order, `ORDER`. A product does not mind.
"""

import numpy as np

LANES = 32
#: The columns of each 8 of B and C, in the order in which they are kept here.
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

_GROUPS, _THREADS = 8, 4  # lane = 4 * group + thread


def stacked(registers: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return registers, (n, 32) each or (1, 1) for immediates, as one array (registers, n, 32).

    >>> stacked((np.zeros((3, 32), "u4"), np.zeros((1, 1), "u4"))).shape
    (2, 3, 32)
    """
    n = max(len(register) for register in registers)
    whole = np.empty((len(registers), n, LANES), registers[0].dtype)
    for place, register in zip(whole, registers, strict=True):
        place[...] = register
    return whole


def rows_of(registers: np.ndarray, rows: int) -> np.ndarray:
    """Return the words of A by its rows, (n, rows, words), from registers (registers, n, 32).

    Registers go by the blocks of 8 rows first, then by k.

    >>> rows_of(np.arange(128).reshape(4, 1, 32), 16)[0, 8]
    array([32, 33, 34, 35, 96, 97, 98, 99])
    """
    n, halves = registers.shape[1], rows // _GROUPS
    blocks = _fours(registers).reshape(-1, halves, n, _GROUPS)
    return _ones(blocks.transpose(2, 1, 3, 0), registers.dtype).reshape(n, rows, -1)


def columns_of(registers: np.ndarray) -> np.ndarray:
    """Return the words of B by its 8 columns, in `ORDER`, (n, 8, words), from registers (registers, n, 32).

    >>> columns_of(np.arange(32).reshape(1, 1, 32))[0, 1]
    array([ 8,  9, 10, 11])
    """
    n = registers.shape[1]
    blocks = _fours(registers).reshape(-1, n, _THREADS, 2)
    return _ones(blocks.transpose(1, 3, 2, 0), registers.dtype).reshape(n, _GROUPS, -1)


def accumulators(registers: np.ndarray, rows: int) -> np.ndarray:
    """Return C, (n, rows, columns), its columns in `ORDER`, from registers (registers, n, 32).

    Registers go by pairs of columns, then by blocks of 8 rows, then by blocks of 8 columns.

    >>> accumulators(np.arange(64).reshape(2, 1, 32), 8)[0, 0]
    array([ 0,  1,  2,  3, 32, 33, 34, 35])
    """
    n, halves = registers.shape[1], rows // _GROUPS
    blocks = _fours(registers).reshape(-1, halves, 2, n, _GROUPS)
    return _ones(blocks.transpose(3, 1, 4, 0, 2), registers.dtype).reshape(n, rows, -1)


def spread(matrix: np.ndarray) -> np.ndarray:
    """Return the registers (registers, n, 32) that hold C, (n, rows, columns): undo `accumulators`.

    >>> spread(np.zeros((5, 16, 8), "f4")).shape
    (4, 5, 32)
    """
    n, rows, columns = matrix.shape
    blocks = _fours(matrix).reshape(n, rows // _GROUPS, _GROUPS, columns // 8, 2)
    return _ones(blocks.transpose(3, 1, 4, 0, 2), matrix.dtype).reshape(-1, n, LANES)


def _fours(words: np.ndarray) -> np.ndarray:
    return words.view(f"V{words.itemsize * _THREADS}")


def _ones(fours: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.ascontiguousarray(fours).view(dtype)
