"""The whole of `tito bench`, from the machine to the JSON file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tinytorch.bench import report
from tinytorch.bench.digits import classify
from tinytorch.bench.ladder import climb
from tinytorch.bench.page import figures, render
from tinytorch.figures.drawn import save_all
from tinytorch.machine.info import describe
from tinytorch.measure.limits import limits
from tinytorch.measure.load import Load
from tinytorch.measure.report import show_machine
from tinytorch.measure.timing import Effort
from tinytorch.runtime.files import write_whole
from tinytorch.runtime.threads import get_num_threads

if TYPE_CHECKING:
    from tinytorch.bench.mine import Mine

#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 2
QUICK: Effort = {"seconds": 0.05, "rounds": 9}
FULL: Effort = {"seconds": 0.5, "rounds": 20}


@dataclass(frozen=True)
class Output:
    """What is to be written beside what is printed."""

    json: Path | None = None
    html: Path | None = None
    figures: Path | None = None  # a folder
    suffix: str = ".svg"


def run(quick: bool, output: Output, console: Console, mine: "Mine | None" = None) -> None:
    """Measure everything and print it; write what is asked for.

    Of a learner's kernels, `mine`, only the ladders that they are on are measured.
    Raises WrongResultError if a kernel of ours is wrong, OSError if a file cannot be written,
    MissingExtraError if figures are asked for and what draws them is not installed.
    """
    machine = describe()
    show_machine(console, machine, get_num_threads())
    effort = QUICK if quick else FULL
    ladders = []
    with console.status("starting") as status:
        tell: Callable[[str], None] = status.update
        known = limits(tell)
        load = Load()
        if mine is None:
            climbing = climb(quick, effort, known, tell)
        else:
            climbing = mine.climb(quick, effort, known, tell, partial(report.show_remark, console))
        for ladder in climbing:
            report.show_ladder(console, ladder)
            ladders.append(ladder)
        digits = [] if mine else classify(effort, tell)
    if digits:
        report.show_digits(console, digits)
    remarks = mine.remarks if mine else []
    others = load.of_others()
    if ladders:
        report.show_legend(console, others, mine=mine is not None)
    if output.json is not None:
        content = {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "threads": get_num_threads(),
            "cpus_used_by_others": others,
            "machine": machine.as_dict(),
            "limits": known.as_dict(),
            "ladders": [ladder.as_dict() for ladder in ladders],
            "digits": [result.as_dict() for result in digits],
            **({"remarks": mine.remarks} if mine else {}),
        }
        write_whole(output.json, json.dumps(content, indent=1) + "\n")
        _written(console, [output.json])
    if output.html is not None:
        write_whole(output.html, render(machine, get_num_threads(), known, ladders, digits, remarks))
        _written(console, [output.html])
    if output.figures is not None:
        _written(console, save_all(figures(ladders, known), output.figures, output.suffix))


def _written(console: Console, paths: list[Path]) -> None:
    for path in paths:
        console.print(f"written: {path}", markup=False, highlight=False)
