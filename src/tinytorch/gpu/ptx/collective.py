"""Lanes of a warp that talk through registers: shfl, vote, match, redux, elect, activemask.

A rectangle (warps, 32) of lanes' values goes in, and one comes out. Lanes talk with those that execute with
them and name the same membermask; where all lanes of a warp name one mask, they are one group. (PTX ISA 9.x,
NVIDIA.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError, Pair

Arrays = np.ndarray | tuple[np.ndarray, ...]
_LANES = np.arange(32, dtype=np.int32)
#: What redux gives for a NaN.
_CANONICAL_NAN = np.int32(0x7FFFFFFF)
_INFINITY = 0x7F800000


@dataclass(frozen=True)
class Collective:
    """What a warp-wide instruction computes.

    `apply` takes the lanes that execute, (n, 32) bool, and the sources, each (n, 32) or (1, 1) of its dtype;
    it returns an array (n, 32), to be read only, or a tuple of them if there are more results. What lanes get
    that do not execute has no meaning. A membermask that leaves out the lane that executes, or names one that
    neither executes nor has exited, is an error of the program: it is the source of index `member`, if any.
    """

    sources: tuple[str, ...]
    results: tuple[str, ...]
    apply: Callable[..., Arrays]
    member: int | None = None


def collective_of(instruction: Instruction) -> Collective | None:
    """Return what a warp-wide instruction computes; None for any other instruction.

    Raises NotCoveredError for a form of it that there is not.

    >>> from tinytorch.gpu.ptx.program import Immediate, Register
    >>> d, p, everyone = Register("%r1", "b32"), Register("%p1", "pred"), Immediate(-1, "int")
    >>> text = "vote.sync.ballot.b32 %r1, %p1, -1;"
    >>> ballot = collective_of(Instruction("vote", ("sync", "ballot", "b32"), (d, p, everyone), 1, text))
    >>> odd = np.arange(32)[np.newaxis] % 2 == 1
    >>> hex(ballot.apply(np.ones((1, 32), bool), odd, np.array([[0xFFFFFFFF]], np.uint32))[0, 0])
    '0xaaaaaaaa'
    """
    maker = _MAKERS.get(instruction.opcode)
    if maker is None:
        return None
    modifiers = tuple(word for word in instruction.modifiers if word != "sync")
    synchronized = len(modifiers) < len(instruction.modifiers)
    paired = bool(instruction.operands) and isinstance(instruction.operands[0], Pair)
    found = maker(modifiers, synchronized, paired)
    if found is None:
        raise NotCoveredError(instruction)
    if len(instruction.operands) != len(found.sources) + 1:
        raise NotCoveredError(instruction, f"it takes {len(found.sources) + 1} operands")
    return found


def _shfl(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d[|p], a, b, c[, membermask]: the a of the lane that b, c and the mode tell; p if that is in range.

    Out of range, a lane keeps its own a. What is read from a lane that does not execute, the ISA leaves open:
    it is the lane's own a here, too.
    """
    if len(modifiers) != 2 or modifiers[0] not in ("up", "down", "bfly", "idx") or modifiers[1] != "b32":
        return None
    mode = modifiers[0]

    def apply(active: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, *member: np.ndarray) -> Arrays:
        source, inside = _source(mode, b, c)
        a = np.broadcast_to(a, active.shape)
        if len(source) == 1:  # b and c are the same for every warp: the common case
            taken, there = a[:, source[0]], active[:, source[0]]
        else:
            taken, there = np.take_along_axis(a, source, axis=1), np.take_along_axis(active, source, axis=1)
        taken = np.where(there, taken, a)
        return (taken, np.broadcast_to(inside, active.shape)) if paired else taken

    results = ("u4", "?") if paired else ("u4",)
    sources = ("u4", "i4", "i4", *_member(synchronized))
    return Collective(sources, results, apply, 3 if synchronized else None)


def _source(mode: str, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lane that each lane reads, and whether it is in range, (1 or n, 32).

    Bits 8 to 12 of c are those of a lane's number that tell its segment; bits 0 to 4 are the last lane that
    may be read, and the first for `up`, within the segment.
    """
    b, segment, clamp = b & 31, (c >> 8) & 31, c & 31
    first = _LANES & segment
    bound = first | (clamp & ~segment)
    if mode == "up":
        source = _LANES - b
        inside = source >= bound
    else:
        if mode == "down":
            source = _LANES + b
        elif mode == "bfly":
            source = _LANES ^ b
        else:
            source = first | (b & ~segment)
        inside = source <= bound
    return np.where(inside, source, _LANES), inside


def _vote(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d, a[, membermask]: whether a holds in all, in any or alike in all lanes; or where it holds."""
    votes: dict[tuple[str, ...], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        ("all", "pred"): lambda group, a: ~(group & ~a).any(axis=2),
        ("any", "pred"): lambda group, a: (group & a).any(axis=2),
        ("uni", "pred"): lambda group, a: ~((group & a).any(axis=2) & (group & ~a).any(axis=2)),
        ("ballot", "b32"): lambda group, a: _bits(group & a),
    }
    if modifiers not in votes or paired:
        return None
    vote = votes[modifiers]

    def apply(active: np.ndarray, a: np.ndarray, *member: np.ndarray) -> Arrays:
        return np.broadcast_to(vote(_groups(active, *member), _row(a)), active.shape)

    results = ("?",) if modifiers[1] == "pred" else ("u4",)
    return Collective(("?", *_member(synchronized)), results, apply, 1 if synchronized else None)


def _match(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d[|p], a, membermask: the lanes with the same a (any); all lanes if all have the same, else 0 (all)."""
    if len(modifiers) != 2 or modifiers[0] not in ("any", "all") or modifiers[1] not in ("b32", "b64"):
        return None
    if not synchronized or (paired and modifiers[0] == "any"):
        return None

    def match_any(active: np.ndarray, a: np.ndarray, member: np.ndarray) -> Arrays:
        return _bits(
            _groups(active, member) & (np.broadcast_to(a, active.shape)[:, :, np.newaxis] == _row(a))
        )

    def match_all(active: np.ndarray, a: np.ndarray, member: np.ndarray) -> Arrays:
        group = _groups(active, member)
        leader = np.broadcast_to(group.argmax(axis=2), active.shape)
        expected = np.take_along_axis(np.broadcast_to(a, active.shape), leader, axis=1)
        same = ~(group & (_row(a) != expected[:, :, np.newaxis])).any(axis=2)
        lanes = np.where(same, _bits(group), np.uint32(0))
        return (lanes, same) if paired else lanes

    dtype = "u4" if modifiers[1] == "b32" else "u8"
    results = ("u4", "?") if paired else ("u4",)
    return Collective((dtype, "u4"), results, match_any if modifiers[0] == "any" else match_all, 1)


#: Operations of redux on integers: the ufunc, and by dtype what a lane that takes no part adds to it.
_REDUCTIONS: dict[tuple[str, str], tuple[np.ufunc, str, int]] = {
    ("add", "u32"): (np.add, "u4", 0),
    ("add", "s32"): (np.add, "i4", 0),
    ("min", "u32"): (np.minimum, "u4", 2**32 - 1),
    ("min", "s32"): (np.minimum, "i4", 2**31 - 1),
    ("max", "u32"): (np.maximum, "u4", 0),
    ("max", "s32"): (np.maximum, "i4", -(2**31)),
    ("and", "b32"): (np.bitwise_and, "u4", 2**32 - 1),
    ("or", "b32"): (np.bitwise_or, "u4", 0),
    ("xor", "b32"): (np.bitwise_xor, "u4", 0),
}


def _redux(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d, a, membermask: one operation over the a of all lanes."""
    if not synchronized or paired:
        return None
    if modifiers[-1:] == ("f32",):
        return _redux_float(modifiers)
    if len(modifiers) != 2 or modifiers not in _REDUCTIONS:
        return None
    ufunc, dtype, neutral = _REDUCTIONS[modifiers[0], modifiers[1]]
    absent = np.array(neutral, dtype)

    def apply(active: np.ndarray, a: np.ndarray, member: np.ndarray) -> Arrays:
        parts = np.where(_groups(active, member), _row(a), absent)
        return np.broadcast_to(ufunc.reduce(parts, axis=2, dtype=dtype), active.shape)

    return Collective((dtype, "u4"), (dtype,), apply, 1)


def _redux_float(modifiers: tuple[str, ...]) -> Collective | None:
    """min or max of floats: -0 is below +0, and NaNs are left out, unless .NaN makes one the result."""
    allowed = [
        (*head, *tail) for head in (("min",), ("max",)) for tail in ((), ("abs",), ("NaN",), ("abs", "NaN"))
    ]
    if modifiers[:-1] not in allowed:
        return None
    ufunc, _, neutral = _REDUCTIONS[modifiers[0], "s32"]

    def apply(active: np.ndarray, a: np.ndarray, member: np.ndarray) -> Arrays:
        if "abs" in modifiers:
            a = a & np.int32(0x7FFFFFFF)
        group, nan = _groups(active, member), _row((a & 0x7FFFFFFF) > _INFINITY)
        # Floats are ordered as integers once the lower bits of the negative ones are turned over.
        ordered = ufunc.reduce(
            np.where(group & ~nan, _row(a ^ ((a >> 31) & 0x7FFFFFFF)), np.int32(neutral)), axis=2
        )
        none = (group & nan).any(axis=2) if "NaN" in modifiers else ~(group & ~nan).any(axis=2)
        bits = np.where(none, _CANONICAL_NAN, ordered ^ ((ordered >> 31) & 0x7FFFFFFF))
        return np.broadcast_to(bits, active.shape)

    return Collective(("i4", "u4"), ("i4",), apply, 1)


def _elect(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d|p, membermask: the number of one lane, and p in that one: the lowest here, the ISA leaves it open."""
    if modifiers or not synchronized or not paired:
        return None

    def apply(active: np.ndarray, member: np.ndarray) -> Arrays:
        leader = np.broadcast_to(_groups(active, member).argmax(axis=2), active.shape)
        return leader.astype(np.uint32), leader == _LANES

    return Collective(("u4",), ("u4", "?"), apply, 0)


def _activemask(modifiers: tuple[str, ...], synchronized: bool, paired: bool) -> Collective | None:
    """d: the lanes that execute."""
    if modifiers != ("b32",) or synchronized or paired:
        return None
    return Collective((), ("u4",), lambda active: np.broadcast_to(_bits(_groups(active)), active.shape))


_MAKERS = {
    "shfl": _shfl,
    "vote": _vote,
    "match": _match,
    "redux": _redux,
    "elect": _elect,
    "activemask": _activemask,
}


def _member(synchronized: bool) -> tuple[str, ...]:
    return ("u4",) if synchronized else ()


def _row(a: np.ndarray) -> np.ndarray:
    """Turn what lanes hold into what each lane sees of the others, (n, 1, 32)."""
    return a[:, np.newaxis, :]


def _groups(active: np.ndarray, member: np.ndarray | None = None) -> np.ndarray:
    """Return with whom each lane talks: (n, 1, 32) if the lanes of each warp are one group, else (n, 32, 32).

    Lanes may name different masks in one instruction, as after match.any: those that name the same talk.
    """
    everyone = _row(active)
    if member is None or member.shape[1] == 1:
        return everyone
    leader = active.argmax(axis=1)[:, np.newaxis]
    if not (active & (member != np.take_along_axis(member, leader, axis=1))).any():
        return everyone
    return everyone & (member[:, :, np.newaxis] == _row(member))


def _bits(lanes: np.ndarray) -> np.ndarray:
    """Pack (..., 32) bool into (...) uint32, lane 0 lowest."""
    return np.packbits(lanes, axis=-1, bitorder="little").view("<u4")[..., 0]
