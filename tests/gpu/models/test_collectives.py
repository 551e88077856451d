import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.collectives import NAMES, TREES, bus_factor, collective, fastest_all_reduce
from tinytorch.runtime.errors import InputError

RANKS = st.integers(1, 64)
BYTES = st.floats(0, 1e11)
BANDWIDTH = st.floats(1e6, 1e12)
LATENCY = st.floats(0, 1e-3)
RINGS = [(name, "ring") for name in NAMES]
EVERY = RINGS + [(name, "tree") for name in TREES]


def ring_steps(ranks, nbytes, bandwidth, latency, chunked):
    """Time a pass around a ring step by step: in each, all GPUs send a message at once."""
    message = nbytes / ranks if chunked else nbytes
    return sum(latency + message / bandwidth for _ in range(ranks - 1))


@given(RANKS, BYTES, BANDWIDTH, LATENCY)
@settings(deadline=None, max_examples=100)
def test_rings_take_the_steps_that_are_counted_one_by_one(ranks, nbytes, bandwidth, latency):
    once = pytest.approx(ring_steps(ranks, nbytes, bandwidth, latency, chunked=True))
    for name in ("all_gather", "reduce_scatter", "all_to_all"):
        assert collective(name, ranks, nbytes, bandwidth, latency).seconds == once
    twice = collective("all_reduce", ranks, nbytes, bandwidth, latency).seconds / 2
    assert twice == once


@given(st.sampled_from(EVERY), RANKS, BYTES, BANDWIDTH, LATENCY)
@settings(deadline=None, max_examples=200)
def test_no_link_carries_more_than_it_can(what, ranks, nbytes, bandwidth, latency):
    name, algorithm = what
    found = collective(name, ranks, nbytes, bandwidth, latency, algorithm)
    if found.seconds:
        assert found.bus_bandwidth <= bandwidth * (1 + 1e-9)
        assert found.algorithm_bandwidth == pytest.approx(nbytes / found.seconds)
    else:
        assert found.bus_bandwidth is None and found.algorithm_bandwidth is None


@given(st.sampled_from(EVERY), st.integers(1, 63), BYTES, BANDWIDTH, LATENCY)
@settings(deadline=None, max_examples=100)
def test_more_gpus_more_bytes_and_slower_links_take_no_less_time(what, ranks, nbytes, bandwidth, latency):
    name, algorithm = what

    def seconds(n=ranks, size=nbytes, rate=bandwidth, wait=latency):
        return collective(name, n, size, rate, wait, algorithm).seconds * (1 + 1e-9)

    now = collective(name, ranks, nbytes, bandwidth, latency, algorithm).seconds
    assert seconds(n=ranks + 1) >= now
    assert seconds(size=2 * nbytes) >= now
    assert seconds(rate=bandwidth / 2) >= now
    assert seconds(wait=2 * latency) >= now


@pytest.mark.parametrize(("name", "algorithm"), EVERY)
def test_one_gpu_alone_takes_no_time(name, algorithm):
    assert collective(name, 1, 1e9, 1e9, 1.0, algorithm).seconds == 0


@pytest.mark.parametrize(("name", "algorithm"), RINGS)
def test_large_arrays_fill_the_link(name, algorithm):
    found = collective(name, 8, 1e15, 450e9, 3e-6, algorithm)
    assert found.bus_bandwidth == pytest.approx(450e9, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        *(("all_reduce", 1.5), ("all_gather", 0.75), ("reduce_scatter", 0.75), ("all_to_all", 0.75)),
        *(("broadcast", 1), ("reduce", 1)),
    ],
)
def test_factors_of_the_bus_bandwidth(name, factor):
    assert bus_factor(name, 4) == factor


def test_a_tree_takes_two_passes_of_its_depth():
    assert collective("all_reduce", 64, 0, 1e9, 1e-6, "tree").seconds == pytest.approx(12e-6)
    assert collective("all_reduce", 65, 0, 1e9, 1e-6, "tree").seconds == pytest.approx(14e-6)
    assert collective("broadcast", 64, 1e6, 1e9, 0, "tree").seconds == pytest.approx(1e-3)


@given(RANKS, BYTES, BANDWIDTH, LATENCY)
@settings(deadline=None, max_examples=60)
def test_the_fastest_is_no_slower_than_either(ranks, nbytes, bandwidth, latency):
    best = fastest_all_reduce(ranks, nbytes, bandwidth, latency).seconds
    for algorithm in ("ring", "tree"):
        assert best <= collective("all_reduce", ranks, nbytes, bandwidth, latency, algorithm).seconds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "gossip"}, "'gossip' is not known; known are all_reduce"),
        ({"ranks": 0}, "at least one GPU, not 0"),
        ({"nbytes": -1.0}, "cannot be negative"),
        ({"nbytes": float("nan")}, "cannot be negative"),
        ({"bandwidth": 0.0}, "must be positive"),
        ({"latency": -1e-6}, "cannot be negative"),
        ({"algorithm": "star"}, "not 'star'"),
        ({"name": "all_gather", "algorithm": "tree"}, "all_gather is done by a ring"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        collective(**{"name": "all_reduce", "ranks": 8, "nbytes": 1e6, "bandwidth": 1e9, **given})
