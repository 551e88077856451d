"""`tito`, the command line: `tito bench` measures this machine's kernels."""

import argparse
import sys
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
        "--quick",
        action="store_true",
        help="smaller shapes and fewer samples: half a minute, and as long again to compile at first",
    )
    bench.add_argument(
        "--json", metavar="FILE", type=Path, help="also write everything, raw samples too, to FILE"
    )
    bench.set_defaults(command=_bench, name="bench")
    return parser


def _bench(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.bench.run import check_writable, run

    target: Path | None = options.json
    if target is not None:  # now, not after two minutes of measuring
        check_writable(target)
    run(options.quick, target, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
