"""`tito`, the command line: this machine, its kernels, any function on its roofline, kernels of GPUs."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinytorch import __version__, course_command, gpu_command, instructor_command
from tinytorch.options import (
    Parser,
    add_figures,
    add_json,
    check_figures,
    check_json,
    count,
    number,
    write_figures,
    write_json,
)
from tinytorch.runtime.errors import WrongResultError, told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 only if all went well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names are in letters that its encoding may not have
            stream.reconfigure(errors="replace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if "command" not in options:
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        print("tito: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 1
    except (ValueError, OSError, MemoryError, WrongResultError) as error:
        words = told(error) if isinstance(error, OSError) else error or type(error).__name__
        print(f"tito {options.name}: {words}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tito", description="Fast kernels in Python, measured honestly.")
    parser.add_argument("--version", action="version", version=f"tito {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    bench = commands.add_parser(
        "bench",
        help="climb the ladder of every kernel on this machine, and read handwritten digits",
        description="Time every kernel from Python loops to the fastest, each checked against its reference, "
        "then a trained network on real images.",
    )
    bench.add_argument(
        "--quick",
        action="store_true",
        help="smaller shapes and fewer samples: half a minute, and as long again to compile at first",
    )
    bench.add_argument(
        "--json", metavar="FILE", type=Path, help="also write everything, raw samples too, to FILE"
    )
    bench.add_argument(
        "--mine",
        action="store_true",
        help="your kernels, exported in this workspace, beside ours, NumPy's and your own earlier best",
    )
    add_figures(bench)
    bench.set_defaults(command=_bench, name="bench")
    compare = commands.add_parser(
        "compare",
        help="two files of times: what has become faster",
        description="Compare what was timed in two files, written by --json of bench or profile or by "
        "Comparison.save: each function of the later file with the one of the same name in the earlier.",
    )
    compare.add_argument("then", metavar="OLD", help="the earlier file")
    compare.add_argument("now", metavar="NEW", help="the later one")
    compare.set_defaults(command=_compare, name="compare")
    _add_machine(commands)
    _add_profile(commands)
    gpu_command.add(commands)
    course_command.add(commands)
    instructor_command.add(commands)
    return parser


def _add_machine(commands: Any) -> None:
    machine = commands.add_parser(
        "machine",
        help="what this computer is, and what it can do",
        description="Show what this computer is, and its peaks, bandwidths and latencies once they have been "
        "measured (by --measure, or by a first profile).",
    )
    machine.add_argument("--measure", action="store_true", help="measure them now: about half a minute")
    add_json(machine)
    machine.set_defaults(command=_machine, name="machine")


def _add_profile(commands: Any) -> None:
    profile = commands.add_parser(
        "profile",
        help="put a Python function on this machine's roofline",
        description="Call a function, count what it does, time it beside this machine's roofs, and say what "
        "bounds it. It runs in a process of its own.",
    )
    profile.add_argument("function", help="package.module:function, or file.py:function")
    profile.add_argument(
        "arrays",
        nargs="*",
        metavar="ARRAY",
        help="an argument by shape and dtype, as 512x512:float32; normal floats, integers 0 to 99",
    )
    profile.add_argument(
        "--inputs",
        metavar="FUNCTION",
        help="a function that returns the arguments; if it takes one argument, it is asked for them at parts "
        "of their size, too",
    )
    profile.add_argument(
        "--cost",
        nargs=3,
        type=count,
        metavar=("OPERATIONS", "READ", "WRITTEN"),
        help="what one call does, where counting cannot know it; bytes read and written",
    )
    profile.add_argument("--dtype", help="what its operations are in, where counting cannot know it")
    profile.add_argument(
        "--threads", type=_threads, help="how many threads it may use: our kernels, BLAS, OpenMP, torch"
    )
    profile.add_argument(
        "--seconds", type=_duration, default=1.0, help="how long to time it (default: %(default)s)"
    )
    profile.add_argument(
        "--timeout", type=_duration, default=60.0, help="seconds after which it is given up (default: 60)"
    )
    add_json(profile)
    add_figures(profile)
    profile.listed = "arrays"
    profile.set_defaults(command=_profile, name="profile")


def _threads(text: str) -> int:
    from tinytorch.machine.quota import usable_cpus

    value, most = count(text), usable_cpus()
    if not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {most}, the CPUs that may be used here")
    return value


def _duration(text: str) -> float:
    value = number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time above 0")
    return value


def _bench(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.bench.run import Output, run
    from tinytorch.runtime.files import check_writable

    if options.json is not None:  # now, not after two minutes of measuring
        check_writable(options.json, "--json")
    check_figures(options)
    output = Output(options.json, options.html, options.figures, f".{options.format}")
    # What a learner's kernel prints goes elsewhere; what this prints does not.
    console = Console(file=sys.stdout)
    if not options.mine:
        run(options.quick, output, console)
        return 0
    from tinytorch.bench.mine import of_workspace

    mine = of_workspace()
    run(options.quick, output, console, mine)
    return 1 if mine.any_wrong else 0


def _compare(options: argparse.Namespace) -> int:
    from tinytorch.measure import saved

    verdicts = saved.read(options.now).against(saved.read(options.then))
    for verdict in verdicts:
        print(f"{verdict.name}: {verdict.words}")
    print("They were taken at different times: what drifted between them, a tenth at least, is in it.")
    return 0


def _machine(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.machine.info import describe
    from tinytorch.measure.limits import keep, kept, measure_limits
    from tinytorch.measure.report import show_limits, show_machine
    from tinytorch.runtime.threads import get_num_threads

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    machine, threads = describe(), get_num_threads()
    limits = kept(machine)
    if options.measure:
        with console.status("measuring") as status:
            limits = measure_limits(machine, status.update)
        if why := keep(limits):
            print(f"tito machine: what was measured is not kept: {why}", file=sys.stderr)
    if options.json:
        found = None if limits is None else limits.as_dict()
        return write_json(options, {"machine": machine.as_dict(), "threads": threads, "limits": found})
    show_machine(console, machine, threads)
    if limits is None:
        console.print("What it can do has not been measured: tito machine --measure")
    else:
        show_limits(console, limits)
    return 0


def _profile(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.profiler.child import profile_apart
    from tinytorch.profiler.report import show
    from tinytorch.runtime.threads import get_num_threads
    from tinytorch.simd.target import chosen

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    check_figures(options)
    chosen(), get_num_threads()  # what is wrong with the environment is no fault of the function
    request = {
        name: getattr(options, name)
        for name in ("function", "arrays", "inputs", "cost", "dtype", "threads", "seconds")
    }
    with console.status("starting") as status:
        found = profile_apart(request, options.timeout, status.update)
    if options.json != "-":
        show(console, found)
    if options.html or options.figures:
        from tinytorch.measure.limits import kept
        from tinytorch.profiler.page import figures, render

        limits = kept()
        write_figures(options, lambda: render(found, limits), figures(found, limits), console)
    return write_json(options, found) if options.json else 0


if __name__ == "__main__":
    sys.exit(main())
