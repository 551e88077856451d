"""mbarrier: objects of 64 bits in shared memory that count arrivals, and the bytes of bulk copies, by phases.

A phase is over when nobody is pending and all bytes that were announced have come: the next begins at once.
Kernels cannot look into objects; here they are four counts side by side. (PTX ISA, mbarrier.)
"""

from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError

#: The most arrivals that can be expected, and bytes that can be outstanding.
MOST = (1 << 20) - 1

_EXPECTED, _BYTES, _PHASE, _MARK = 20, 40, 61, 62  # where each count begins; the pending arrivals come first
_LIVE = 2  # in the two highest bits: neither zeros nor ones are an object
_SEMANTICS = {"release", "acquire", "relaxed", "cta", "cluster"}
_KINDS = {
    **{"init": (), "inval": (), "expect_tx": (), "complete_tx": ()},
    **{"arrive": ("expect_tx", "noComplete"), "arrive_drop": ("expect_tx", "noComplete")},
    **{"test_wait": ("parity",), "try_wait": ("parity",), "pending_count": ()},
}


@dataclass(frozen=True)
class MBarrier:
    """An instruction on an mbarrier object: `kind` as in the text, and what follows it.

    Operands are results first, then the address, then counts, a state or a parity.
    """

    kind: str
    expect_tx: bool = False  # an arrive that announces bytes, too
    parity: bool = False  # a wait that names the phase by its parity and not by a state


def mbarrier_of(instruction: Instruction) -> MBarrier | None:
    """Return what an instruction does to an mbarrier object, None for other opcodes. Raises NotCoveredError.

    >>> name = "try_wait.parity.shared.b64"
    >>> mbarrier_of(Instruction("mbarrier", tuple(name.split(".")), (), 1, ""))
    MBarrier(kind='try_wait', expect_tx=False, parity=True)
    """
    if instruction.opcode != "mbarrier":
        return None
    kind, *words = instruction.modifiers or ("",)
    known = {*_KINDS.get(kind, ()), *_SEMANTICS, "b64"}
    unknown = [word for word in words if word not in known and word.partition("::")[0] != "shared"]
    if kind not in _KINDS or unknown:
        raise NotCoveredError(instruction)
    return MBarrier(kind, "expect_tx" in words, "parity" in words)


def made(arrivals: np.ndarray) -> np.ndarray:
    """Return new objects that expect so many arrivals in each phase, uint64.

    >>> pending(made(np.array([3]))).tolist()
    [3]
    """
    return _packed(arrivals, arrivals, np.zeros_like(arrivals), np.zeros_like(arrivals))


def live(objects: np.ndarray) -> np.ndarray:
    """Say which objects are ones: made, and not garbage or driven out of their counts."""
    return np.asarray(objects, "u8") >> np.uint64(_MARK) == _LIVE


def pending(objects: np.ndarray) -> np.ndarray:
    """Return the arrivals that the current phase of each object waits for."""
    return _field(objects, 0)


def arrived(objects: np.ndarray, count: np.ndarray | int, drop: bool = False) -> np.ndarray:
    """Return objects after `count` arrivals; with `drop` later phases expect as many fewer.

    What more arrive than are pending for is no object any more.

    >>> parity(arrived(made(np.array([2, 1])), 1)).tolist()
    [0, 1]
    """
    left, expected = _field(objects, 0) - count, _field(objects, _EXPECTED) - (count if drop else 0)
    return _next(objects, left, expected, _bytes(objects))


def announced(objects: np.ndarray, nbytes: np.ndarray | int) -> np.ndarray:
    """Return objects that wait for so many bytes more; negative numbers are bytes that have come.

    >>> waiting = arrived(announced(made(np.array([1])), 64), 1)
    >>> parity(waiting).tolist(), parity(announced(waiting, -64)).tolist()
    ([0], [1])
    """
    return _next(objects, _field(objects, 0), _field(objects, _EXPECTED), _bytes(objects) + nbytes)


def parity(objects: np.ndarray) -> np.ndarray:
    """Return the parity of the current phase of each object, 0 or 1.

    A phase of the other parity is over: it is the one before. That holds for the states that arrivals return,
    too, which are the objects as they were.
    """
    return _field(objects, _PHASE, 1)


def _next(objects: np.ndarray, left: np.ndarray, expected: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
    over = (left == 0) & (nbytes == 0)
    phase = parity(objects) ^ over
    fine = live(objects) & (left >= 0) & (expected >= 0) & (np.abs(nbytes) <= MOST)
    return np.where(fine, _packed(np.where(over, expected, left), expected, nbytes, phase), np.uint64(0))


def _packed(left: np.ndarray, expected: np.ndarray, nbytes: np.ndarray, phase: np.ndarray) -> np.ndarray:
    shifted = (left, expected << _EXPECTED, nbytes + MOST << _BYTES, phase << _PHASE)
    low = np.bitwise_or.reduce([np.asarray(part, "i8") for part in np.broadcast_arrays(*shifted)])
    return low.astype("u8") | np.uint64(_LIVE << _MARK)


def _bytes(objects: np.ndarray) -> np.ndarray:
    return _field(objects, _BYTES, 21) - MOST


def _field(objects: np.ndarray, begin: int, bits: int = 20) -> np.ndarray:
    return (np.asarray(objects, "u8") >> np.uint64(begin) & np.uint64((1 << bits) - 1)).astype("i8")
