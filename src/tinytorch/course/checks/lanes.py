"""What the lanes of a learner's GPU kernel did in the emulator, and the words for what they should not.

Arrays are told by their place among the kernel's arrays, whatever the learner calls them.
"""

from collections import Counter
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from tinytorch.course.subject import RaisedError, Subject, WrongError
from tinytorch.gpu.analysis.result import AccessFigures, Analysis, Found, LineFigures

#: Bytes of the least that memory is read and written by.
SECTOR = 32
WARP = 32

_BARRIER = "All threads of a block must come to cuda.syncthreads(): keep it outside of the `if`."
_HINTS = {
    "out of bounds": "Blocks cover the array's edge and more: let a thread that has no element do nothing.",
    "race": "Warps of a block run in any order: cuda.syncthreads() belongs between one's write and another's "
    "read.",
    "read before written": "Which thread writes that place of the tile, and does it at the array's edge? "
    "A thread that has no element of x may have one of y.",
    "divergent barrier": _BARRIER,
    "barrier not reached": _BARRIER,
}


def run(learner: Subject, name: str, grid: Any, block: Any, *args: Any) -> Analysis:
    """Run a kernel; raises WrongError for what the emulator found wrong on the way."""
    try:
        found = learner.gpu(name, grid, block, *args)
    except RaisedError as error:
        if "StepLimitError" not in error.kinds:
            raise
        raise WrongError(
            f"{name} still ran after many times the instructions that its elements take",
            "Does every loop end? And does one thread do what belongs to all of them: each its own element?",
        ) from None
    if found.findings:
        first = found.findings[0]
        raise WrongError(f"{name}, {_told(first, found)}", _HINTS.get(first.kind, ""))
    if found.totals is None:
        raise WrongError(f"{name} could not be run: {'; '.join(found.notes)}")
    return found


def _told(one: Found, found: Analysis) -> str:
    """Tell a finding by its line and thread, without the file's name."""
    at = next((_at(line) for line in found.lines if (line.file, line.line) == (one.file, one.line)), "")
    what = one.text.replace(f"{one.file}:{one.line}", at or f"line {one.line}")
    return f"{found.blocks} blocks of {found.block[0]} x {found.block[1]} threads: {what}"


def _at(line: LineFigures) -> str:
    """Tell a line by its number, and its text where that is at hand."""
    text = line.text.rstrip(":")
    return f"line {line.line}, {text}" if text else f"line {line.line}"


def result(found: Analysis, place: int) -> np.ndarray:
    """Return an array as it was when the kernel had ended."""
    return tuple(found.arrays.values())[place]


def unchanged(found: Analysis, place: int, given: np.ndarray) -> None:
    """Require that an array is as it was."""
    if result(found, place).tobytes() != given.tobytes():
        raise WrongError(
            f"it wrote to {tuple(found.arrays)[place]}, an input",
            "What a thread works out on the way needs no array: keep it in a variable, which is a register.",
        )


_NEIGHBOURS = "Neighbouring lanes differ in threadIdx.x: which index of the array should it move along?"


def once(found: Analysis, place: int, kind: Literal["load", "store"], hint: str = _NEIGHBOURS) -> None:
    """Require that whole sectors of an array are read, or written, and each of them once.

    The array's rows are to be whole sectors, so that a coalesced kernel can; `hint` is for one that does not.
    """
    name = tuple(found.arrays)[place]
    kinds = ("load",) if kind == "load" else ("store", "atomic")
    some = [
        (line, access)
        for line in found.lines
        for access in line.accesses
        if access.space == "global" and access.kind in kinds and name in access.arrays
    ]
    size = result(found, place).nbytes
    sectors = sum(access.sectors for _, access in some)
    if sectors * SECTOR <= size:
        return
    line, worst = max(some, key=lambda one: one[1].sectors - one[1].ideal_sectors)
    done = "read" if kind == "load" else "written"
    at = f"{_at(line)}: {name} is {done}"
    lanes = worst.lanes / worst.requests
    if lanes < 2:
        raise WrongError(
            f"{at} by one lane of {WARP} at a time: {worst.requests:,} requests of a warp, a sector of "
            f"{SECTOR} bytes for each",
            "Every thread runs the kernel: let each do one element, that of its own place in the grid.",
        )
    if worst.sectors > worst.ideal_sectors:
        raise WrongError(
            f"{at} with {_number(worst.sectors / worst.requests)} sectors a request where "
            f"{_number(worst.ideal_sectors / worst.requests)} would do{_apart(worst)}",
            hint,
        )
    raise WrongError(
        f"{at} {sectors * SECTOR / size:.3g} times over: {sectors * SECTOR:,} bytes, where the array has "
        f"{size:,}",
        "Keep what comes next in a variable, which is a register, and go to memory once.",
    )


def _apart(access: AccessFigures) -> str:
    """Tell how far apart neighbouring lanes go."""
    addresses = access.worst.addresses if access.worst else ()
    steps = Counter(
        abs(b - a) for a, b in pairwise(addresses) if a is not None and b is not None
    ).most_common(1)
    if not steps or steps[0][0] <= access.bits // 8:
        return ""
    return f": neighbouring lanes go to places {steps[0][0]} bytes apart"


def _number(value: float) -> str:
    return f"{value:.3g}"


def no_conflicts(found: Analysis) -> None:
    """Require that shared memory answers each request as fast as it can."""
    at: list[tuple[LineFigures, AccessFigures]] = [
        (line, access) for line in found.lines for access in line.accesses if access.space == "shared"
    ]
    line, worst = max(at, key=lambda one: one[1].cost - one[1].ideal, default=(None, None))
    if line is None or worst is None or worst.cost == worst.ideal:
        return
    raise WrongError(
        f"{_at(line)}: shared memory takes {_number(worst.cost / worst.requests)} wavefronts a request "
        f"where {_number(worst.ideal / worst.requests)} would do{_apart(worst)}, in the same banks",
        "The bank of a word is its number modulo 32. How long would a row of the tile have to be, so that "
        "going down a column meets another bank at every step?",
    )


def no_divergence(found: Analysis) -> None:
    """Require that the lanes of every warp go the same way at every branch."""
    parted = [line for line in found.lines if line.divergent_branches]
    if not parted or found.totals is None:
        return
    worst = max(parted, key=lambda line: line.divergent_branches)
    raise WrongError(
        f"{_at(worst)}: lanes part at {worst.divergent_branches} of {worst.branches} branches; over the "
        f"whole kernel {_number(found.totals.active_threads)} of {WARP} lanes are at work",
        "Two sides that each store cannot be joined. Have both values first, choose one, and store once.",
    )
