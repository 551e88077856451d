"""Nsight Compute: which counters are asked for, and reading them per SASS instruction from its report.

A report is read by NVIDIA's module `ncu_report`, which comes with ncu, or from the CSV that ncu prints of it;
both give the same `Profile`. Counters per instruction are named as in the report, and so are those of a whole
launch. (Nsight Compute documentation: CLI, Python Report Interface, Source Page.)
"""

import csv
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch.runtime.errors import InputError

#: Counters of each SASS instruction, by the label that the source page may give instead of the name.
PER_INSTRUCTION: Mapping[str, str] = {
    "inst_executed": "Instructions Executed",
    "thread_inst_executed": "Thread Instructions Executed",
    "thread_inst_executed_true": "Predicated-On Thread Instructions Executed",
    "memory_l1_tag_requests_global": "L1 Tag Requests Global",
    "memory_l2_theoretical_sectors_global": "L2 Theoretical Sectors Global",
    "memory_l2_theoretical_sectors_global_ideal": "L2 Theoretical Sectors Global Ideal",
    "memory_l1_wavefronts_shared": "L1 Wavefronts Shared",
    "memory_l1_wavefronts_shared_ideal": "L1 Wavefronts Shared Ideal",
}
#: Counters of a whole launch. They are counted by the hardware, those above by instrumented code: one checks
#: the other. A GPU may lack one.
PER_LAUNCH = (
    "smsp__inst_executed.sum",
    "smsp__thread_inst_executed_per_inst_executed.ratio",
    "smsp__thread_inst_executed_pred_on_per_inst_executed.ratio",
    "smsp__sass_branch_targets.sum",
    "smsp__sass_branch_targets_threads_divergent.sum",
    "smsp__sass_branch_targets_threads_uniform.sum",
    "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum",
)
#: What ncu prints where this user may not read the counters.
BLOCKED = "ERR_NVGPUCTRPERM"
REPORT = "report.ncu-rep"


@dataclass(frozen=True)
class Profile:
    """What ncu counted in one launch."""

    kernel: str
    sass: Mapping[int, str]  # by offset from the beginning of the kernel
    counters: Mapping[str, Mapping[int, int]]  # of instructions: by name, then by offset
    totals: Mapping[str, float]  # of the launch: by name


class Ncu:
    """The profiler's program, wherever it is."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    @property
    def version(self) -> str:
        """Its version, "2025.3.1.0"."""
        found = re.search(r"Version (\d[\d.]*)", self._call("--version"))
        if found is None:
            raise InputError(f"{self._command[0]} --version tells no version: is it Nsight Compute?")
        return found[1]

    def profile(self, program: Sequence[str], folder: Path, root: Path, seconds: float) -> None:
        """Run a program from `root` and leave the report in the folder. Raises InputError.

        Where ncu does not know a counter of a whole launch, it is run again with those per instruction alone.
        """
        options = ["--force-overwrite", "--export", str(folder / REPORT), "--import-source", "no"]
        # The clocks of a machine that others use are left alone; counts do not depend on them or on caches.
        options += ["--clock-control", "none", "--cache-control", "none"]
        metrics = [*PER_INSTRUCTION, *PER_LAUNCH]
        try:
            self._call(*options, "--metrics", ",".join(metrics), *program, cwd=root, seconds=seconds)
        except UnknownMetricError:
            self._call(*options, "--metrics", ",".join(PER_INSTRUCTION), *program, cwd=root, seconds=seconds)
        if not (folder / REPORT).is_file():
            raise InputError("ncu wrote no report: it saw no kernel")

    def page(self, report: Path, page: str) -> str:
        """Return a page of a report ("source" or "raw") as CSV."""
        options = ["--import", str(report), "--csv", "--page", page, "--print-units", "base"]
        if page == "source":
            options += ["--print-source", "sass", "--print-metric-name", "name"]
        return self._call(*options, "--print-kernel-base", "function")

    def module(self) -> ModuleType | None:
        """Return NVIDIA's `ncu_report`, from the installation of ncu or from Python's path, or None."""
        program = shutil.which(self._command[0])
        # ncu is a link into its installation, at whose top `extras` lies, or a script that calls it.
        above = list(Path(program).resolve().parents) if program else []
        places = [*above, *sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)]
        with_module = [one for one in places if (one / "extras" / "python" / "ncu_report.py").is_file()]
        sys.path.extend(str(one / "extras" / "python") for one in with_module[:1])
        try:
            return importlib.import_module("ncu_report")
        except ImportError:
            return None

    def _call(self, *options: str, cwd: Path | None = None, seconds: float = 120) -> str:
        try:
            done = subprocess.run(  # noqa: PLW1510 (its exit status is looked at below)
                [*self._command, *options], cwd=cwd, capture_output=True, text=True, timeout=seconds
            )
        except FileNotFoundError:
            raise InputError(f"{self._command[0]} is not on the PATH: Nsight Compute has it") from None
        except subprocess.TimeoutExpired:
            raise InputError(f"ncu did not end in {seconds:.0f} s") from None
        if BLOCKED in done.stdout + done.stderr:
            raise InputError(
                f"the GPU's counters are blocked for this user ({BLOCKED}): run as root, or have the "
                "administrator set NVreg_RestrictProfilingToAdminUsers=0"
            )
        if done.returncode:
            _fail(done.stdout + "\n" + done.stderr)
        return done.stdout


class UnknownMetricError(InputError):
    """This ncu does not know a counter that was asked for."""


def _fail(output: str) -> None:
    told = [line for line in output.splitlines() if line.startswith("==ERROR==")]
    lines = told or [line for line in output.splitlines() if line.strip()] or ["no message"]
    error = UnknownMetricError if any("metric" in line.lower() for line in told) else InputError
    # Of a program that failed under ncu the last line says why, of ncu's own errors the first.
    raise error(f"ncu failed: {(lines[0] if told else lines[-1]).strip()}")


def from_module(report: Path, module: Any) -> Iterator[Profile]:
    """Yield what a report holds, read by `ncu_report`. Raises InputError if it has no counts."""
    for part in module.load_report(str(report)):
        for action in part:
            metrics = {name: action.metric_by_name(name) for name in (*PER_INSTRUCTION, *PER_LAUNCH)}
            addresses = _instances(metrics["inst_executed"])
            if not addresses:
                raise InputError(f"{report.name} has no counts per instruction of {action.name()}")
            # A launch begins at the first instruction, so that one was executed.
            start = min(addresses)
            counters = {
                name: {pc - start: count for pc, count in _instances(metrics[name]).items()}
                for name in PER_INSTRUCTION
            }
            sass = {pc - start: " ".join(action.sass_by_pc(pc).split()) for pc in addresses}
            totals = {
                name: float(metrics[name].as_double()) for name in PER_LAUNCH if metrics[name] is not None
            }
            yield Profile(action.name(), sass, counters, totals)


def _instances(metric: Any) -> dict[int, int]:
    """Return a counter's value by the address of the instruction."""
    if metric is None or not metric.has_correlation_ids():
        return {}
    addresses = metric.correlation_ids()
    return {int(addresses.as_uint64(i)): int(metric.as_uint64(i)) for i in range(metric.num_instances())}


def from_csv(source: str, raw: str) -> Iterator[Profile]:
    """Yield what a report holds, from its source and raw pages. Raises InputError if they do not match."""
    launches, totals = list(_source_page(source)), list(_raw_page(raw))
    if len(launches) != len(totals):
        raise InputError(f"ncu printed {len(launches)} launches as source, but {len(totals)} as raw numbers")
    for (kernel, rows), total in zip(launches, totals, strict=True):
        addresses = [int(row["Address"], 16) for row in rows]
        offsets = [address - min(addresses) for address in addresses]
        counters = {
            name: {
                offset: int(_number(row.get(name, row.get(label))))
                for offset, row in zip(offsets, rows, strict=True)
            }
            for name, label in PER_INSTRUCTION.items()
            if rows and (name in rows[0] or label in rows[0])
        }
        if "inst_executed" not in counters:
            raise InputError(f"ncu printed no counts per instruction of {kernel}")
        sass = {offset: " ".join(row["Source"].split()) for offset, row in zip(offsets, rows, strict=True)}
        yield Profile(kernel, sass, counters, total)


def _source_page(text: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield kernels with their rows: a line with the name, one with the columns, one per instruction."""
    kernel, columns, rows = "", [], []
    for row in csv.reader(text.splitlines()):
        if row[:1] in (["Kernel Name"], ["Function Name"]):
            if columns:
                yield kernel, rows
            kernel, columns, rows = _function(row[1]), [], []
        elif "Address" in row and "Source" in row:
            columns = row
        elif columns and len(row) == len(columns):
            # A column may come twice ("# Samples" did); the first is the one of the documentation.
            rows.append(dict(reversed(list(zip(columns, row, strict=True)))))
    if columns:
        yield kernel, rows


def _raw_page(text: str) -> Iterator[dict[str, float]]:
    """Yield the counters of each launch: a line with the names, one with the units, one per launch."""
    columns: list[str] = []
    for row in csv.reader(text.splitlines()):
        if "Kernel Name" in row:
            columns = row
        elif columns and len(row) == len(columns) and row[0].isdigit():
            told = dict(zip(columns, row, strict=True))
            there = [name for name in PER_LAUNCH if told.get(name) not in (None, "", "n/a")]
            yield {name: _number(told[name]) for name in there}


def _function(name: str) -> str:
    """Return a function's name without what it returns and takes.

    >>> _function("void load_8(const unsigned char *, int)")
    'load_8'
    """
    return name.partition("(")[0].split()[-1]


def _number(text: str | None) -> float:
    """Return a number as ncu prints it; nothing counted is zero.

    >>> _number("1,024"), _number("-")
    (1024.0, 0.0)
    """
    return float(text.replace(",", "")) if text and text not in ("-", "n/a") else 0.0
