import importlib.util
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.arch import CAPABILITIES, capability
from tinytorch.gpu.models.occupancy import best_block, block_limits, occupancy, to_gain_a_block
from tinytorch.runtime.errors import InputError

QUESTION = (
    *("major", "minor", "threads_per_sm", "shared_per_sm", "shared_per_block", "shared_opt_in", "reserved"),
    *("threads", "registers", "static_shared", "dynamic_shared", "barriers", "carveout", "opt_in"),
)
ANSWER = ("error", "blocks", "warps", "registers", "shared memory", "blocks slots", "barriers", "best")
INVALID_INPUT, UNKNOWN_DEVICE = 1, 2
ROWS = pytest.mark.parametrize("row", CAPABILITIES.values(), ids=str)


def header() -> Path | None:
    """Return NVIDIA's cuda_occupancy.h: of its wheel, of an installed CUDA, or of Triton."""
    places = [
        *((folder, "*/include") for folder in installed("nvidia")),
        (Path("/usr/local"), "cuda*/include"),
        *((folder, "backends/nvidia/include") for folder in installed("triton")),
    ]
    for folder, inside in places:
        for found in sorted(folder.glob(f"{inside}/cuda_occupancy.h"), reverse=True):
            return found
    return None


def installed(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def is_the_latest() -> bool:
    """Say whether the header is of the version whose barriers of compute capability 10.3 the table has."""
    try:
        version = metadata.version("nvidia-cuda-runtime")
    except metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:2]) >= (13, 5)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Return a function that asks NVIDIA's header about columns of questions."""
    where, compiler = header(), shutil.which("g++")
    if where is None or compiler is None:
        pytest.skip("needs g++ and cuda_occupancy.h, of the wheel nvidia-cuda-runtime")
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    source = Path(__file__).with_name("occupancy_oracle.cpp")
    subprocess.run([compiler, "-O1", "-w", f"-I{where.parent}", source, "-o", program], check=True)

    def ask(**columns):
        table = np.stack(np.broadcast_arrays(*(columns[name] for name in QUESTION)), axis=-1)
        asked = np.ascontiguousarray(table, np.int32)
        told = subprocess.run([program], input=asked.tobytes(), capture_output=True, check=True).stdout
        rows = np.frombuffer(told, np.int32).reshape(len(asked), len(ANSWER))
        if np.all(rows[:, 0] == UNKNOWN_DEVICE):
            pytest.skip(f"{where} is older than this compute capability")
        return dict(zip(ANSWER, rows.T.astype(np.int64), strict=True))

    return ask


def device(row):
    """Return what the driver tells of a device, to the header."""
    return {
        **{"major": row.major, "minor": row.minor, "threads_per_sm": row.threads_per_sm},
        **{"shared_per_sm": row.shared_per_sm, "shared_per_block": 48 << 10},
        **{"shared_opt_in": row.shared_per_block, "reserved": row.shared_reserved},
    }


def ours(row, asked):
    shared = asked["static_shared"] + asked["dynamic_shared"]
    carveout = np.where(asked["carveout"] == -1, 100, asked["carveout"])  # -1 says that none is preferred
    return block_limits(
        row,
        asked["threads"],
        asked["registers"],
        shared,
        barriers=asked["barriers"],
        carveout=carveout,
        opt_in=asked["opt_in"] == 1,
    )


def agree(row, asked, oracle):
    told = oracle(**device(row), **asked)
    limits = ours(row, asked)
    assert not told["error"].any()
    comparable = ["warps", "registers", "shared memory"]
    if str(row) != "10.3" or is_the_latest():
        comparable.append("barriers")
    for name in comparable:
        wrong = np.flatnonzero(limits[name] != told[name])[:1]
        first = {key: column[wrong].tolist() for key, column in asked.items()}
        assert not len(wrong), f"{name}: {limits[name][wrong]}, NVIDIA {told[name][wrong]} for {first}"
    assert np.array_equal(limits["blocks"], told["blocks slots"])
    assert np.array_equal(np.minimum.reduce(list(limits.values())), told["blocks"])
    return told


def questions(row, **given):
    """Return columns of questions: a plain kernel, but for what is given."""
    plain = {"threads": 128, "registers": 32, "static_shared": 0, "dynamic_shared": 0}
    plain |= {"barriers": 1, "carveout": -1, "opt_in": 1}
    columns = np.broadcast_arrays(*(np.asarray(value) for value in {**plain, **given}.values()))
    return {name: column.ravel() for name, column in zip({**plain, **given}, columns, strict=True)}


@ROWS
def test_every_number_of_threads_and_of_registers(row, oracle):
    threads, registers = np.arange(1, 1026)[:, np.newaxis], np.arange(256)
    asked = questions(row, threads=threads[threads[:, 0] % 8 < 2], registers=registers)
    told = agree(row, asked, oracle)
    assert np.unique(told["blocks"]).size > 8


@ROWS
def test_every_size_of_shared_memory_about_every_step(row, oracle):
    steps = np.arange(0, row.shared_per_sm + 8192, row.shared_unit)[:, np.newaxis] + np.array([-1, 0, 1])
    total = np.unique(steps.clip(0))[:, np.newaxis]
    static = np.minimum(total, np.array([0, 1, 4096, 48 << 10]))
    for opt_in in (0, 1):
        asked = questions(row, static_shared=static, dynamic_shared=total - static, opt_in=opt_in)
        told = agree(row, asked, oracle)
        assert (told["blocks"] == 0).any() and (told["blocks"] > 0).any()


@ROWS
def test_every_carve_out(row, oracle):
    total = np.arange(0, row.shared_per_sm + 2048, 509)[:, np.newaxis]
    asked = questions(row, dynamic_shared=total, carveout=np.arange(-1, 101), threads=64)
    agree(row, asked, oracle)


@ROWS
def test_every_number_of_barriers(row, oracle):
    if str(row) == "10.3" and not is_the_latest():
        pytest.skip("the header before 13.5 has twice the barriers for compute capability 10.3")
    agree(row, questions(row, barriers=np.arange(17), threads=np.array([[32], [64], [1024]])), oracle)


@ROWS
def test_kernels_at_random_over_the_whole_range(row, oracle):
    random, count = np.random.default_rng(row.major * 10 + row.minor), 30_000
    total = (random.random(count) ** 2 * (row.shared_per_sm + 4096)).astype(int)  # small ones more often
    static = (random.random(count) * np.minimum(total, 48 << 10)).astype(int)
    asked = {
        "threads": random.integers(1, 1100, count),
        "registers": random.integers(0, 256, count),
        "static_shared": static,
        "dynamic_shared": total - static,
        "barriers": random.integers(0, 2 if str(row) == "10.3" else 17, count),
        "carveout": random.integers(-1, 101, count),
        "opt_in": random.integers(0, 2, count),
    }
    told = agree(row, asked, oracle)
    assert np.unique(told["blocks"]).size > 8


@ROWS
@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"threads": -1}, {"registers": -1}, {"carveout": 101}, {"carveout": -2}]
)
def test_what_the_header_calls_an_error_is_one(row, wrong, oracle):
    assert oracle(**device(row), **questions(row, **wrong))["error"] == [INVALID_INPUT]
    given = {"threads": 128, "registers": 32, "carveout": 100, **wrong}
    with pytest.raises(InputError, match=r"must be .* not"):
        occupancy(row, given["threads"], given["registers"], carveout=given["carveout"])


@ROWS
def test_the_best_block_size_is_the_header_s(row, oracle):
    registers = np.arange(8, 256, 13)[:, np.newaxis]
    shared = np.linspace(0, row.shared_per_block, 7).astype(int)
    asked = questions(row, threads=1024, registers=registers, dynamic_shared=shared)
    told = oracle(**device(row), **asked)
    for held, size, best in zip(asked["registers"], asked["dynamic_shared"], told["best"], strict=True):
        assert best_block(row, int(held), int(size)).threads_per_block == best


KERNELS = {
    "row": st.sampled_from(list(CAPABILITIES.values())),
    "threads": st.integers(1, 1024),
    "registers": st.integers(0, 255),
    "shared": st.integers(0, 230 << 10),
    "barriers": st.integers(0, 16),
    "carveout": st.integers(0, 100),
}


@given(**KERNELS)
@settings(deadline=None, max_examples=150)
def test_what_would_gain_a_block_gains_it_and_no_more_would(
    row, threads, registers, shared, barriers, carveout
):
    now = occupancy(row, threads, registers, shared, barriers=barriers, carveout=carveout)
    gain = to_gain_a_block(now)
    if not gain:
        return

    def blocks(**changed):
        used = {
            "threads per block": threads,
            "registers per thread": registers,
            "shared bytes per block": shared,
            "barriers": barriers,
            **gain,
            **changed,
        }
        a, b, c, d = used.values()
        return occupancy(row, a, b, c, barriers=d, carveout=carveout).blocks_per_sm

    assert blocks() > now.blocks_per_sm
    for name, most in gain.items():
        assert blocks(**{name: most + 1}) <= now.blocks_per_sm


@given(**KERNELS)
@settings(deadline=None, max_examples=100)
def test_using_less_never_holds_fewer_blocks(row, threads, registers, shared, barriers, carveout):
    def blocks(a, b, c, d):
        return occupancy(row, a, b, c, barriers=d).blocks_per_sm

    now = blocks(threads, registers, shared, barriers)
    assert blocks(-(-threads // 2), registers, shared, barriers) >= now
    assert blocks(threads, registers // 2, shared, barriers) >= now
    assert blocks(threads, registers, shared // 2, barriers) >= now
    assert blocks(threads, registers, shared, barriers // 2) >= now


def test_nothing_is_gained_where_the_sm_is_full():
    assert to_gain_a_block(occupancy("8.6", 32, 16)) == {}
    assert to_gain_a_block(occupancy("9.0", 32, 16, carveout=0)) == {}


def test_an_occupancy_says_what_limits_it():
    full = occupancy("8.0", 1024, 32)
    assert (full.blocks_per_sm, full.warps_per_sm, full.share) == (2, 64, 1.0)
    assert full.limiters == ("warps", "registers")
    assert full.limits["shared memory"] == 164 and full.limits["barriers"] is None
    assert str(full) == "2 blocks of 32 warps per SM: occupancy 100.0%, limited by warps and registers"


def test_a_kernel_that_cannot_run_has_no_blocks_and_a_reason():
    large = occupancy("9.0", 128, 32, (227 << 10) + 1)
    assert (large.blocks_per_sm, large.share, large.limiters) == (0, 0.0, ("shared memory",))
    assert occupancy("9.0", 128, 32, 227 << 10).blocks_per_sm == 1
    assert occupancy("9.0", 128, 32, 64 << 10, opt_in=False).limiters == ("shared memory",)
    assert occupancy("9.0", 1024, 128).limiters == ("registers",)
    assert occupancy("9.0", 1025, 16).limiters == ("warps",)
    assert to_gain_a_block(large) == {"shared bytes per block": 227 << 10}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"registers_per_thread": 256}, "registers per thread must be from 0 to 255, not 256"),
        ({"shared_per_block": -1}, "bytes of shared memory per block must be at least 0, not -1"),
        ({"barriers": 17}, "barriers must be from 0 to 16, not 17"),
        ({"version": "3.5"}, "not known; known are"),
    ],
)
def test_numbers_that_no_kernel_has_are_refused(given, message):
    kernel = {"version": "9.0", "threads_per_block": 128, "registers_per_thread": 32, **given}
    with pytest.raises(InputError, match=message):
        occupancy(**kernel)


def test_no_block_size_runs_with_too_much_shared_memory():
    with pytest.raises(InputError, match="a block may have 101376"):
        best_block("8.9", 32, 200_000)


def test_all_kernels_at_once_are_as_one_by_one():
    row = capability("8.9")
    threads, registers = np.array([64, 256, 700]), np.array([[24], [255]])
    limits = block_limits(row, threads, registers, 5000)
    least = np.minimum.reduce(list(limits.values()))
    assert least.shape == (2, 3)
    for i, held in enumerate(registers[:, 0]):
        for j, size in enumerate(threads):
            assert occupancy(row, int(size), int(held), 5000).blocks_per_sm == least[i, j]
