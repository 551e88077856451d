"""`tito release` and `tito grade`: what an instructor gives out, and what came back."""

import argparse
from pathlib import Path
from typing import Any

from tinytorch.options import count, positive


def add(commands: Any) -> None:
    """Add `release` and `grade` to the commands of tito."""
    release = commands.add_parser(
        "release",
        help="write the notebook for students, and the one with solutions, as nbgrader lays them out",
        description="Write FOLDER/source/13_kernels/kernels.ipynb with solutions and "
        "FOLDER/release/13_kernels/kernels.ipynb without them, checked to tell none.",
    )
    release.add_argument(
        "folder", type=Path, metavar="FOLDER", help="of your course; made if it is not there"
    )
    release.add_argument("--force", action="store_true", help="write anew what is there already")
    release.set_defaults(command=_release, name="release")
    _add_grade(commands)


def _add_grade(commands: Any) -> None:
    grade = commands.add_parser(
        "grade",
        help="grade a folder of submissions",
        description="Grade FOLDER/NAME.ipynb, NAME.py, NAME/kernels.ipynb and NAME/13_kernels/kernels.ipynb, "
        "each by a process of its own and the student's code confined in another. Writes grades.csv (points "
        "by step), grades.json (everything) and feedback/NAME.html. The exit status is 1 if something "
        "handed in could not be graded.",
    )
    grade.add_argument("folder", type=Path, metavar="FOLDER", help="one file or folder for each student")
    grade.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: FOLDER-graded beside FOLDER)"
    )
    grade.add_argument("--csv", type=Path, metavar="FILE", help="(default: grades.csv in --out)")
    grade.add_argument("--json", type=Path, metavar="FILE", help="(default: grades.json in --out)")
    grade.add_argument("--feedback", type=Path, metavar="DIR", help="(default: feedback in --out)")
    grade.add_argument(
        "--jobs",
        type=_jobs,
        metavar="N",
        help="submissions graded at a time (default: half the CPUs; more make ratios of speed less sure)",
    )
    grade.add_argument(
        "--timeout",
        type=positive,
        default=300.0,
        metavar="S",
        help="seconds for one submission (default: %(default)g)",
    )
    grade.add_argument("--seed", type=count, metavar="N", help="draw the inputs of an earlier run again")
    again = grade.add_mutually_exclusive_group()
    again.add_argument(
        "--continue",
        dest="go_on",
        action="store_true",
        help="keep what is graded there, with its seed, and grade what is new, changed or had a problem",
    )
    again.add_argument("--force", action="store_true", help="grade all anew, over the grades that are there")
    grade.add_argument(
        "--without-gpu",
        action="store_true",
        help="leave out the kernels of step 7 where numba-cuda is missing: they gain no points",
    )
    grade.set_defaults(command=_grade, name="grade")


def _jobs(text: str) -> int:
    value = count(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 256")
    return value


def _release(options: argparse.Namespace) -> int:
    from tinytorch.course.release import release

    source, given = release(options.folder, force=options.force)
    print(f"written: {source} with solutions, and {given} for students, in which none is told")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.course.grading.pool import Graders, default_jobs
    from tinytorch.course.grading.run import Output, run

    output = Output.of(options.folder, options.out, options.csv, options.json, options.feedback)
    graders = Graders(options.seed, options.jobs or default_jobs(), options.timeout, options.without_gpu)
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    good = run(options.folder, output, graders, console, go_on=options.go_on, force=options.force)
    return 0 if good else 1
