"""`tito test`: the checks run on a notebook's exported cells, in a process apart."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.course import given, names, notebook, outcome, reading, tested
from tinytorch.course.exercises import STEPS, Exercise, exercises, of_step
from tinytorch.course.outcome import Outcome
from tinytorch.course.running.runner import Runner
from tinytorch.course.workspace import Workspace
from tinytorch.runtime.errors import InputError, told


@dataclass(frozen=True)
class Result:
    """What was found of a notebook: outcomes in the order of the course, and remarks on its cells."""

    notebook: Path
    seed: int
    outcomes: tuple[Outcome, ...]
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether all that was asked for passed."""
        return all(one.state == "passed" for one in self.outcomes)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "module": notebook.MODULE,
            "notebook": str(self.notebook),
            "seed": self.seed,
            "points": sum(one.points for one in self.outcomes),
            "of": sum(one.of for one in self.outcomes),
            "passed": self.passed,
            "remarks": list(self.remarks),
            "outcomes": [one.as_dict() for one in self.outcomes],
        }


def chosen(steps: Collection[int], wanted: Iterable[str]) -> tuple[Exercise, ...]:
    """Return the exercises of these steps and of these names; all, if none are given.

    Raises InputError naming those that there are.
    """
    steps, wanted = set(steps), set(wanted)
    if unknown := [step for step in steps if step not in STEPS]:
        raise InputError(f"there is no step {unknown[0]}; steps are 1 to {max(STEPS)}")
    if missing := [name for name in wanted if name not in exercises()]:
        known = "; ".join(f"{step}: {', '.join(one.name for one in of_step(step))}" for step in STEPS)
        raise InputError(f"there is no exercise {missing[0]!r}; those of each step are {known}")
    every = exercises().values()
    if not steps and not wanted:
        return tuple(every)
    return tuple(one for one in every if one.step in steps or one.name in wanted)


def run(
    workspace: Workspace, asked: Iterable[Exercise], seed: int | None, tell: Callable[[Exercise], None]
) -> Result:
    """Check exercises of a notebook, and keep in its workspace what was found; `tell` hears of each before.

    Raises InputError for a notebook that cannot be read or has no exported cell.
    """
    handed_in = given.read(workspace.notebook)
    by_number = given.exported_by_number(handed_in)
    sources = tuple(by_number.values())
    if not sources:
        raise InputError(f"no cell of {workspace.notebook} begins with #| export: nothing to check")
    seed = outcome.fresh_seed() if seed is None else seed
    found = []
    with Runner(sources) as learner:
        for exercise in asked:
            tell(exercise)
            found.append(outcome.run(exercise, learner, seed))
    lost = _lost(handed_in, sources)
    remarks = [*_why(found, by_number, lost), *lost.values()]
    if workspace.folder is not None:
        try:
            tested.keep(workspace.folder, found, tested.digests(sources))
        except OSError as error:  # what took minutes is shown all the same
            remarks.append(f"what was found is not kept: {told(error)}")
    return Result(workspace.notebook, seed, tuple(found), tuple(remarks))


def _why(found: Iterable[Outcome], by_number: Mapping[int, str], lost: Collection[str]) -> Iterator[str]:
    """Yield what a state does not tell: functions defined twice, under another name, or leaning on others.

    Nothing is said of those in `lost`.
    """
    cells = {number: names.of_cell(source) for number, source in by_number.items()}
    text = "\n".join(source for number, source in by_number.items() if cells[number][1])
    there = frozenset[str]().union(*(bound for bound, _ in cells.values()))
    missing = []
    for name, state in ((one.exercise, one.state) for one in found if one.state != "passed"):
        where = [str(number) for number, (bound, _) in cells.items() if name in bound]
        if len(where) > 1:
            yield f"cells {', '.join(where[:-1])} and {where[-1]} define {name}; the last one counts"
        elif not where and name not in lost:
            near = difflib.get_close_matches(name, there - exercises().keys(), 1)
            missing.append(f"{name} (is it {near[0]}?)" if near else name)
        elif where and state == "not attempted" and not reading.is_placeholder(text, name):
            yield f"{name} is written, but calls what still raises NotImplementedError"
    if missing:
        yield f"no exported cell defines {', '.join(missing)}"


def _lost(handed_in: Any, sources: Iterable[str]) -> dict[str, str]:
    """Return exercises whose cell has lost its first line, or is no code any more, each with what to do."""
    there = {name for source in sources for name in names.of_cell(source)[0]}
    found = {}
    for number, cell in enumerate(handed_in.cells, 1):
        is_code = cell.cell_type == "code"
        if is_code != given.is_exported(cell.source):
            why = "its first line is to be #| export" if is_code else "it is to be a cell of code"
            for name in sorted(names.of_cell(cell.source)[0] & exercises().keys() - there):
                found[name] = f"cell {number} holds {name} and is not checked: {why}"
    return found
