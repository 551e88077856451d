"""A stand-in for ncu: takes its options and prints its pages, without a GPU and with made-up counts.

The format was written from NVIDIA's documentation of the command line and of the source page, and from
printed reports found by searching; this file has not been held against a real ncu. The counts are 1 for
every instruction, and the sectors and wavefronts that an access of 32 lanes side by side would have: they
follow the route through the recorder, and say nothing about any GPU. FAKE_NCU=blocked or FAKE_NCU=metric
makes it fail as ncu does where counters may not be read, or where it does not know one.
"""

import csv
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu.build import line_tables
from benchmarks.gpu.counters import PER_INSTRUCTION, PER_LAUNCH
from benchmarks.gpu.launch import LAUNCHED, PLAN

#: A device's code lies somewhere in its memory.
_BASE = 0x7F3A5C000000
_COLUMNS = ("#", "Address", "Source", *PER_INSTRUCTION.values())


def main() -> int:
    options = sys.argv[1:]
    if options == ["--version"]:
        print("NVIDIA (R) Nsight Compute Command Line Profiler")
        print("Version 0.0.0.0 (build 0) (stand-in)")
        return 0
    if "--import" in options:
        folder = Path(options[options.index("--import") + 1]).parent
        {"source": _source, "raw": _raw}[options[options.index("--page") + 1]](folder)
        return 0
    return _profile(options)


def _profile(options: list[str]) -> int:
    asked = options[options.index("--metrics") + 1].split(",")
    if os.environ.get("FAKE_NCU") == "blocked":
        print("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU")
        print("Performance Counters on the target device 0.")
        return 1
    if os.environ.get("FAKE_NCU") == "metric" and set(PER_LAUNCH) & set(asked):
        print(f"==ERROR== Failed to find metric {PER_LAUNCH[0]}")
        return 1
    report = Path(options[options.index("--export") + 1])
    # The program to profile is the last of the options: python -m benchmarks.gpu.launch FOLDER SECONDS.
    folder = Path(options[-2])
    launches = json.loads((folder / PLAN).read_text())["launches"]
    report.write_text(json.dumps({"asked": asked}))
    (folder / LAUNCHED).write_text(json.dumps([{} for _ in launches]))
    print("==PROF== Connected to process 1")
    return 0


def _source(folder: Path) -> None:
    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
    tables = line_tables(folder)
    for launch in json.loads((folder / PLAN).read_text())["launches"]:
        writer.writerow(["Kernel Name", launch["kernel"]])
        writer.writerow(_COLUMNS)
        for number, line in enumerate(tables[launch["module"]][launch["kernel"]]):
            in_global = any(word in line.sass for word in ("LDG", "STG", "ATOMG", "RED"))
            in_shared = any(word in line.sass for word in ("LDS", "STS", "ATOMS"))
            counts = [1, 32, 32, in_global, 4 * in_global, 4 * in_global, 1 * in_shared, 1 * in_shared]
            shown = [f"{count:,}" if count else "" for count in counts]
            writer.writerow([number, hex(_BASE + line.offset), f"      {line.sass}", *shown])


def _raw(folder: Path) -> None:
    asked = json.loads((folder / "report.ncu-rep").read_text())["asked"]
    there = [name for name in PER_LAUNCH if name in asked]
    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
    writer.writerow(["ID", "Kernel Name", *there])
    writer.writerow(["", "", *("" for _ in there)])
    for number, launch in enumerate(json.loads((folder / PLAN).read_text())["launches"]):
        writer.writerow([number, launch["kernel"], *("1,000" for _ in there)])


if __name__ == "__main__":
    sys.exit(main())
