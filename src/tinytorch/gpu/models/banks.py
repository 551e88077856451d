"""Bank conflicts: in how many wavefronts shared memory answers one request of a warp.

Shared memory has 32 banks of 4-byte words, and each gives one word a wavefront, to every lane that wants it.
Wider accesses go in phases of fewer lanes, 32 words at a time; a phase takes as many wavefronts as the
busiest bank has distinct words to give. Hardware may merge phases whose lanes share addresses: that is not
modelled, and nothing here is calibrated on hardware yet.
"""

import numpy as np

from tinytorch.runtime.errors import InputError

BANKS = 32
WORD = 4  # bytes
#: By the width of a lane's access in bytes: all lanes at once, by half-warps, by quarter-warps.
PHASES = {1: 1, 2: 1, 4: 1, 8: 2, 16: 4}


def wavefronts(addresses: np.ndarray, active: np.ndarray, width: int) -> np.ndarray:
    """Return the wavefronts that each request takes, (n,); 0 for one without an active lane.

    `addresses` are the lanes' first bytes in shared memory, (n, 32) int64, multiples of `width`; `active` is
    (n, 32) bool, and what the other lanes hold does not matter; each lane moves `width` bytes: 1, 2, 4, 8 or
    16. Raises InputError for another width. Nsight Compute counts them as `memory_l1_wavefronts_shared`.

    >>> lanes, everyone = np.arange(32)[np.newaxis], np.ones((1, 32), bool)
    >>> wavefronts(4 * lanes, everyone, 4), wavefronts(128 * lanes, everyone, 4)
    (array([1]), array([32]))
    >>> wavefronts(16 * lanes, everyone, 16)
    array([4])
    """
    n, phases = len(addresses), _phases(width)
    # An aligned access of 2 or 4 words takes neighbouring banks together, which then are as one wide bank.
    wide = max(width, WORD)
    units = np.where(active, addresses >> (wide.bit_length() - 1), _NONE).reshape(n * phases, 32 // phases)
    loads = _loads(units, BANKS * WORD // wide)
    if loads.max(initial=0) > 1:  # a conflict, or lanes that want the same: that counts once
        units.sort(axis=1)
        np.copyto(units[:, 1:], _NONE, where=units[:, 1:] == units[:, :-1])
        loads = _loads(units, BANKS * WORD // wide)
    return loads.max(axis=0).reshape(n, phases).sum(axis=1)


def ideal_wavefronts(active: np.ndarray, width: int) -> np.ndarray:
    """Return the wavefronts without a conflict, (n,): the phases that have an active lane.

    Raises InputError for a width that is not 1, 2, 4, 8 or 16 bytes.

    >>> ideal_wavefronts(np.arange(32)[np.newaxis] < 9, 16)
    array([2])
    """
    phases = _phases(width)
    return np.count_nonzero(active.reshape(len(active), phases, 32 // phases).any(axis=2), axis=1)


#: What a lane wants that is not active.
_NONE = -1


def _loads(units: np.ndarray, banks: int) -> np.ndarray:
    """Count what each bank is asked for in each phase: (phases, lanes) to (banks, phases)."""
    phases = len(units)
    place = np.where(units == _NONE, banks, units & (banks - 1)) * phases + np.arange(phases)[:, np.newaxis]
    return np.bincount(place.ravel(), minlength=(banks + 1) * phases)[: banks * phases].reshape(banks, phases)


def _phases(width: int) -> int:
    if width not in PHASES:
        raise InputError(f"an access to shared memory is 1, 2, 4, 8 or 16 bytes a lane, not {width}")
    return PHASES[width]
