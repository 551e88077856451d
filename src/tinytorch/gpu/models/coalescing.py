"""Coalescing: how many sectors and lines the lanes of a warp touch with one request.

Global memory is moved in sectors of 32 bytes, four of them to a line of 128. A request costs the distinct
sectors that its active lanes touch; packed as tightly as can be, their bytes would fill the ideal number.
"""

import numpy as np

from tinytorch.gpu.models.lanes import distinct
from tinytorch.runtime.errors import InputError

SECTOR = 32  # bytes
LINE = 128  # bytes
#: The widest access of one lane in bytes: 16, and from compute capability 10.0 on 32.
WIDEST = 32


def sectors(addresses: np.ndarray, active: np.ndarray, width: int) -> np.ndarray:
    """Return the distinct 32-byte sectors that the active lanes of each request touch, (n,).

    `addresses` are the lanes' first bytes, (n, 32) int64; `active` is (n, 32) bool, and what the other lanes
    hold does not matter; each lane moves `width` bytes, and one that is not aligned may touch two sectors.
    Raises InputError for a width that no access has. Nsight Compute counts the same as
    `memory_l2_theoretical_sectors_global`.

    >>> lanes = np.arange(32)[np.newaxis]
    >>> everyone = np.ones((1, 32), bool)
    >>> sectors(4 * lanes, everyone, 4), sectors(8 * lanes, everyone, 4), sectors(4 * lanes + 4, everyone, 4)
    (array([4]), array([8]), array([5]))
    """
    return _segments(addresses, active, _checked(width), SECTOR)


def lines(addresses: np.ndarray, active: np.ndarray, width: int) -> np.ndarray:
    """Return the distinct 128-byte lines that the active lanes of each request touch, (n,); see `sectors`.

    >>> lanes = np.arange(32)[np.newaxis]
    >>> lines(128 * lanes, lanes < 5, 4)
    array([5])
    """
    return _segments(addresses, active, _checked(width), LINE)


def ideal_sectors(active: np.ndarray, width: int) -> np.ndarray:
    """Return the sectors that would do if the active lanes' bytes lay side by side and aligned, (n,).

    That is ceil(lanes * width / 32), and 0 for a request without an active lane. Lanes that read the same
    bytes can need fewer still. Raises InputError for a width that no access has.

    >>> ideal_sectors(np.arange(32)[np.newaxis] < 9, 4)
    array([2])
    """
    return -(np.count_nonzero(active, axis=1) * -_checked(width) // SECTOR)


def _segments(addresses: np.ndarray, active: np.ndarray, width: int, size: int) -> np.ndarray:
    """Count the segments of `size` bytes, a power of two, that each row touches."""
    shift = size.bit_length() - 1
    if active.all() and ((addresses[:, 1:] - addresses[:, :-1]) == width).all():
        # Side by side, as a rule: of many requests a quarter of the time of counting.
        first, end = addresses[:, 0], addresses[:, -1] + width
        return ((end - 1) >> shift) - (first >> shift) + 1
    segments = addresses >> shift
    straddling = active & ((addresses & (size - 1)) > size - width)
    if straddling.any():
        segments = np.concatenate((segments, segments + 1), axis=1)
        active = np.concatenate((active, straddling), axis=1)
    return distinct(segments, active)


def _checked(width: int) -> int:
    if not 1 <= width <= WIDEST:
        raise InputError(f"an access of a lane is 1 to {WIDEST} bytes wide, not {width}")
    return width
