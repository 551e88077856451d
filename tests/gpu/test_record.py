"""The recorder: what it compiles, how it reads ncu's two kinds of report, and what it says when it cannot."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.gpu import build, counters, record
from benchmarks.gpu.cases import PARTS, bank_patterns, launches, patterns
from benchmarks.gpu.compare import KINDS, Place, differences, emulated, recorded
from benchmarks.gpu.launch import LAUNCHED, PLAN
from benchmarks.gpu.plan import Array, Launch, Scalar, read_launch

from tinytorch.gpu.ptx.program import Instruction, Source
from tinytorch.runtime.errors import InputError

SOURCE_PAGE = """==PROF== a line of ncu's own
"Kernel Name","add(const float *, int)"
"#","Address","Source","Instructions Executed","# Samples","# Samples","L2 Theoretical Sectors Global"
"0","0x7f00","      S2R R1, SR_TID.X","1,024","3","4","-"
"1","0x7f10","@!P0  LDG.E R2, desc[UR4][R2.64]","1,024","0","1","4,096"
"Kernel Name","other"
"#","Address","Source","Instructions Executed","# Samples","# Samples","L2 Theoretical Sectors Global"
"0","0x100","EXIT","2","0","0",""
"""
RAW_PAGE = """"ID","Process ID","Kernel Name","smsp__inst_executed.sum","unknown.sum"
"","","","inst",""
"0","77","add(const float *, int)","2,048","5"
"1","77","other","n/a","5"
"""


def compilers_are_there() -> bool:
    try:
        build.disassembler()
    except InputError:
        return False
    return {"nvcc", "ptxas", "triton"} <= set(build.compilers())


@pytest.fixture(scope="session")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder worked in and the folder written to of one dry run."""
    if not compilers_are_there():
        pytest.skip("nvcc, Triton or nvdisasm is not here")
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("out")
    assert record.main(["--dry-run", "--keep", str(work), "--out", str(out)]) == 0
    return work, out


def test_launches_are_whole_and_come_back_from_json() -> None:
    every = launches()
    assert len({(one.module, one.kernel) for one in every}) >= 40
    assert len({(one.module, one.kernel, one.name) for one in every}) == len(every)
    first = [(one.module, one.kernel) for one in every[:49]]
    assert len(set(first)) == 49, "the first launch of each kernel comes first"
    for launch in every:
        assert read_launch(json.loads(json.dumps(launch.to_json()))) == launch
        assert sum(isinstance(one, Array) and one.written for one in launch.arguments) >= 1
        for argument in launch.arguments:
            made = argument.make()
            assert made.dtype == argument.dtype
            assert made.shape == ((argument.length,) if isinstance(argument, Array) else ())


def test_sweeps_are_those_of_the_issue() -> None:
    named: dict[str, set[str]] = {}
    for launch in launches():
        named.setdefault(launch.kernel, set()).add(launch.name)
    assert {f"stride {s} offset 0" for s in range(1, 33)} <= named["load_32"]
    assert {f"stride 1 offset {o}" for o in range(32)} <= named["load_8"]
    for bits in (32, 64, 128):
        assert {f"stride {s}" for s in range(1, 34)} <= named[f"read_{bits}"]
    assert named["switch_ways"] == {f"ways {k}" for k in range(1, 33)}


def test_places_lie_in_their_arrays() -> None:
    assert all(0 <= place < 4096 for places in patterns().values() for place in places)
    assert all(0 <= place <= 1056 for places in bank_patterns().values() for place in places)
    for launch in launches():
        told = {one.name: one for one in launch.arguments}
        if launch.kernel.startswith(("load_", "store_")):
            stride, offset = told["stride"], told["offset"]
            assert isinstance(stride, Scalar)
            assert isinstance(offset, Scalar)
            far = told["in" if launch.kernel.startswith("load_") else "out"]
            assert isinstance(far, Array)
            parts = PARTS[int(launch.kernel.rpartition("_")[2])][1]
            assert 127 * stride.value + offset.value < far.length // parts


def test_array_of_a_wrong_length_is_told() -> None:
    with pytest.raises(ValueError, match="index has 2 values for 3 elements"):
        Array("index", "i4", 3, (1, 2)).make()


def test_dry_run_records_every_kernel(dry_run: tuple[Path, Path]) -> None:
    _, out = dry_run
    files = {path.stem for path in out.glob("*.json")}
    assert files == {f"{one.module}.{one.kernel}" for one in launches()}
    for path in out.glob("*.json"):
        recording = json.loads(path.read_text())
        assert recording["machine"]["provenance"] == "dry run"
        assert (out / f"{recording['module']}.ptx").is_file()
        assert (out / f"{recording['module']}.cubin").is_file()
        for launch in recording["launches"]:
            assert {len(values) for values in launch["counters"].values()} == {len(recording["instructions"])}
    assert sum(path.stat().st_size for path in out.iterdir()) < 2_000_000


def test_recording_names_no_folder_of_this_machine(dry_run: tuple[Path, Path]) -> None:
    work, out = dry_run
    here = str(build.SOURCES.parents[2]).encode()
    for path in out.iterdir():
        content = path.read_bytes()
        assert here not in content
        assert str(work).encode() not in content


def test_every_access_has_one_place_in_ptx_and_sass(dry_run: tuple[Path, Path]) -> None:
    """The join of the recordings: file, line and kind name the same accesses in both."""
    work, _ = dry_run
    for module, kernels in build.line_tables(work).items():
        expected = ptx_places((work / f"{module}.ptx").read_text())
        for kernel, lines in kernels.items():
            rows = [[line.offset, line.sass, line.file, line.line] for line in lines]
            # Reads of nothing, that the assembler puts before a copy to shared memory, are no access.
            rows = [row for row in rows if not row[1].startswith("@!PT")]
            found = Counter(
                place for place, what in recorded(rows, {"thread_inst_executed_true": [1] * len(rows)})
            )
            assert set(found) == expected[kernel], f"{module}: {kernel}"
            if not module.startswith("triton"):
                kinds = [
                    (row[2], row[3], record.opcode(row[1])) for row in rows if record.opcode(row[1]) in KINDS
                ]
                assert len(set(kinds)) == len(kinds), f"{kernel}: a line has two accesses of a kind"


def ptx_places(text: str) -> dict[str, set[Place]]:
    """The accesses of each kernel of a PTX, read by the line: what recordings are joined by."""
    files = {int(number): name for number, name in re.findall(r'\.file\s+(\d+) "([^"]*)"', text)}
    found: dict[str, set[Place]] = {}
    current: set[Place] = set()
    file, line = "", 0
    for row in text.splitlines():
        if entry := re.search(r"\.entry (\w+)", row):
            current = found.setdefault(entry[1], set())
        elif place := re.match(r"\s*\.loc\s+(\d+) (\d+)", row):
            file, line = files[int(place[1])], int(place[2])
        elif access := re.match(r"\s*(?:@!?%\w+ )?(ld|st|atom|red|ldmatrix|cp\.async)\.(\S+)", row):
            name, modifiers = access[1], access[2]
            if "param" in modifiers or modifiers.startswith("wait"):
                continue
            if name == "cp.async":
                current |= {Place(file, line, "global", "load"), Place(file, line, "shared", "store")}
                continue
            kind = {"ld": "load", "ldmatrix": "load", "st": "store"}.get(name, "atomic")
            current.add(Place(file, line, "shared" if "shared" in modifiers else "global", kind))
    return found


def moved(launch: Launch, made: dict[str, Any]) -> np.ndarray | None:
    """What NumPy makes of a launch that moves elements; None for the others."""
    family, _, bits = launch.kernel.rpartition("_")
    parts = PARTS[int(bits)][1] if bits.isdigit() and int(bits) in PARTS else 1
    given = (made["in"] if "in" in made else made.get("x", np.zeros(0))).reshape(-1, parts)
    places = np.arange(launch.grid[0] * launch.block[0]) * made.get("stride", 1) + made.get("offset", 0)
    if family == "load":
        return given[places]
    if family == "store":
        out = made["out"].reshape(-1, parts)
        out[places] = given
        return out
    if family in ("gather", "read"):
        return given[made["index"]]
    if family == "transpose" or launch.kernel == "transposed":
        side = int(len(given) ** 0.5)
        return given.reshape(side, side).T
    return given if launch.kernel == "copy" else None


def summed(launch: Launch, made: dict[str, Any]) -> np.ndarray | None:
    """What NumPy makes of a launch that counts, adds up or branches; None for the others."""
    if launch.kernel.startswith(("atomic_add", "atomic_shared")):
        return np.bincount(made["index"], minlength=len(made["out"])).astype(made["out"].dtype)
    if launch.kernel in ("block_sum", "row_sum"):
        return next(iter(made.values())).reshape(2, -1).sum(axis=1, dtype="u4")
    if launch.kernel == "switch_ways":
        threads = np.arange(128, dtype="u4")
        return threads + threads % 64 % made["ways"]
    return None


def test_every_launch_runs_in_the_emulator(dry_run: tuple[Path, Path]) -> None:
    """Without a finding, with NumPy's results, and with accesses where the recording has them."""
    from tinytorch.gpu.launch import Argument
    from tinytorch.gpu.ptx.parser import parse
    from tinytorch.gpu.ptx.run import run

    _, out = dry_run
    modules = {path.stem: parse(path.read_text()) for path in out.glob("*.ptx")}
    compared = 0
    for path in sorted(out.glob("*.json")):
        recording = json.loads(path.read_text())
        module, name = recording["module"], recording["kernel"]
        for told in recording["launches"]:
            counts = {key: told.pop(key) for key in ("checksums", "counters", "totals")}
            launch = read_launch({**told, "module": module, "kernel": name})
            arguments = [Argument(one.name, one.make()) for one in launch.arguments]
            done = run(
                modules[module].kernel(name), launch.grid, launch.block, arguments, shared=launch.shared
            )
            assert not done.findings, f"{name} {launch.name}: {done.findings[0]}"
            there = {place for place, _ in recorded(recording["instructions"], counts["counters"])}
            assert {place for place, _ in emulated(done.accesses)} <= there, f"{name} {launch.name}"
            made = {one.name: one.make() for one in launch.arguments}
            result = next((r for r in (moved(launch, made), summed(launch, made)) if r is not None), None)
            if result is not None:
                written = next(a.name for a in launch.arguments if isinstance(a, Array) and a.written)
                np.testing.assert_array_equal(done.arrays[written], np.ravel(result), f"{name} {launch.name}")
                compared += 1
    assert compared > 400


def test_read_again_gives_the_same_files(dry_run: tuple[Path, Path], tmp_path: Path) -> None:
    work, out = dry_run
    assert record.main(["--dry-run", "--read", str(work), "--out", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


def test_what_ncu_saw_must_be_what_was_launched(
    dry_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, _ = dry_run
    plan = json.loads((work / PLAN).read_text())
    launch = read_launch(plan["launches"][0])
    lines = build.line_tables(work)[launch.module][launch.kernel]
    profile = counters.Profile(launch.kernel, {lines[0].offset: "HMMA R1"}, {}, {})
    with pytest.raises(InputError, match="ncu saw 'HMMA R1', the cubin has"):
        record._check_same(launch, profile, lines)
    with pytest.raises(InputError, match="ncu counted other where load_8 was launched"):
        record._check_same(launch, counters.Profile("other", {}, {}, {}), lines)
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in (PLAN, counters.REPORT, build.LINES):
        (broken / name).write_bytes((work / name).read_bytes())
    (broken / LAUNCHED).write_text("[{}]")
    assert record.main(["--dry-run", "--read", str(broken), "--out", str(tmp_path)]) == 1
    assert "1 kernels were launched, but ncu counted" in capsys.readouterr().err


def test_csv_is_read_by_label() -> None:
    add, other = counters.from_csv(SOURCE_PAGE, RAW_PAGE)
    assert (add.kernel, other.kernel) == ("add", "other")
    assert add.sass == {0: "S2R R1, SR_TID.X", 16: "@!P0 LDG.E R2, desc[UR4][R2.64]"}
    assert add.counters["inst_executed"] == {0: 1024, 16: 1024}
    assert add.counters["memory_l2_theoretical_sectors_global"] == {0: 0, 16: 4096}
    assert add.totals == {"smsp__inst_executed.sum": 2048.0}
    assert other.totals == {}


def test_csv_is_read_by_name() -> None:
    named = SOURCE_PAGE.replace("Instructions Executed", "inst_executed").replace(
        "L2 Theoretical Sectors Global", "memory_l2_theoretical_sectors_global"
    )
    assert list(counters.from_csv(named, RAW_PAGE)) == list(counters.from_csv(SOURCE_PAGE, RAW_PAGE))


def test_csv_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="2 launches as source, but 1 as raw"):
        list(counters.from_csv(SOURCE_PAGE, "\n".join(RAW_PAGE.splitlines()[:-1])))
    with pytest.raises(InputError, match="no counts per instruction of add"):
        list(counters.from_csv(SOURCE_PAGE.replace("Instructions Executed", "x"), RAW_PAGE))


@dataclass
class Values:
    """What stands for IMetric of ncu_report, as NVIDIA documents it."""

    values: list[int]
    addresses: list[int] | None = None

    def has_correlation_ids(self) -> bool:
        return self.addresses is not None

    def correlation_ids(self) -> "Values":
        return Values(self.addresses or [])

    def num_instances(self) -> int:
        return len(self.values)

    def as_uint64(self, i: int) -> int:
        return self.values[i]

    def as_double(self) -> float:
        return float(self.values[0])


def module_of(metrics: dict[str, Values]) -> Any:
    sass = {0x7F00: "S2R  R1, SR_TID.X ", 0x7F10: "LDG.E R2, [R2.64]"}
    action = SimpleNamespace(name=lambda: "add", metric_by_name=metrics.get, sass_by_pc=sass.__getitem__)
    return SimpleNamespace(load_report=lambda path: [[action]])


def test_ncu_report_is_read() -> None:
    module = module_of(
        {
            "inst_executed": Values([7, 5], [0x7F10, 0x7F00]),
            "memory_l2_theoretical_sectors_global": Values([28], [0x7F10]),
            "smsp__inst_executed.sum": Values([12]),
        }
    )
    (profile,) = counters.from_module(Path("report"), module)
    assert profile.sass == {0: "S2R R1, SR_TID.X", 16: "LDG.E R2, [R2.64]"}
    assert profile.counters["inst_executed"] == {16: 7, 0: 5}
    assert profile.counters["memory_l2_theoretical_sectors_global"] == {16: 28}
    assert profile.totals == {"smsp__inst_executed.sum": 12.0}


def test_ncu_report_without_counts_is_refused() -> None:
    with pytest.raises(InputError, match="no counts per instruction of add"):
        list(counters.from_module(Path("report"), module_of({"inst_executed": Values([3])})))


def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record.main([]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == ["not recorded: nvidia-smi tells of no NVIDIA GPU here; --dry-run needs none"]


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, failure: str) -> counters.Ncu:
    monkeypatch.setenv("FAKE_NCU", failure)
    (folder / PLAN).write_text(json.dumps({"launches": []}))
    return counters.Ncu(record._STAND_IN)


def test_blocked_counters_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ncu = stand_in(monkeypatch, tmp_path, "blocked")
    with pytest.raises(InputError, match=r"counters are blocked .*ERR_NVGPUCTRPERM") as told:
        ncu.profile(["python", str(tmp_path), "1"], tmp_path, tmp_path, 60)
    assert "\n" not in str(told.value)


def test_an_unknown_counter_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ncu = stand_in(monkeypatch, tmp_path, "metric")
    ncu.profile(["python", str(tmp_path), "1"], tmp_path, tmp_path, 60)
    asked = json.loads((tmp_path / counters.REPORT).read_text())["asked"]
    assert asked == list(counters.PER_INSTRUCTION)


def test_ncu_that_is_missing_or_is_another_program() -> None:
    with pytest.raises(InputError, match="no-such-ncu is not on the PATH"):
        _ = counters.Ncu(["no-such-ncu"]).version
    with pytest.raises(InputError, match="is it Nsight Compute"):
        _ = counters.Ncu([sys.executable, "-c", "print('hello')"]).version
    with pytest.raises(InputError, match="ncu failed: ZeroDivisionError: division by zero"):
        counters.Ncu([sys.executable, "-c", "1 / 0"])._call()


def test_compiler_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no-such-compiler is not on the PATH"):
        build._call(["no-such-compiler"], tmp_path)
    with pytest.raises(InputError, match="failed: Traceback"):
        build._call([sys.executable, "-c", "1 / 0"], tmp_path)


def access(line: int, space: str, kind: str, **counts: int) -> Any:
    instruction = Instruction("ld", (space,), (), 1, "", source=Source("/a/k.cu", line))
    return SimpleNamespace(instruction=instruction, space=space, kind=kind, **counts)


def test_comparison_sums_by_line_and_finds_what_differs() -> None:
    instructions = [
        [0, "LDG.E R1, [R2]", "k.cu", 3],
        [16, "@P0 LDG.E R1, [R2]", "k.cu", 3],
        [32, "LDS R1, [R2]", "k.cu", 3],
        [48, "EXIT", "k.cu", 4],
    ]
    counts = {
        "thread_inst_executed_true": [32, 16, 32, 32],
        "memory_l2_theoretical_sectors_global": [4, 2, 0, 0],
        "memory_l1_wavefronts_shared": [0, 0, 2, 0],
    }
    hardware = recorded(instructions, counts)
    same = [
        access(3, "global", "load", sectors=6, lanes=48),
        access(3, "shared", "load", wavefronts=2, lanes=32),
    ]
    assert differences(hardware, emulated(same)) == []
    other = [
        access(3, "global", "load", sectors=6, lanes=48),
        access(3, "shared", "load", wavefronts=1, lanes=32),
    ]
    (found,) = differences(hardware, emulated(other))
    assert (str(found.place), found.what) == ("shared load at k.cu:3", "wavefronts")
    assert (found.hardware, found.emulated) == (2, 1)
    assert len(differences(hardware, {})) == 4


def test_a_cubin_s_listing_keeps_kernels_apart() -> None:
    text = "\n".join(
        [
            '\t.section\t.text.one,"ax",@progbits',
            '\t//## File "/a/one.cu", line 3',
            "        /*0000*/                   MOV R1, c[0x0][0x28] ;",
            "        /*0010*/              @!P0 LDG.E R2, desc[UR4][R2.64] ;   /* 0x01 */",
            '\t.section\t.text.two,"ax",@progbits',
            "        /*0000*/                   EXIT ;",
        ]
    )
    listing = build.read_listing(text)
    assert listing["one"][1] == build.Line(16, "@!P0 LDG.E R2, desc[UR4][R2.64]", "one.cu", 3)
    assert listing["two"] == (build.Line(0, "EXIT", "", 0),)


def test_the_module_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.record", "--help"],
        cwd=Path(record.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--dry-run" in done.stdout


def test_checksum_is_of_the_bytes() -> None:
    from benchmarks.gpu.launch import checksum

    assert checksum(np.arange(4, dtype="u4")[::2]) == checksum(np.array([0, 2], "u4"))
    assert checksum(np.array([1], "u4")) != checksum(np.array([1], "u8"))
