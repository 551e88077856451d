"""The whole of `tito bench`, from the machine to the JSON file."""

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tinytorch.bench import report
from tinytorch.bench.digits import classify
from tinytorch.bench.ladder import climb
from tinytorch.machine.info import describe
from tinytorch.measure.load import Load
from tinytorch.measure.timing import Effort
from tinytorch.runtime.threads import get_num_threads

#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 1
QUICK: Effort = {"seconds": 0.05, "rounds": 9}
FULL: Effort = {"seconds": 0.5, "rounds": 20}


def run(quick: bool, target: Path | None, console: Console) -> None:
    """Measure everything and print it; write `target` if given.

    Raises WrongResultError if a kernel's result is wrong, OSError if the file cannot be written.
    """
    machine = describe()
    report.show_machine(console, machine, get_num_threads())
    effort = QUICK if quick else FULL
    load = Load()
    ladders = []
    with console.status("starting") as status:
        tell: Callable[[str], None] = status.update
        for ladder in climb(quick, effort, tell):
            report.show_ladder(console, ladder)
            ladders.append(ladder)
        digits = classify(effort, tell)
    report.show_digits(console, digits)
    others = load.of_others()
    report.show_legend(console, others)
    if target is not None:
        content = {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "threads": get_num_threads(),
            "cpus_used_by_others": others,
            "machine": machine.as_dict(),
            "ladders": [ladder.as_dict() for ladder in ladders],
            "digits": [result.as_dict() for result in digits],
        }
        write_whole(target, json.dumps(content, indent=1) + "\n")
        console.print(f"written: {target}")


def check_writable(target: Path) -> None:
    """Raise ValueError if a file named with --json cannot be written."""
    if not target.parent.is_dir():
        raise ValueError(f"the folder of --json {target} does not exist; make it first")
    if target.is_dir():
        raise ValueError(f"--json {target} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise ValueError(f"--json {target} is no ordinary file; name one")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise ValueError(f"--json {target} cannot be written: {error.strerror}") from None


def write_whole(target: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all; a link keeps pointing at it."""
    target = target.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
