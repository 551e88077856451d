"""Probes: that they do the work they are credited with, on every instruction set that this CPU has."""

import gc
import threading

import numpy as np
import pytest

from tinytorch.measure import probe
from tinytorch.measure.bandwidth import bandwidths, best_variants, level_bytes, mixed, pass_probes
from tinytorch.measure.latency import Latency, cache_ends, chase_probe, cycle_probe, latency, merged, sizes
from tinytorch.measure.peaks import DTYPES, compute_dtype, peak_probe, unit
from tinytorch.measure.probe import Crew, Probe, Reading, reading, readings
from tinytorch.simd import build, tiles
from tinytorch.simd.build import assembly
from tinytorch.simd.chains import LINE, STEPS, chain_kernels
from tinytorch.simd.memory import ARRAYS, pass_kernels
from tinytorch.simd.peak import accumulators, peak_kernels, turn_operations
from tinytorch.simd.target import available, chosen

FLOAT32, FLOAT64, BFLOAT16, INT8 = DTYPES


@pytest.fixture(params=[target.name for target in available()])
def target(request, monkeypatch):
    monkeypatch.setenv("TINYTORCH_TARGET", request.param)
    chosen.cache_clear()
    build._library.cache_clear()
    yield chosen()
    monkeypatch.undo()
    chosen.cache_clear()
    build._library.cache_clear()


def vectors(target, dtype, *numbers):
    return np.repeat(np.array(numbers, dtype), target.lanes(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_peaks_do_the_operations_they_are_credited_with(target, dtype):
    """Each turn adds x * y to every sum: as many products as the work says, by the values of the sums."""
    sums = {BFLOAT16: FLOAT32, INT8: np.dtype(np.int32)}.get(dtype, dtype)
    lanes, count = target.lanes(sums), accumulators(target)
    size = lanes * sums.itemsize
    memory = np.zeros((2 + count) * size, np.uint8)
    # On targets that multiply pairs of int16 the first operand is those, the second bytes.
    wide = np.dtype(np.int16) if dtype == INT8 and target.group == 2 else dtype
    memory[:size].view(wide)[:] = 1
    memory[size : 2 * size].view(dtype)[:] = 1
    build.library(peak_kernels, dtype).call("peak", 10, memory.ctypes.data)
    totals = memory[2 * size :].view(sums)
    assert len(totals) == lanes * count
    assert np.all(totals == totals[0])
    assert 2 * int(totals.sum()) == 10 * turn_operations(target, dtype)


@pytest.mark.skipif(not tiles.usable(), reason="this CPU has no AMX, or the system does not lend it")
def test_tiles_are_credited_with_what_the_instruction_does():
    assert tiles.multiplies(BFLOAT16)
    assert tiles.multiplies(INT8)
    assert not tiles.multiplies(FLOAT32)
    text = assembly(tiles.tile_kernels(chosen(), BFLOAT16), chosen())
    assert text.count("tdpbf16ps") % 6 == 0 < text.count("tdpbf16ps")  # LLVM may unroll turns
    assert tiles.turn_operations(BFLOAT16) == 6 * 2 * 16 * 16 * 32
    assert tiles.turn_operations(INT8) == 6 * 2 * 16 * 16 * 64
    build.library(tiles.tile_kernels, INT8).call("peak", 3, tiles.configuration().ctypes.data)


def test_tiles_are_asked_for_where_the_system_lends_them(monkeypatch):
    tiles.usable.cache_clear()
    monkeypatch.setattr(tiles.sys, "platform", "darwin")
    assert not tiles.usable()
    tiles.usable.cache_clear()


@pytest.mark.parametrize("name", [n + s for n in ARRAYS for s in ("", "_stream") if s == "" or ARRAYS[n][1]])
def test_passes_move_what_they_say(target, name):
    reads, writes = ARRAYS[name.removesuffix("_stream")]
    size = 4096
    raw = np.zeros(3 * size + 64, np.uint8)
    x, y, z = raw[-raw.ctypes.data % 64 :][: 3 * size].view(np.float32).reshape(3, -1)
    x[:], y[:], z[:] = 1, 3, np.nan
    build.library(pass_kernels).call(name, 2, size, *(a.ctypes.data for a in (x, y, z)))
    expected = {(1, 0): np.nan, (0, 1): 0.5, (1, 1): 1, (2, 1): 2.5}[reads, writes]
    np.testing.assert_array_equal(z, np.float32(expected))
    assert (x == 1).all()
    assert (y == 3).all()


def test_reading_is_not_optimized_away():
    text = assembly({"read": pass_kernels(chosen())["read"]}, chosen())
    loads = [line for line in text.splitlines() if "mov" in line and "(%r" in line and "mm" in line]
    if chosen().x86:
        assert len(loads) == 8


@pytest.mark.parametrize("lines", [1, 2, 3, 7, 64, 100, 1000, 4096, 5000])
def test_the_chase_goes_through_every_line_once(lines):
    memory = np.zeros(lines * LINE // 8, np.int64)
    start = memory.ctypes.data
    build.library(chain_kernels).call("link", lines, (lines - 1).bit_length(), start)
    following = (memory[:: LINE // 8] - start) // LINE
    at, seen = 0, []
    for _ in range(lines):
        seen.append(at)
        at = int(following[at])
    assert at == 0
    assert sorted(seen) == list(range(lines))
    if lines >= 100:
        jumps = np.diff(seen)
        assert np.bincount(np.abs(jumps)).max() < lines / 10  # no stride that a prefetcher would find


def test_the_chase_follows_the_addresses():
    probed = chase_probe(64 * LINE)
    result = probed.memory[::LINE].size
    assert result == 64
    assert probed.work == STEPS
    probed.run(4)  # 64 steps: round once


def test_the_clock_is_counted_in_additions():
    result = np.zeros(1, np.int64)
    build.library(chain_kernels).call("count", 5, 1, result.ctypes.data)
    assert result[0] == 1 + 5 * STEPS
    assert cycle_probe().work == STEPS


def test_code_lives_as_long_as_the_process():
    """Though nobody knows of the library any more: what calls it holds bare addresses."""
    result = np.zeros(1, np.int64)
    count = build.library(chain_kernels).function("count", 3)
    build._library.cache_clear()
    gc.collect()
    count(5, 1, result.ctypes.data)
    assert result[0] == 1 + 5 * STEPS


def test_readings():
    assert Reading.of([3.0]) == Reading(3.0, 3.0, 3.0)
    assert Reading.of([1.0, 2.0, 3.0]) == Reading(2.0, 1.5, 2.5)
    assert Reading.of([1.0, 1.01, 1.02]).stable
    assert not Reading.of([1.0, 2.0, 3.0]).stable


class OwnClock(threading.local):
    """A clock for each thread that nothing moves but its own work."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def work(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("threads", [1, 3])
def test_a_crew_adds_up_what_its_threads_do(monkeypatch, threads):
    made, clock = [], OwnClock()
    monkeypatch.setattr(probe, "time", clock)

    def make():
        made.append(1)
        return {
            "slow": Probe(lambda turns: clock.work(1e-3 * turns), 1.0),
            "fast": Probe(lambda turns: clock.work(1e-4 * turns), 1.0),
        }

    with Crew(make, threads) as crew:
        assert crew.names == ["slow", "fast"]
        for _ in range(3):
            assert crew.sample("slow") == pytest.approx(threads * 1e3)
            assert crew.sample("fast") == pytest.approx(threads * 1e4)
    assert len(made) == threads


@pytest.mark.parametrize("held", [0, 1, 2])
def test_a_first_run_that_was_held_off_the_cpu_does_not_make_samples_short(monkeypatch, held):
    """Before its first turn, or while it is tried with more of them."""
    runs, clock = [], OwnClock()
    monkeypatch.setattr(probe, "time", clock)

    def run(turns):
        runs.append(turns)
        clock.work(1e-6 * turns + (0.05 if len(runs) == held + 1 else 0))

    with Crew(lambda: {"": Probe(run, 1.0)}) as crew:
        assert crew.sample("") == pytest.approx(1e6)
    assert runs[-1] == pytest.approx(2000, rel=0.01)


def test_a_crew_tells_what_stopped_a_thread():
    def make():
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        reading(make, 2)
    with pytest.raises(MemoryError, match="no room"):
        reading(make, 1)


def test_levels():
    caches = {"l1": 32 << 10, "l2": 1 << 20, "l3": 32 << 20}
    one, four = (level_bytes(caches, 64 << 20, threads) for threads in (1, 4))
    assert list(one) == ["l1", "l2", "l3", "memory"]
    assert one["l1"] == 16 << 10
    assert caches["l2"] < one["l3"] < caches["l3"]
    assert four["l2"] == one["l2"]
    assert four["l3"] < one["l3"]
    assert one["memory"] > 64 << 20 or one["memory"] > 0  # an eighth of what is available may be less
    assert list(level_bytes({"l1": 32 << 10}, None, 1)) == ["l1", "memory"]
    many = level_bytes({"l1": 32 << 10, "l2": 2 << 20, "l3": 105 << 20}, 105 << 20, 64)
    assert "l3" not in many  # 64 L2 hold more
    assert "l3" in level_bytes({"l1": 32 << 10, "l3": 8 << 20}, 8 << 20, 2)


def test_mixes_lie_between_the_passes():
    rates = {"read": 12.0, "triad": 10.0, "copy": 8.0, "write": 4.0}
    assert [mixed(rates, w) for w in (0, 1 / 3, 1 / 2, 1)] == pytest.approx([12, 10, 8, 4])
    assert 4 < mixed(rates, 0.8) < 8


def test_bandwidths_take_the_better_variant():
    found = bandwidths(16 << 10, 1, 3)
    assert list(found) == list(ARRAYS)
    assert all(rate.value > 1e6 for rate in found.values())
    rates = {"read": 5.0, "write": 1.0, "write_stream": 2.0, "copy": 4.0, "copy_stream": 3.0}
    better = best_variants({name: Reading.of([rate]) for name, rate in rates.items()})
    assert {name: one.value for name, one in better.items()} == {"read": 5.0, "copy": 4.0, "write": 2.0}
    assert sum(ARRAYS["triad"]) == 3
    assert pass_probes(3 << 20)["triad"].work == pytest.approx(3 << 20, rel=1e-2)


def test_dtypes_without_a_peak_of_their_own():
    assert compute_dtype(np.dtype(np.float16)) == FLOAT32
    assert compute_dtype(np.dtype(np.uint8)) == INT8
    assert compute_dtype(np.dtype(np.int32)) == FLOAT32
    assert compute_dtype(np.dtype(np.complex128)) == FLOAT64
    assert compute_dtype(BFLOAT16) == BFLOAT16
    assert chosen().name in unit(FLOAT32)


def test_every_peak_is_measured_on_two_threads():
    for name, rate in readings(lambda: {str(d): peak_probe(d) for d in DTYPES}, 2, samples=2).items():
        assert rate.value > 1e6, name


# Latency


@pytest.mark.parametrize("threads", [1, 2])
def test_a_point_of_the_curve(threads):
    point = latency(8 << 10, threads)
    assert point.bytes == 8 << 10
    assert 0 < point.seconds < 1e-3
    assert point.cycles > 0


def curve(ends, times, noise=0.0, shoulder=0.0):
    """A curve with steps at the ends of caches; misses come in over an octave where there is a shoulder."""
    rng = np.random.default_rng(0)
    points = []
    for size in sizes(ends[-1]):
        t = times[0]
        for end, low, high in zip(ends, times, times[1:], strict=False):
            if size > end:
                missing = 1.0 if not shoulder else min(1.0, (size / end - 1) / shoulder)
                t = low + (high - low) * missing
        points.append(Latency(size, t * (1 + noise * rng.random() * (rng.random() < 0.3)), 0.0))
    return points


@pytest.mark.parametrize("shoulder", [0.0, 1.0])
@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize(
    ("ends", "times"),
    [
        ((32 << 10, 512 << 10, 32 << 20), (1.2, 4.0, 14.0, 90.0)),
        ((48 << 10, 2 << 20, 100 << 20), (1.7, 6.0, 50.0, 110.0)),
        ((64 << 10, 4 << 20), (1.0, 5.0, 100.0)),
    ],
)
def test_caches_end_where_the_curve_rises(ends, times, noise, shoulder):
    found = cache_ends(curve(ends, times, noise, shoulder), len(ends))
    for end, told in zip(found, ends, strict=True):
        assert told / 1.5 < end < 1.5 * told * (1 + shoulder / 2)


def test_curves_that_show_nothing():
    flat = [Latency(1 << n, 5e-9, 0.0) for n in range(12, 20)]
    assert cache_ends(flat, 3) == [None, None, None]
    assert cache_ends(flat[:2], 2) == [None, None]
    one_step = [Latency(1 << n, 5e-9 if n < 16 else 5e-8, 0.0) for n in range(12, 20)]
    found = cache_ends(one_step, 3)
    assert sum(end is not None for end in found) == 1


def test_sweeps_are_merged_by_the_faster():
    first, second = [Latency(1, 2.0, 4.0)], [Latency(1, 1.0, 3.0)]
    assert merged(first, second) == (Latency(1, 1.0, 3.0),)


def test_sizes():
    some = sizes(1 << 20)
    assert some[0] == 4 << 10
    assert some[-1] <= 4 << 20
    assert some[-1] > 3 << 20
    assert len(sizes(1 << 20, per_octave=2)) == (len(some) + 1) // 2
    assert all(size % LINE == 0 for size in some)
