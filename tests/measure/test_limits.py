"""Limits: measured, kept, read again, and refused when they are not what they should be."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.roofs import GIGA, exact, made
from tinytorch.machine.info import describe
from tinytorch.measure import latency, limits
from tinytorch.measure.beside import Beside
from tinytorch.measure.limits import keep, kept
from tinytorch.measure.probe import Reading
from tinytorch.measure.roofline import Roofline
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.threads import get_num_threads


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch):
    """A machine whose caches are small, so that all is measured in a second; few sizes, few bytes."""
    caches = {"l1": 8 << 10, "l2": 32 << 10, "l3": 128 << 10}
    return replace(describe(), caches=caches)


def steps(*ends):
    """Make up a latency curve that rises fourfold where caches of so many KiB end; a real one is noisy."""

    def made_latency(size, threads=1):
        nanoseconds = 4 ** sum(size > end << 10 for end in ends)
        return latency.Latency(size, nanoseconds * 1e-9, 3.0 * nanoseconds)

    return made_latency


def test_everything_is_measured(small, monkeypatch):
    monkeypatch.setattr(latency, "latency", steps(8, 32, 128))
    told = []
    found = limits.measure_limits(small, told.append)
    assert found.threads == get_num_threads()
    assert set(found.peaks) == {"float32", "float64", "bfloat16", "int8"}
    assert set(found.bandwidths) == {"l1", "l2", "l3", "memory"}
    for count in found.counts():
        assert all(by[count].value > 1e6 for by in found.peaks.values())
        for level, by_pass in found.bandwidths.items():
            if level != "l3":  # which two L2 may fill
                assert all(by[count].value > 1e6 for by in by_pass.values())
        assert found.latencies[count][0] == latency.Latency(4 << 10, 1e-9, 3.0)
    assert set(found.overheads) - {"launch"} == {"python call", "numpy call", "kernel call", "page fault"}
    assert all(1e-9 < cost.value < 1 for name, cost in found.overheads.items() if name != "launch")
    assert any("latency" in text for text in told)
    assert any("peaks" in text for text in told)
    assert keep(found) is None
    assert kept(small) == found
    assert kept(replace(small, cpu="another")) is None
    json.dumps(found.as_dict())


def test_a_quick_one_has_a_coarse_curve(small):
    found = limits.measure_limits(small, quick=True)
    assert found.quick
    assert list(found.latencies) == [1]
    assert all(point.seconds > 0 and point.cycles > 0 for point in found.latencies[1])


@pytest.mark.parametrize("ends", [(12, 48, 192), (12, 192), ()])
def test_a_machine_that_does_not_tell_of_caches(small, monkeypatch, ends):
    """What the curve shows is told, and nothing else."""
    monkeypatch.setattr(latency, "UNKNOWN_CACHE", 128 << 10)
    monkeypatch.setattr(latency, "latency", steps(*ends))
    found = limits.measure_limits(replace(small, caches=dict.fromkeys(("l1", "l2", "l3"))), quick=True)
    sizes = list(found.cache_ends.values())
    assert len(sizes) == len(ends)
    assert all(end << 9 < size < end << 11 for end, size in zip(ends, sizes, strict=True))
    assert set(found.bandwidths) >= {"memory"}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": 99}', json.dumps({"schema": 1, "fingerprint": "x"}), "\0", '{"schema": 1}'],
)
def test_a_file_that_is_none_is_measured_anew(folder, content):
    found = made()
    assert keep(found) is None
    path = folder / "limits-test-2.json"
    assert limits._read(json.loads(path.read_text())) == found
    machine = describe()
    folder.joinpath(f"limits-{limits.fingerprint(machine)}-{get_num_threads()}.json").write_text(content)
    assert kept(machine) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("peaks", "float32", "1", "value"), "1e999"),
        (("peaks", "float32", "1", "value"), "0"),
        (("peaks", "float32", "1", "value"), "-1"),
        (("peaks", "float32", "1", "value"), "NaN"),
        (("peaks", "float32", "1", "value"), '"x"'),
        (("peaks", "float32"), "{}"),
        (("peaks",), "{}"),
        (("bandwidths", "memory"), "{}"),
        (("threads",), "99"),
        (("threads",), "10" * 300),
        (("fingerprint",), '"another"'),
        (("latencies", "1"), "[" * 5000 + "]" * 5000),
        (("clock_hertz",), "null"),
    ],
)
def test_absurd_numbers_are_measured_anew(folder, path, value):
    name, threads = limits.fingerprint(describe()), get_num_threads()
    content = json.loads(json.dumps(made(fingerprint=name, threads=threads).as_dict()))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "HERE"
    folder.mkdir()
    text = json.dumps(content).replace('"HERE"', value)
    folder.joinpath(f"limits-{name}-{threads}.json").write_text(text)
    assert kept() is None


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(blocked / "below"))
    assert "cannot be written" in keep(made())
    assert kept() is None


def test_what_is_not_stable_is_named():
    assert made().unstable() == []
    peaks = {**made().peaks, "float32": {1: Reading(10.0, 8.0, 12.0), 2: exact(1.0)}}
    assert made(peaks=peaks).unstable() == ["peak float32 x1"]
    assert made(peaks=peaks).as_dict()["unstable"] == ["peak float32 x1"]


# The roofline


def roofline(dtype="float32", threads=1):
    return Roofline.of(made(), np.dtype(dtype), threads)


def test_places_by_hand():
    """1e9 operations and 1e9 bytes read in 0.1 s: a tenth of the peak, and of the memory roof all."""
    place = roofline().place(Cost(10**9, 10**9, 0), 0.1)
    assert place.level == "memory"
    assert place.intensity == 1
    assert place.roof("compute").share == pytest.approx(0.1)
    assert place.roof("memory").share == pytest.approx(1.0)
    assert place.roof("l2").share == pytest.approx(0.2)
    assert place.binding.name == "memory"
    assert place.operations_rate == pytest.approx(1e10)
    json.dumps(place.as_dict())
    assert roofline().place(Cost(10**10, 1000, 0), 0.11).binding.name == "compute"


def test_roofs_follow_what_is_written():
    reading, copying = (
        roofline().place(Cost(0, r, w), 1.0) for r, w in ((10**9, 0), (10**9 // 2, 10**9 // 2))
    )
    assert reading.roof("memory").rate == pytest.approx(10 * GIGA)
    assert copying.roof("memory").rate == pytest.approx(8 * GIGA)


@pytest.mark.parametrize(
    ("size", "threads", "level"),
    [(32 << 10, 1, "l1"), (33 << 10, 1, "l2"), (33 << 10, 2, "l1"), (2 << 20, 2, "l2"), (2 << 20, 1, "l3"),
     (40 << 20, 2, "memory"), (0, 1, "l1")],
)  # fmt: skip
def test_levels_by_working_set(size, threads, level):
    assert roofline(threads=threads).level(size) == level


def test_what_is_measured_beside_stands_for_the_peak_and_the_level():
    beside = Beside(exact(50 * GIGA), exact(5 * GIGA))
    place = roofline().place(Cost(10**9, 10**9, 0), 0.2, beside=beside)
    assert place.roof("compute").rate == 50 * GIGA
    assert place.roof("memory").share == pytest.approx(1.0)
    assert place.roof("l3").rate == pytest.approx(20 * GIGA)


def test_the_roof_at_an_intensity():
    assert roofline().attainable(1.0, "memory") == 10 * GIGA
    assert roofline().attainable(1000.0, "memory") == 100 * GIGA
    assert roofline().highest("l1") == 100 * GIGA


def test_a_level_that_was_not_measured_for_so_many_threads():
    limits = made()
    for by in limits.bandwidths["l3"].values():
        del by[2]
    found = Roofline.of(limits, np.dtype(np.float32), 2)
    assert list(found.bandwidths) == ["l1", "l2", "memory"]
    assert found.level(16 << 20) == "memory"


def test_dtypes_and_threads():
    assert roofline("float64").peak == 50 * GIGA
    assert roofline("float16").dtype == np.float32
    assert roofline("int8", 2).peak == 800 * GIGA
    with pytest.raises(ValueError, match="for 1 or 2 threads, not 3"):
        roofline(threads=3)


def test_nothing_moves():
    place = roofline().place(Cost(10, 0, 0), 1.0)
    assert place.intensity is None
    assert place.level == "l1"
