import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.arch import product, product_of
from tinytorch.gpu.models.fusion import Kernel, bytes_apart, bytes_fused, fusion
from tinytorch.gpu.models.roofs import bound
from tinytorch.runtime.errors import InputError

H100 = product("H100 SXM")


@st.composite
def sequences(draw):
    """Draw kernels that read some of what is there and write one array more."""
    sizes = {f"in{i}": draw(st.integers(0, 1000)) for i in range(3)}
    kernels = []
    for i in range(draw(st.integers(1, 6))):
        reads = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=3, unique=True))
        size = draw(st.integers(0, 1000))
        kernels.append(Kernel(f"k{i}", {name: sizes[name] for name in reads}, {f"out{i}": size}, i * 100))
        sizes[f"out{i}"] = size
    return kernels


def by_hand(kernels, kept):
    """Follow the arrays one by one: what is in registers is not read from memory."""
    registers, memory, total = set(), set(), 0
    for kernel in kernels:
        for name, size in kernel.reads.items():
            if name not in registers:
                total += size
                registers.add(name)
        registers.update(kernel.writes)
    for i, kernel in enumerate(kernels):
        for name, size in kernel.writes.items():
            if name in kept or not any(name in later.reads for later in kernels[i + 1 :]):
                memory.add(name)
                total += size
    return total


@given(sequences(), st.data())
@settings(deadline=None, max_examples=150)
def test_fused_bytes_are_those_that_cross_the_edge(kernels, data):
    written = [name for kernel in kernels for name in kernel.writes]
    kept = data.draw(st.lists(st.sampled_from(written), unique=True))
    assert bytes_fused(kernels, kept) == by_hand(kernels, kept)
    assert bytes_fused(kernels, kept) <= bytes_fused(kernels, written) <= bytes_apart(kernels)


@given(sequences())
@settings(deadline=None, max_examples=80)
def test_fusing_never_takes_longer(kernels):
    found = fusion(kernels, H100)
    assert found.speedup >= 1 - 1e-12
    assert found.seconds_apart == pytest.approx(sum(one.seconds for one in found.apart))


def test_one_kernel_has_nothing_to_fuse():
    one = Kernel("add", {"x": 400, "y": 400}, {"z": 400})
    assert bytes_apart([one]) == bytes_fused([one]) == 1200
    assert fusion([one], H100).speedup == 1


def test_a_chain_of_four_saves_what_lies_between():
    chain = [Kernel(f"k{i}", {f"a{i}": 1 << 26}, {f"a{i + 1}": 1 << 26}) for i in range(4)]
    found = fusion(chain, H100, launch_seconds=0)
    assert (found.bytes_apart, found.bytes_fused) == (8 << 26, 2 << 26)
    assert found.speedup == pytest.approx(4)
    assert fusion(chain, H100, launch_seconds=1.0).speedup == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize(
    ("kernels", "kept", "message"),
    [
        (
            [Kernel("a", {"x": 4}, {"y": 4}), Kernel("b", {"y": 8}, {"z": 4})],
            (),
            "'y' of b has 8 bytes, and 4",
        ),
        ([Kernel("a", {"x": 4}, {"y": 4}), Kernel("b", {"x": 4}, {"y": 4})], (), "written twice"),
        ([Kernel("a", {"x": 4}, {"y": 4})], ("x",), "'x' is to be kept and no kernel writes it"),
        ([Kernel("a", {"x": -4}, {"y": 4})], (), "'x' of a cannot have -4 bytes"),
        ([], (), "at least one kernel"),
    ],
)
def test_sequences_that_cannot_be_are_refused(kernels, kept, message):
    with pytest.raises(InputError, match=message):
        fusion(kernels, H100, kept=kept)


def test_a_bound_says_what_it_is_by():
    assert bound(H100, "bf16", 1e15, 1e6).by == "compute"
    assert bound(H100, "fp32", 1e6, 1e12).by == "memory"
    tiny = bound(H100, "fp32", 1e3, 1e3, launches=10)
    assert tiny.by == "launches" and tiny.seconds == pytest.approx(40e-6, rel=1e-3)


def test_at_the_ridge_both_take_the_same_time():
    even = bound(H100, "bf16", H100.ridge("bf16") * 1e9, 1e9)
    assert even.compute_seconds == pytest.approx(even.memory_seconds)


def test_bounds_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="negative"):
        bound(H100, "fp32", -1, 0)
    with pytest.raises(InputError, match="bandwidth of NVIDIA RTX A6000 is not known"):
        bound(product_of("NVIDIA RTX A6000", "8.6", sms=84, clock_mhz=1800), "fp32", 1, 1)
