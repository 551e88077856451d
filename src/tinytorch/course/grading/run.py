"""The whole of `tito grade`: from a folder of submissions to points, everything found, and a page for each.

What is graded is kept in JSON while the rest is under way, so that an interrupted run can be gone on with.
"""

import importlib.util
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tinytorch.course import outcome
from tinytorch.course.exercises import STEPS, exercises
from tinytorch.course.grading import feedback, grades, submissions
from tinytorch.course.grading.grades import Grade, Grades
from tinytorch.course.grading.pool import Graders
from tinytorch.course.grading.submissions import Submission
from tinytorch.figures.words import plain, shortened
from tinytorch.machine.info import describe
from tinytorch.measure.report import new_table
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import install
from tinytorch.runtime.files import check_writable, write_whole

#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 1
#: Seconds between two writings of it: for 300 students it has 3 MB.
_PAUSE = 10.0


@dataclass(frozen=True)
class Output:
    """Where the results go: two files and a folder of pages."""

    csv: Path
    json: Path
    feedback: Path

    @classmethod
    def of(
        cls, folder: Path, out: Path | None, csv: Path | None, json: Path | None, feedback: Path | None
    ) -> "Output":
        """Return where they go: what is not named goes to `out`, and that is beside the submissions.

        Raises InputError if that were among the submissions, or cannot be written.
        """
        root = folder.resolve()
        out = root.with_name(f"{root.name}-graded") if out is None else out
        output = cls(csv or out / "grades.csv", json or out / "grades.json", feedback or out / "feedback")
        for path in (output.csv, output.json, output.feedback):
            if path.resolve().is_relative_to(root):
                raise InputError(f"{path} would be among the submissions; name another place")
        return output

    def prepare(self) -> None:
        """Make the folders; raises ValueError or OSError for what cannot be written."""
        for folder in (self.csv.parent, self.json.parent, self.feedback):
            folder.mkdir(parents=True, exist_ok=True)
        check_writable(self.csv, "--csv")
        check_writable(self.json, "--json")
        check_writable(self.feedback / "page", "--feedback")


def run(
    folder: Path,
    output: Output,
    graders: Graders,
    console: Console,
    go_on: bool = False,
    force: bool = False,
) -> bool:
    """Grade what is in a folder and write the results; says whether all that was handed in could be graded.

    Grades that are there already are gone on with (`go_on`), or graded anew (`force`). Raises InputError for
    what cannot be begun: no submissions, grades that are there, a check that could not be run here.
    """
    feedback.page(Grade("", ""))  # what is missing for it is said before anything is done
    if not graders.without_gpu and importlib.util.find_spec("numba_cuda") is None:
        raise InputError(
            f"the kernels of step 7 cannot be checked without numba-cuda: {install('gpu')}, "
            "or leave them out with --without-gpu"
        )
    found = submissions.find(folder)
    if output.json.exists() and not (go_on or force):
        raise InputError(
            f"{output.json} holds grades already: --continue grades what is new, changed or had a problem, "
            "--force grades all anew"
        )
    kept = _kept(output.json, graders, found.submissions) if go_on and output.json.exists() else {}
    if graders.seed is None:
        graders.seed = outcome.fresh_seed()
    output.prepare()
    todo = [each for each in found.submissions if each.student not in kept]
    console.print(
        f"{len(found.submissions)} submissions{f', {len(kept)} graded before' if kept else ''}; "
        f"{graders.jobs} at a time; inputs drawn from seed {graders.seed}"
    )
    for name in found.others:
        console.print(f"passed over, no submission: {plain(name)}", markup=False)
    result = _graded(todo, kept, found.submissions, output, graders, console)
    write_whole(output.csv, result.csv())
    _show(console, result)
    console.print(
        f"written: {output.csv}, {output.json} and {len(result.grades)} pages in {output.feedback}",
        markup=False,
    )
    return all(grade.graded or grade.problem == submissions.NOTHING for grade in result.grades)


def _graded(
    todo: list[Submission],
    kept: Mapping[str, Grade],
    order: tuple[Submission, ...],
    output: Output,
    graders: Graders,
    console: Console,
) -> Grades:
    """Grade what is to be done; what was found is in the JSON file even if this is interrupted."""
    settings = {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "jobs": graders.jobs,
        "timeout": graders.seconds,
        "without_gpu": graders.without_gpu,
        "machine": describe().as_dict(),
    }
    done = dict(kept)

    def result() -> Grades:
        assert graders.seed is not None
        some = tuple(done[each.student] for each in order if each.student in done)
        return Grades(some, graders.seed, len(some) == len(order), settings)

    def write() -> None:
        write_whole(output.json, json.dumps(result().as_dict(), indent=1) + "\n")

    written = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        watch = _Watch(progress, len(todo))
        graders.tell = watch.tell
        try:
            for grade in graders.grade(todo):
                done[grade.student] = grade
                watch.over(grade)
                write_whole(output.feedback / feedback.file_name(grade.student), feedback.page(grade))
                if time.monotonic() - written > _PAUSE:
                    write()
                    written = time.monotonic()
        except KeyboardInterrupt:
            console.print(f"{len(done)} of {len(order)} are graded; --continue goes on with the rest")
            raise
        finally:
            write()
    return result()


def _kept(path: Path, graders: Graders, found: tuple[Submission, ...]) -> dict[str, Grade]:
    """Return the grades of an earlier run that still hold, and take over its seed."""
    seed, before = grades.read(path)
    if graders.seed not in (None, seed):
        raise InputError(f"the grades in {path} were drawn from seed {seed}; --continue goes on with that")
    graders.seed = seed

    def holds(grade: Grade | None, submission: Submission) -> bool:
        return (
            grade is not None
            and grade.graded
            and (grade.file, grade.digest) == (submission.file, submission.digest)
            and [each.exercise for each in grade.outcomes] == list(exercises())
            and (graders.without_gpu or all(each.state != "not run" for each in grade.outcomes))
        )

    return {each.student: before[each.student] for each in found if holds(before.get(each.student), each)}


class _Watch:
    """The bar that shows how far the submissions are; told from the threads that listen to graders."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        self._all = progress.add_task("submissions", total=count)
        self._one: dict[str, Any] = {}

    def tell(self, student: str, exercise: str) -> None:
        """Show that a student's next exercise is done, or at first that the student's turn has come."""
        if not exercise:
            name = escape(shortened(plain(student), 24))
            self._one[student] = self._progress.add_task(name, total=len(exercises()))
        else:
            self._progress.advance(self._one[student])

    def over(self, grade: Grade) -> None:
        """Show that a student is done."""
        if grade.student in self._one:
            self._progress.remove_task(self._one.pop(grade.student))
        self._progress.advance(self._all)


def _show(console: Console, result: Grades) -> None:
    """Print points by student and step, and what could not be graded."""
    table = new_table("Points by step")
    table.add_column("student", overflow="fold")
    for step in (*STEPS, "total"):
        table.add_column(str(step), justify="right", no_wrap=True)
    rows = [
        (escape(plain(grade.student)), [*map(grade.of_step, STEPS), grade.points]) for grade in result.grades
    ]
    worth = grades.worth()
    for name, points in [*rows, ("[dim]possible[/dim]", [*worth.values(), sum(worth.values())])]:
        table.add_row(name, *map(str, points))
    console.print(table)
    for grade in result.grades:
        if not grade.graded:
            console.print(f"{plain(grade.student)}: {plain(grade.problem)}", markup=False)
