"""`tito`, the command line: `tito bench` measures this machine's kernels."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinytorch import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 only if all went well."""
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
    except (ValueError, OSError, MemoryError, AssertionError) as error:
        print(f"tito {options.name}: {error or type(error).__name__}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tito", description="Fast kernels in Python, measured honestly.")
    parser.add_argument("--version", action="version", version=f"tito {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    bench = commands.add_parser(
        "bench",
        help="climb the ladder of every kernel on this machine, and read handwritten digits",
        description="Time every kernel from Python loops to the fastest, each checked against its reference, "
        "then a trained network on real images.",
    )
    bench.add_argument(
        "--quick", action="store_true", help="smaller shapes and fewer samples: under 30 seconds"
    )
    bench.add_argument(
        "--json", metavar="FILE", type=Path, help="also write everything, raw samples too, to FILE"
    )
    bench.set_defaults(command=_bench, name="bench")
    return parser


def _bench(options: argparse.Namespace) -> int:
    target: Path | None = options.json
    if target is not None:  # now, not after two minutes of measuring
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
    from rich.console import Console

    from tinytorch.bench.run import run

    run(options.quick, target, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
