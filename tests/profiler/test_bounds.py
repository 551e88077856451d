"""Bounds and advice: what follows from which evidence."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.roofs import made
from tinytorch.measure.counting import Count, Entry
from tinytorch.measure.roofline import Roofline
from tinytorch.profiler.advice import recommend
from tinytorch.profiler.bounds import Evidence, judge
from tinytorch.runtime.cost import Cost

QUIET = Evidence(
    seconds=1e-3, compute=0.01, memory=0.01, level="L2", dtype="float32", interpreter=0.0, calls=1,
    call_seconds=1e-7, threads=1, efficiency=None, dependent=None, per_load=None, latency=None,
)  # fmt: skip
FLOAT32 = np.dtype(np.float32)


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"compute": 0.93}, "compute", "93% of the float32 peak"),
        ({"memory": 0.91}, "L2", "91% of the bandwidth of L2"),
        ({"memory": 0.91, "level": "memory"}, "memory", "91% of the bandwidth of memory"),
        ({"compute": 0.7, "memory": 0.8}, "L2", "70% of the float32 peak and 80% of the bandwidth of L2"),
        ({"interpreter": 0.97}, "call overhead", "97% of the time is Python's interpreter"),
        ({"calls": 900, "call_seconds": 8e-4}, "call overhead", "900 calls take 80%"),
        ({"calls": 1, "call_seconds": 6e-4}, "call overhead", "one call takes 60%"),
        ({"interpreter": 0.4, "compute": 0.9, "call_seconds": 2e-4}, "call overhead", "40% of the time"),
        (
            {"dependent": 0.9, "per_load": 9e-8, "latency": 1e-7, "level": "L3"},
            "latency of L3", "90% of its loads wait for the load before; one takes 90 ns",
        ),
        ({"threads": 2, "efficiency": 0.55}, "threads waiting", "2 threads are 1.10 times as fast as one"),
        ({"threads": 2, "efficiency": 0.95, "memory": 0.55}, "L2", "not near"),
        ({"compute": 0.55}, "compute", "nearest to that, though not near"),
        ({}, "unknown", "near no roof"),
        ({"costly": ("exp",)}, "instructions", "exp: each counts as one operation and takes dozens"),
        ({"memory": 0.45}, "unknown", "near no roof"),
        ({"busy": 0.02}, "waiting", "keeps 0.02 CPUs busy"),
        ({"dependent": 0.9, "level": "L3"}, "latency of L3", "90% of its loads wait"),
        ({"compute": None}, "unknown", "its operations are not known"),
        ({"compute": None, "memory": 0.9}, "L2", "90% of the bandwidth of L2"),
    ],
)  # fmt: skip
def test_what_bounds(changes, name, said):
    bound = judge(replace(QUIET, **changes))
    assert bound.name == name
    assert said in bound.reason


def advice(evidence, operations=1000, read=1000, written=1000, details=(), dtype=FLOAT32, usable=1):
    cost = Cost(operations, read, written)
    place = Roofline.of(made(), FLOAT32, 1).place(cost, evidence.seconds, 800)
    count = Count(operations, read, written, dtype, "stated", details)
    return recommend(judge(evidence), evidence, place, count, usable)


def test_every_recommendation_names_a_number():
    for changes in (
        {"compute": 0.93}, {"compute": 0.6}, {"memory": 0.91}, {"memory": 0.7}, {"interpreter": 0.97},
        {"calls": 900, "call_seconds": 8e-4}, {"dependent": 0.9, "per_load": 9e-8},
        {"threads": 2, "efficiency": 0.3}, {}, {"compute": None}, {"costly": ("exp",)},
    ):  # fmt: skip
        told = advice(replace(QUIET, **changes))
        assert told
        assert re.search(r"\d", told[0]), told


def test_memory():
    first, *_ = advice(replace(QUIET, memory=0.91))
    assert first == (
        "at 91% of the bandwidth of L2: only fewer bytes will help: fuse the next elementwise operation or "
        "use bfloat16, which has half"
    )
    several = (Entry("add", FLOAT32, 3, 500, 1000, 500), Entry("exp", FLOAT32, 1, 500, 500, 500))
    first, *_ = advice(replace(QUIET, memory=0.91), read=1500, details=several)
    assert "2.44 KiB move for 800 B of arrays: fuse the 4 operations into one pass" in first
    assert "use float32" in advice(replace(QUIET, memory=0.91), dtype=np.dtype(np.float64))[0]
    assert "which has half" not in advice(replace(QUIET, memory=0.91), dtype=np.dtype(np.int8))[0]


def test_threads_are_advised_only_where_they_could_help():
    busy = replace(QUIET, compute=0.9)
    assert "it keeps 1 of 4 CPUs busy" in advice(busy, usable=4)[-1]
    assert not any("CPUs busy" in told for told in advice(busy, usable=1))
    assert not any("CPUs busy" in told for told in advice(replace(busy, seconds=1e-5), usable=4))
    assert not any("CPUs busy" in told for told in advice(replace(busy, threads=4), usable=4))
    assert not any("CPUs busy" in told for told in advice(replace(QUIET, interpreter=0.9), usable=4))
    assert not any("CPUs busy" in told for told in advice(QUIET, usable=4))  # what bounds it is not known
    assert not any("CPUs busy" in told for told in advice(replace(busy, gain=0.3), usable=4))
    assert "4 threads were measured 2.10 times as fast" in advice(replace(busy, gain=2.1), usable=4)[-1]
