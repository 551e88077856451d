import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.arch import product, product_of
from tinytorch.gpu.models.collectives import collective
from tinytorch.gpu.models.scaling import (
    COUNTS,
    Interconnect,
    amdahl,
    data_parallel,
    gustafson,
    interconnect_of,
)
from tinytorch.runtime.errors import InputError

H100 = product("H100 SXM")
SHARES = st.floats(0, 1)


@given(st.integers(1, 10_000), SHARES)
@settings(deadline=None, max_examples=100)
def test_the_laws_follow_from_the_times_they_are_made_of(processors, serial):
    assert amdahl(processors, serial) == pytest.approx(1 / (serial + (1 - serial) / processors))
    # Gustafson: what took one unit of time on all of them takes so much on one.
    assert gustafson(processors, serial) == pytest.approx(serial + (1 - serial) * processors)
    assert 1 - 1e-9 <= amdahl(processors, serial) <= gustafson(processors, serial) + 1e-9 <= processors + 1e-6


def test_laws_refuse_what_is_no_share():
    for law in (amdahl, gustafson):
        with pytest.raises(InputError, match="from 0 to 1"):
            law(4, 1.5)
        with pytest.raises(InputError, match="at least one GPU"):
            law(0, 0.5)


def test_inside_a_node_it_is_a_plain_all_reduce():
    wires = Interconnect(450e9)
    plain = collective("all_reduce", 8, 1e9, 450e9, wires.link_latency).seconds
    assert wires.all_reduce_seconds(8, 1e9) == pytest.approx(plain)
    assert wires.all_reduce_seconds(1, 1e9) == 0


def test_across_nodes_each_gpu_sends_its_share():
    wires = Interconnect(400e9, 8, 50e9, 0, 0)
    # 2 * 7/8 of a second's bytes inside, and an eighth of them twice over 3/4 of the network's ring.
    assert wires.all_reduce_seconds(32, 1e9) == pytest.approx(2 * 7 / 8 / 400 + 2 * 3 / 4 / 8 / 50)


def test_parts_in_a_node_gain_over_one_ring_through_the_network():
    wires = Interconnect(450e9)
    flat = collective("all_reduce", 64, 1e9, wires.network_bandwidth, wires.network_latency).seconds
    assert wires.all_reduce_seconds(64, 1e9) < flat / 3


def test_nodes_of_one_gpu_are_a_ring_through_the_network():
    wires = Interconnect(450e9, gpus_per_node=1)
    flat = collective("all_reduce", 8, 1e9, wires.network_bandwidth, wires.network_latency).seconds
    assert wires.all_reduce_seconds(8, 1e9) == pytest.approx(flat)


@given(st.floats(0, 1e12), st.floats(1e6, 1e20), SHARES, st.sampled_from(["strong", "weak"]))
@settings(deadline=None, max_examples=100)
def test_scaling_is_bounded_by_the_number_of_gpus(gradients, operations, overlap, mode):
    steps = data_parallel(H100, gradients, operations, mode=mode, overlap=overlap)
    assert [step.gpus for step in steps] == list(COUNTS)
    assert steps[0].speedup == 1 and steps[0].exposed_seconds == 0
    for step in steps:
        assert 0 < step.efficiency <= 1 + 1e-9
        assert step.speedup == pytest.approx(step.efficiency * step.gpus)
        assert step.seconds == step.compute_seconds + step.exposed_seconds
        assert step.exposed_seconds <= step.communication_seconds


@given(st.floats(0, 1e12), st.floats(1e6, 1e20))
@settings(deadline=None, max_examples=60)
def test_weak_scaling_is_no_less_efficient_than_strong(gradients, operations):
    strong = data_parallel(H100, gradients, operations, mode="strong")
    weak = data_parallel(H100, gradients, operations, mode="weak")
    assert all(a.efficiency <= b.efficiency + 1e-9 for a, b in zip(strong, weak, strict=True))


def test_without_gradients_scaling_is_only_limited_by_latency():
    wires = Interconnect(450e9, link_latency=0, network_latency=0)
    steps = data_parallel(H100, 0, 1e15, interconnect=wires)
    assert [step.efficiency for step in steps] == pytest.approx([1.0] * len(COUNTS))


def test_a_known_step():
    # 2e15 operations at 40% of 989.4 TFLOP/s are 5.0535 s, 0.6317 s on each of 8 GPUs. 1e12 bytes over
    # 450 GB/s take 2 * 7/8 / 0.45 = 3.8889 s, half of the computing hides 0.3158 s.
    (step,) = data_parallel(H100, 1e12, 2e15, gpus=[8], utilization=0.4, overlap=0.5)
    assert step.compute_seconds == pytest.approx(0.6317, rel=1e-3)
    assert step.communication_seconds == pytest.approx(3.8889, rel=1e-3)
    assert step.exposed_seconds == pytest.approx(3.8889 - 0.3158, rel=1e-3)
    assert step.speedup == pytest.approx(5.0535 / (0.6317 + 3.5731), rel=1e-3)


def test_a_faster_link_helps():
    slow = data_parallel(H100, 1e10, 1e14, gpus=[8], interconnect=Interconnect(16e9))[0]
    fast = data_parallel(H100, 1e10, 1e14, gpus=[8], interconnect=Interconnect(900e9))[0]
    assert slow.efficiency < 0.5 * fast.efficiency


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"operations": 0}, "has operations and gradients"),
        ({"gradient_bytes": -1}, "has operations and gradients"),
        ({"utilization": 0}, "shares from 0 to 1"),
        ({"overlap": 1.1}, "shares from 0 to 1"),
        ({"mode": "sideways"}, "strong or weak, not 'sideways'"),
        ({"gpus": [0]}, "at least one GPU, not 0"),
        ({"gpus": [12]}, "12 GPUs do not fill nodes of 8"),
        ({"dtype": "fp4"}, "no rate is known for fp4 on H100 SXM"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        data_parallel(**{"product": H100, "gradient_bytes": 1e9, "operations": 1e15, **given})


def test_a_gpu_whose_link_is_not_known_needs_an_interconnect():
    with pytest.raises(InputError, match="give an Interconnect"):
        interconnect_of(product_of("NVIDIA RTX A6000", "8.6"))
