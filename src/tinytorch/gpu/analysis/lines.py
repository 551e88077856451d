"""What each line of the user's own source did, out of what each instruction of the PTX did.

An instruction belongs to the first place in the user's files, going outwards from where it was inlined: what
a library does is told at the line that calls it. Accesses of one kind on one line are told together.
"""

import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinytorch.gpu.analysis.result import AccessFigures, LineFigures, WorstRequest
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.ptx.counters import Access, Request
from tinytorch.gpu.ptx.program import Instruction
from tinytorch.gpu.ptx.run import Run

#: A line of a file; of no file where the line table leaves an instruction out.
Place = tuple[str, int]
NOWHERE: Place = ("", 0)


class Lines:
    """The source of a kernel: which line an instruction belongs to, and what it says."""

    def __init__(self, compiled: Compiled, instructions: Sequence[Instruction]) -> None:
        self._own = {name for name in compiled.sources if not _is_library(name)}
        self._texts = {name: text.splitlines() for name, text in compiled.sources.items()}
        self._ptx = "" if any(i.source for i in instructions) else _ptx_file(compiled)
        if self._ptx:
            self._texts[self._ptx] = compiled.ptx.splitlines()

    def place(self, instruction: Instruction) -> Place:
        """Return the file and line of an instruction: of the PTX itself where there is no line table."""
        if instruction.source is None:
            return (self._ptx, instruction.line) if self._ptx else NOWHERE
        places = [(place.file, place.line) for place in instruction.source.chain()]
        return next((place for place in places if place[0] in self._own), places[0])

    def text(self, place: Place) -> str:
        """Return what stands on a line; nothing if the file is not at hand."""
        lines = self._texts.get(place[0], [])
        return lines[place[1] - 1].strip() if 0 < place[1] <= len(lines) else ""


def _ptx_file(compiled: Compiled) -> str:
    named = (name for name, text in compiled.sources.items() if text == compiled.ptx)
    return next(named, f"{compiled.entry}.ptx")


def _is_library(name: str) -> bool:
    path = Path(name)
    installed = {"site-packages", "dist-packages", "nvidia"} & set(path.parts)
    return bool(installed) or path.is_relative_to(sysconfig.get_paths()["stdlib"])


def line_figures(run: Run, lines: Lines) -> tuple[LineFigures, ...]:
    """Return what each line did that was executed, by file and line."""
    kernel, counters = run.kernel, run.counters
    at: defaultdict[Place, list[int]] = defaultdict(list)
    for index, instruction in enumerate(kernel.instructions):
        if counters.warps[index]:
            at[lines.place(instruction)].append(index)
    accesses: defaultdict[Place, list[Access]] = defaultdict(list)
    for access in run.accesses:
        if access.requests:
            accesses[lines.place(access.instruction)].append(access)
    branches: defaultdict[Place, list[int]] = defaultdict(lambda: [0, 0])
    for branch in run.branches:
        both = branches[lines.place(branch.instruction)]
        both[0] += branch.executed
        both[1] += branch.divergent
    matrices: Counter[Place] = Counter()
    for matrix in run.matrices:
        matrices[lines.place(matrix.instruction)] += matrix.flops
    figures = []
    for place in sorted(at):
        indices = at[place]
        executed = int(counters.warps[indices].sum())
        figures.append(
            LineFigures(
                file=place[0],
                line=place[1],
                text=lines.text(place),
                warp_instructions=executed,
                active_threads=float(counters.active[indices].sum() / executed),
                predicated_on_threads=float(counters.on[indices].sum() / executed),
                branches=branches[place][0],
                divergent_branches=branches[place][1],
                matrix_operations=matrices[place],
                accesses=tuple(_together(accesses[place])),
            )
        )
    return tuple(figures)


def _together(accesses: Iterable[Access]) -> Iterable[AccessFigures]:
    """Yield the accesses of a line, those of one kind, width and array as one."""
    alike: defaultdict[tuple[str, str, int, frozenset[str]], list[Access]] = defaultdict(list)
    for access in accesses:
        alike[access.space, access.kind, access.width, frozenset(access.arrays)].append(access)
    for (space, kind, width, _), some in alike.items():
        arrays: Counter[str] = Counter()
        for access in some:
            for names, count in access.arrays.items():  # "a, bias" where one lies in the other
                arrays.update(dict.fromkeys(names.split(", "), count))
        requests = [access.worst for access in some if access.worst is not None]
        worst = max(requests, key=lambda one: one.cost, default=None)
        yield AccessFigures(
            arrays=tuple(name for name, _ in arrays.most_common()),
            kind=kind,
            space=space,
            bits=8 * width,
            instructions=len(some),
            requests=sum(access.requests for access in some),
            lanes=sum(access.lanes for access in some),
            sectors=sum(access.sectors for access in some),
            ideal_sectors=sum(access.ideal_sectors for access in some),
            wavefronts=sum(access.wavefronts for access in some),
            ideal_wavefronts=sum(access.ideal_wavefronts for access in some),
            side_by_side=_side_by_side(requests, width),
            # Banks are shared within a request alone; sectors, by all that a warp takes from them.
            gap=_gap(worst, [] if space == "shared" else requests),
            worst=None
            if worst is None
            else WorstRequest(worst.block, worst.warp, worst.cost, worst.addresses),
        )


def _side_by_side(requests: Sequence[Request], width: int) -> int:
    """Return how many neighbours one lane goes to with the instructions of a line, beginning at the first.

    One if lanes go to the same places: what lies side by side is then no lane's own.
    """
    same = _of_one_warp(requests)
    every = [address for request in same for address in request.addresses if address is not None]
    if len(set(every)) < len(every):
        return 1
    found = 1
    for addresses in zip(*(request.addresses for request in same), strict=True):
        there = {address for address in addresses if address is not None}
        if there:
            first, count = min(there), 1
            while first + count * width in there:
                count += 1
            found = max(found, count)
    return found


def _gap(worst: Request | None, requests: Sequence[Request]) -> int | None:
    """Return the bytes between neighbouring places that a warp goes to, if they are mostly the same."""
    if worst is None:
        return None
    same = [r for r in _of_one_warp(requests) if (r.block, r.warp) == (worst.block, worst.warp)] or [worst]
    places = np.unique([a for request in same for a in request.addresses if a is not None])
    if len(places) < 2:
        return None
    gaps, counts = np.unique(np.diff(places), return_counts=True)
    often = int(counts.argmax())
    return int(gaps[often]) if counts[often] >= 0.75 * counts.sum() else None


def _of_one_warp(requests: Sequence[Request]) -> list[Request]:
    """Return those requests that the warp of the first made: only theirs lie beside each other."""
    return [r for r in requests if (r.block, r.warp) == (requests[0].block, requests[0].warp)]


def operations(run: Run) -> Mapping[str, int]:
    """Return the floating-point operations that ran, by dtype: a fused multiply-add is two."""
    done: Counter[str] = Counter()
    for matrix in run.matrices:
        done[_matrix_dtype(matrix.instruction)] += matrix.flops
    for instruction, lanes in zip(run.kernel.instructions, run.counters.on.tolist(), strict=True):
        if lanes and instruction.opcode in _PER_LANE and instruction.modifiers[-1] in _FLOATS:
            dtype, packed = _FLOATS[instruction.modifiers[-1]]
            done[dtype] += _PER_LANE[instruction.opcode] * packed * lanes
    return dict(done)


_PER_LANE = {
    **dict.fromkeys(
        ("add", "sub", "mul", "div", "sqrt", "rsqrt", "rcp", "ex2", "lg2", "sin", "cos", "tanh"), 1
    ),
    **dict.fromkeys(("fma", "mad"), 2),
}
_FLOATS = {
    **{"f64": ("fp64", 1), "f32": ("fp32", 1), "f16": ("fp16", 1), "bf16": ("bf16", 1)},
    **{"f32x2": ("fp32", 2), "f16x2": ("fp16", 2), "bf16x2": ("bf16", 2)},
}
_MATRICES = {
    **{"f16": "fp16", "bf16": "bf16", "tf32": "tf32", "f64": "fp64", "e4m3": "fp8", "e5m2": "fp8"},
    **{"s8": "int8", "u8": "int8", "s4": "int4", "u4": "int4"},
}


def _matrix_dtype(instruction: Instruction) -> str:
    """Return what a matrix instruction multiplies: it names the result first, as .f32.bf16.bf16.f32.

    That of wmma does not name f16, as .f32.f32.
    """
    kinds = [word for word in instruction.modifiers if word in {*_MATRICES, "f32", "s32"}]
    return _MATRICES[kinds[1] if len(kinds) > 2 else "f16"]
