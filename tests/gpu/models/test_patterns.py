"""Streams of the access patterns, thread by thread, and what the models say of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.banks import ideal_wavefronts, wavefronts
from tinytorch.gpu.models.coalescing import ideal_sectors, sectors
from tinytorch.gpu.models.patterns import PATTERNS, Stream, global_stream, shared_columns, shared_strided
from tinytorch.gpu.models.sample import spread
from tinytorch.runtime.errors import InputError


def efficiency(stream: Stream) -> float:
    """Return ideal sectors by sectors."""
    ideal = ideal_sectors(stream.active, stream.width).sum()
    return float(ideal / sectors(stream.addresses, stream.active, stream.width).sum())


def thread_by_thread(pattern: str, shape: tuple[int, ...], stride: int) -> list[int]:
    """Return the element of each thread, as loops over the array would visit it."""
    elements = np.arange(np.prod(shape)).reshape(shape)
    if pattern == "strided":
        return elements.ravel()[::stride].tolist()
    return (elements.T if pattern == "column_major" else elements).ravel().tolist()


@settings(deadline=None, max_examples=100)
@given(
    pattern=st.sampled_from(PATTERNS),
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3).map(tuple),
    itemsize=st.sampled_from((1, 2, 4, 8, 16)),
    stride=st.integers(1, 40),
)
def test_streams_thread_by_thread(pattern, shape, itemsize, stride):
    stream = global_stream(pattern, shape, itemsize, stride)
    visited = stream.addresses[stream.active].tolist()
    expected = thread_by_thread(pattern, shape, stride)
    if pattern == "random":
        visited.sort()
    assert visited == [itemsize * element for element in expected]
    assert stream.warps == len(stream.addresses) == -(-len(expected) // 32)
    assert stream.active[:-1].all()
    assert stream.addresses.dtype == np.int64
    assert not stream.sampled


def test_unit_stride_is_coalesced():
    for shape in ((1024, 1024), (1000,), (3, 5, 7)):
        for itemsize in (2, 4, 8):
            assert efficiency(global_stream("row_major", shape, itemsize)) > 0.9


def test_the_other_patterns_are_not():
    assert efficiency(global_stream("column_major", (1024, 1024))) == 1 / 8
    assert efficiency(global_stream("strided", (1 << 16,), stride=2)) == 1 / 2
    assert efficiency(global_stream("strided", (1 << 16,), stride=8)) == 1 / 8
    assert efficiency(global_stream("random", (1024, 1024))) == pytest.approx(1 / 8, rel=0.01)


def test_a_random_order_is_that_of_its_seed():
    first, again, other = (global_stream("random", (50, 50), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.addresses, again.addresses)
    assert not np.array_equal(first.addresses, other.addresses)
    assert "seed 3" in first.note


@pytest.mark.parametrize("pattern", PATTERNS)
def test_large_arrays_are_sampled(pattern):
    shape = (100_003, 50_021)
    stream = global_stream(pattern, shape, most_warps=100)
    whole = shape[0] * shape[1] // (2 if pattern == "strided" else 1)
    assert stream.addresses.shape == (100, 32)
    assert stream.warps == whole // 32 + 1
    assert stream.sampled
    assert f"100 of {stream.warps} warps" in stream.note
    used = stream.addresses[stream.active]
    assert 0 <= used.min() <= used.max() < 4 * shape[0] * shape[1]
    assert not stream.active[-1].all()  # the last warp is among them
    assert len(np.unique(used)) == used.size


def test_a_sample_holds_the_warps_of_the_whole():
    whole = global_stream("column_major", (300, 70))
    part = global_stream("column_major", (300, 70), most_warps=7)
    warps = spread(7, whole.warps)
    assert np.array_equal(part.addresses, whole.addresses[warps])
    assert np.array_equal(part.active, whole.active[warps])
    assert len(global_stream("row_major", (300, 70), most_warps=1).addresses) == 1


def test_strides_in_shared_memory():
    for stride, expected in ((0, 1), (1, 1), (2, 2), (31, 1), (32, 32), (33, 1)):
        stream = shared_strided(stride)
        assert wavefronts(stream.addresses, stream.active, stream.width).tolist() == [expected]
    wide = shared_strided(4, width=16)
    assert (
        wavefronts(wide.addresses, wide.active, 16).tolist()
        == ideal_wavefronts(wide.active, 16).tolist()
        == [4]
    )


@pytest.mark.parametrize(("padding", "expected"), [(0, 32), (1, 1), (2, 2), (8, 8)])
def test_a_transpose_through_shared_memory(padding, expected):
    stream = shared_columns(32, padding)
    assert wavefronts(stream.addresses, stream.active, stream.width).tolist() == [expected] * 32
    assert f"s[32][{32 + padding}]" in stream.note


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: global_stream("diagonal", (4, 4)), "no pattern 'diagonal': the patterns are row_major"),
        (lambda: global_stream("row_major", ()), "whole numbers above 0"),
        (lambda: global_stream("row_major", 1024), "whole numbers above 0"),
        (lambda: global_stream("row_major", (0, 4)), "whole numbers above 0"),
        (lambda: global_stream("row_major", (2.5,)), "whole numbers above 0"),
        (lambda: global_stream("row_major", (2**40, 2**40)), "larger than any GPU"),
        (lambda: global_stream("row_major", (4,), itemsize=3), "not 3"),
        (lambda: global_stream("strided", (4,), stride=0), "not 0"),
        (lambda: global_stream("random", (4,), seed=-1), "not -1"),
        (lambda: global_stream("row_major", (4,), most_warps=0), "not 0"),
        (lambda: shared_strided(-1), "stride of -1"),
        (lambda: shared_strided(1, width=8), "must be aligned"),
        (lambda: shared_strided(10**6), "more than any SM"),
        (lambda: shared_columns(0), "not 0 and 0"),
        (lambda: shared_columns(32, -1), "not 32 and -1"),
        (lambda: shared_columns(10**9), "more than any SM"),
        (lambda: shared_columns(32, itemsize=3), "not 3"),
    ],
)
def test_what_cannot_be(call, match):
    with pytest.raises(InputError, match=match):
        call()
