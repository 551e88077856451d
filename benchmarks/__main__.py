"""`python -m benchmarks [SUITE ...]`: our kernels beside the libraries that people use instead.

Without a suite the whole float suite is run, on one thread and on all CPUs that may be used.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.coordinator import MIN_ROUNDS, Coordinator, Effort, Outcome, workers
from benchmarks.peers import LIBRARIES, OURS
from benchmarks.suites import DEFAULT, SUITES, Case, Suite, parse_shape
from benchmarks.summary import summarize
from tinytorch.runtime.files import check_writable, write_whole
from tinytorch.simd.target import chosen

#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 1
FULL = Effort(rounds=7, seconds=2.0)
QUICK = Effort(rounds=5, seconds=1.0)
#: Of tables that go to a file.
_WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line names."""
    options = _parse(arguments)
    # Without this the workers of a run that is ended would stay behind, stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    run(options, console)


def run(options: argparse.Namespace, console: Console) -> None:
    """Time everything, print it, and write the file if one is named."""
    from threadpoolctl import threadpool_limits

    from tinytorch.machine.info import describe
    from tinytorch.measure.load import Load
    from tinytorch.measure.report import show_machine

    machine = describe()
    show_machine(console, machine, max(options.threads))
    # References are computed here, and a BLAS of two threads spins on while the workers are timed.
    threadpool_limits(1)
    load, begin = Load(), time.monotonic()
    missing: dict[str, str] = {}
    left_out: dict[tuple[str, str], str] = {}
    versions: dict[str, str] = {}
    results: list[dict[str, Any]] = []
    for threads in options.threads:
        plan = [(suite, cases) for suite, cases in options.plan if threads in (suite.threads or (threads,))]
        if not plan:
            continue
        wanted = {peer for suite, _ in plan for peer in suite.peers}
        libraries = [name for name in LIBRARIES if name == OURS or (name in wanted and name in options.peers)]
        known = len(missing), len(left_out)
        with (
            console.status("starting the libraries") as status,
            workers(libraries, threads, missing) as ready,
        ):
            for worker in ready.values():
                versions |= worker.versions
            coordinator = Coordinator(ready, threads, options.effort, status.update, left_out, missing)
            for suite, cases in plan:
                outcomes = [coordinator.run(suite, case) for case in cases]
                report.show_suite(console, suite, threads, outcomes)
                results.append(_as_dict(suite, threads, outcomes))
        if known != (len(missing), len(left_out)):
            report.show_left_out(console, missing, left_out)
    others, seconds = load.of_others(), time.monotonic() - begin
    report.show_end(console, others, seconds)
    if options.json is not None:
        _write(options.json, {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": seconds,
            "quick": options.quick,
            "threads": options.threads,
            "cpus_used_by_others": others,
            "machine": machine.as_dict(),
            "versions": versions,
            "missing": missing,
            "left_out": [
                {"suite": suite, "library": library, "reason": reason}
                for (suite, library), reason in left_out.items()
            ],
            "suites": results,
        })  # fmt: skip
        console.print(f"written: {options.json}")


def _as_dict(suite: Suite, threads: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    total = summarize(outcomes)
    return {
        "suite": suite.name,
        "unit": suite.unit,
        "threads": threads,
        "summary": None if total is None else total.as_dict(),
        "cases": [outcome.as_dict() for outcome in outcomes],
    }


def _write(target: Path, content: dict[str, Any]) -> None:
    write_whole(target, json.dumps(content, indent=1) + "\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; adds `plan`, the suites with their cases, and `effort`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; by default {' '.join(DEFAULT)}"
    )
    parser.add_argument(
        "--threads", nargs="+", type=_positive, help="numbers of threads; by default 1 and all usable CPUs"
    )
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds: two minutes")
    parser.add_argument("--rounds", type=int, help=f"at most so many samples of each ({FULL.rounds})")
    parser.add_argument("--shapes", nargs="+", metavar="MxKxN", help="instead of the suites' own")
    parser.add_argument("--peers", nargs="+", choices=[name for name in LIBRARIES if name != OURS])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, raw samples too")
    options = parser.parse_args(arguments)
    try:
        options.plan = _plan(options)
        options.effort = _effort(options)
        chosen()  # TINYTORCH_TARGET may name what is not there
        if options.json is not None:  # now, not after ten minutes of measuring
            check_writable(options.json, "--json")
    except ValueError as error:
        parser.error(str(error))
    if options.threads is None:
        from tinytorch.machine.quota import usable_cpus

        options.threads = sorted({1, usable_cpus()})
    if options.peers is None:
        options.peers = list(LIBRARIES)
    return options


def _plan(options: argparse.Namespace) -> list[tuple[Suite, list[Case]]]:
    for name in options.suites:
        if name not in SUITES:
            raise ValueError(f"there is no suite {name!r}; there are {', '.join(SUITES)}")
    shapes = [parse_shape(text) for text in options.shapes] if options.shapes else None
    suites = [SUITES[name] for name in options.suites or DEFAULT]
    return [(suite, suite.cases(options.quick, shapes)) for suite in suites]


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL
    if options.rounds is None:
        return effort
    if options.rounds < MIN_ROUNDS:
        raise ValueError(f"--rounds must be at least {MIN_ROUNDS}, not {options.rounds}")
    # Who asks for rounds gets them.
    return Effort(options.rounds, float("inf"))


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
