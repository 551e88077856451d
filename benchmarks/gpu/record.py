"""`python -m benchmarks.gpu.record`: what a GPU's counters say of the micro-kernels, for the tests.

Compiles them, launches each under Nsight Compute with every stride, mask and pattern of `cases`, and writes
the counters of each memory access and branch as JSON, beside the PTX that the emulator runs and the cubin
that the GPU ran, to tests/gpu/recorded/<GPU>/. It wants an NVIDIA GPU, ncu, nvcc, CuPy and Triton, and is
made to take less than 8 minutes, which was not tried. `--dry-run` goes the same way on any machine, with a
stand-in for ncu, to another folder.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu import build
from benchmarks.gpu.cases import launches
from benchmarks.gpu.counters import REPORT, Ncu, Profile, from_csv, from_module
from benchmarks.gpu.launch import LAUNCHED, PLAN
from benchmarks.gpu.plan import Launch, read_launch
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.files import write_whole

#: Of the JSON files; changes when a reader of them would have to.
SCHEMA = 1
_ROOT = Path(__file__).resolve().parents[2]
RECORDED = _ROOT / "tests" / "gpu" / "recorded"
_STAND_IN = (sys.executable, str(_ROOT / "tests" / "gpu" / "fake_ncu.py"))
#: SASS that is written down: accesses to memory, and what makes a warp diverge or meet again.
_KEPT = re.compile(
    r"(LDG|STG|LDS|STS|LD|ST|LDL|STL|ATOM|ATOMG|ATOMS|RED|REDG|LDSM|STSM|LDGSTS|BRA|BRX|BSSY|BSYNC|BREAK|EXIT|WARPSYNC)$"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, or say in one line why not; return the exit status."""
    options = _parse(arguments)
    try:
        record(options)
    except InputError as error:
        print(f"not recorded: {error}", file=sys.stderr)
        return 1
    return 0


def record(options: argparse.Namespace) -> None:
    """Build, measure and write, or only write what was measured before."""
    begin = time.monotonic()
    ncu = Ncu(_STAND_IN if options.dry_run else (options.ncu,))
    if options.read:
        _write(options.read, ncu, options)
        return
    machine = _stand_in_machine() if options.dry_run else _machine()
    machine.update(ncu=ncu.version, compilers=dict(build.compilers()))
    work = options.keep or Path(tempfile.mkdtemp(prefix="record-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        shared = build.build(work, tuple(machine["compute_capability"]))
        planned = [replace(one, shared=shared.get(one.module, one.shared)) for one in launches()]
        plan = {"machine": machine, "launches": [one.to_json() for one in planned]}
        (work / PLAN).write_text(json.dumps(plan))
        print(f"built in {time.monotonic() - begin:.0f} s; {len(planned)} launches under ncu …", flush=True)
        program = [sys.executable, "-m", "benchmarks.gpu.launch", str(work), str(options.seconds)]
        # ncu ends the report after the last launch; what the program does not launch is not waited for.
        ncu.profile(program, work, _ROOT, options.seconds + 90)
        _write(work, ncu, options)
    finally:
        if not options.keep:
            shutil.rmtree(work)
    print(f"took {time.monotonic() - begin:.0f} s")


def _machine() -> dict[str, Any]:
    """Return the GPU and its driver. Raises InputError where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
        name, driver, capability = done.stdout.splitlines()[0].split(", ")
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        raise InputError("nvidia-smi tells of no NVIDIA GPU here; --dry-run needs none") from None
    major, minor = capability.split(".")
    return {
        "provenance": "hardware",
        "gpu": name,
        "driver": driver,
        "compute_capability": [int(major), int(minor)],
        "recorded": datetime.now(UTC).date().isoformat(),
    }


def _stand_in_machine() -> dict[str, Any]:
    """Return what a dry run writes in place of a GPU; tests of agreement refuse it."""
    return {
        "provenance": "dry run",
        "gpu": "no GPU",
        "driver": "none",
        "compute_capability": [9, 0],
        "recorded": datetime.now(UTC).date().isoformat(),
    }


def _profiles(work: Path, ncu: Ncu, reader: str) -> tuple[str, list[Profile]]:
    """Return the name of the way that the report was read by, and what it holds."""
    module = None if reader == "csv" else ncu.module()
    if module is not None:
        return "ncu_report", list(from_module(work / REPORT, module))
    if reader == "ncu_report":
        raise InputError("ncu_report cannot be imported: it lies in extras/python of ncu's installation")
    pages = [ncu.page(work / REPORT, page) for page in ("source", "raw")]
    return "csv", list(from_csv(*pages))


def _write(work: Path, ncu: Ncu, options: argparse.Namespace) -> None:
    """Write a file per kernel, and the PTX and cubin beside them. Raises InputError for what does not fit."""
    plan = json.loads((work / PLAN).read_text())
    checksums = json.loads((work / LAUNCHED).read_text())
    planned = [read_launch(told) for told in plan["launches"]]
    reader, profiles = _profiles(work, ncu, "csv" if options.dry_run else options.reader)
    if len(profiles) != len(checksums):
        raise InputError(f"{len(checksums)} kernels were launched, but ncu counted {len(profiles)}")
    machine = {**plan["machine"], "reader": reader}
    out = options.out or _folder(machine)
    out.mkdir(parents=True, exist_ok=True)
    kernels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    tables: dict[tuple[str, str], list[build.Line]] = {}
    listings = build.line_tables(work)
    for launch, profile, sums in zip(planned, profiles, checksums, strict=False):
        key = launch.module, launch.kernel
        lines = listings[launch.module][launch.kernel]
        _check_same(launch, profile, lines)
        tables[key] = [line for line in lines if _KEPT.match(opcode(line.sass))]
        kernels.setdefault(key, []).append(_counted(launch, profile, tables[key], sums))
    for key, told in kernels.items():
        write_whole(out / f"{key[0]}.{key[1]}.json", _text(machine, key, tables[key], told))
    for module in {module for module, _ in kernels}:
        for suffix in (".ptx", ".cubin"):
            write_whole(out / (module + suffix), (work / (module + suffix)).read_bytes())
    print(f"{len(profiles)} of {len(planned)} launches of {len(kernels)} kernels are in {out}")


def opcode(sass: str) -> str:
    """Return an instruction's opcode, without its guard and modifiers.

    >>> opcode("@!P0 LDG.E.128 R4, desc[UR6][R8.64]")
    'LDG'
    """
    words = sass.split()
    return (words[1] if words[0].startswith("@") else words[0]).split(".")[0]


def _check_same(launch: Launch, profile: Profile, lines: Sequence[build.Line]) -> None:
    """Raise InputError unless what ncu profiled is this kernel, instruction by instruction."""
    if profile.kernel != launch.kernel:
        raise InputError(f"ncu counted {profile.kernel} where {launch.kernel} was launched")
    assembled = {line.offset: line.sass for line in lines}
    for offset, sass in profile.sass.items():
        if opcode(assembled.get(offset, "nothing")) != opcode(sass):
            raise InputError(
                f"{launch.kernel} at {offset:#x}: ncu saw {sass!r}, the cubin has {assembled.get(offset)!r}"
            )


def _counted(launch: Launch, profile: Profile, table: Sequence[build.Line], sums: Any) -> dict[str, Any]:
    """Return a launch with its counters: lists that go with the kernel's table of instructions."""
    counters = {
        name: [values.get(line.offset, 0) for line in table] for name, values in profile.counters.items()
    }
    whole = {name: sum(values.values()) for name, values in profile.counters.items() if "inst" in name}
    told = launch.to_json()
    del told["module"], told["kernel"]
    totals = {**whole, **profile.totals}
    return {**told, "checksums": sums, "counters": counters, "totals": totals}


def _text(
    machine: Mapping[str, Any], key: tuple[str, str], table: Sequence[build.Line], told: Sequence[Any]
) -> str:
    """Return a recording as JSON, a line per launch, so that differences between recordings can be read."""
    head = {
        "schema": SCHEMA,
        "machine": machine,
        "module": key[0],
        "kernel": key[1],
        "columns": ["offset", "sass", "file", "line"],
        "instructions": [[line.offset, line.sass, line.file, line.line] for line in table],
    }
    rows = ",\n".join(json.dumps(one, separators=(",", ":")) for one in told)
    return f'{json.dumps(head)[:-1]},\n"launches": [\n{rows}\n]}}\n'


def _folder(machine: Mapping[str, Any]) -> Path:
    """Return where recordings of this GPU go: tests/gpu/recorded/h200 for an NVIDIA H200."""
    if machine["provenance"] != "hardware":
        return Path(tempfile.mkdtemp(prefix="dry-run-"))
    name = machine["gpu"].lower().removeprefix("nvidia ")
    return RECORDED / re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.record", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write to instead of tests/gpu/recorded/<GPU>")
    parser.add_argument("--keep", type=Path, help="folder to work in and to keep, with ncu's report")
    parser.add_argument("--read", type=Path, help="a kept folder: read its report again; needs no GPU")
    parser.add_argument("--ncu", default="ncu", help="Nsight Compute's program, if it is not on the PATH")
    parser.add_argument("--reader", choices=("auto", "csv", "ncu_report"), default="auto")
    parser.add_argument("--seconds", type=float, default=300.0, help="no kernel is launched after that time")
    parser.add_argument("--dry-run", action="store_true", help="without a GPU, with a stand-in for ncu")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
