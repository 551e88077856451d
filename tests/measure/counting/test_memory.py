"""Bytes of arrays, against the addresses written out one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tinytorch.measure.counting.memory import block_of, blocks_in, distinct, distinct_bytes


def by_hand(shape, strides, itemsize):
    offsets = {0} if 0 not in shape else set()
    for n, stride in zip(shape, strides, strict=True):
        offsets = {offset + i * stride for offset in offsets for i in range(n)}
    return len({offset + byte for offset in offsets for byte in range(itemsize)})


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-40, 40)), max_size=4),
    st.sampled_from([1, 2, 4, 8]),
)
def test_any_strides(dimensions, itemsize):
    shape, strides = tuple(n for n, _ in dimensions), tuple(s for _, s in dimensions)
    assert distinct_bytes(shape, strides, itemsize) == by_hand(shape, strides, itemsize)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((3, 4)), 96),
        (np.zeros((6, 4), np.float32)[::2, ::-1], 48),
        (np.zeros((0, 4)), 0),
        (np.float32(1) + np.zeros((), np.float32), 0),
        (np.broadcast_to(np.zeros((1, 5)), (1000, 5)), 40),
        (sliding_window_view(np.zeros((2, 3, 20, 30), np.float32), (3, 5), (2, 3)), 2 * 3 * 20 * 30 * 4),
        (sliding_window_view(np.zeros((20, 30)), (3, 3))[::2, ::2], 19 * 29 * 8),
        (sliding_window_view(np.zeros((20, 30)), (2, 2))[::3, ::3], 14 * 20 * 8),
        (as_strided(np.zeros(100), (10, 10), (8, 80)), 800),
    ],
)
def test_views(array, expected):
    assert sum(block.bytes for block in blocks_in(array)) == expected


def test_each_address_once():
    x = np.zeros(100)
    blocks = [block_of(view) for view in (x, x[:50], x[25:75], x[::2], x)]
    assert distinct(blocks) == 800
    assert distinct([block_of(x[::2]), block_of(x[1::2])]) == 800
    assert distinct([block_of(x[:10]), block_of(x[90:])]) == 160
    assert distinct([]) == 0


def test_nested_and_circular():
    x, holder = np.zeros(10), []
    holder.extend([{"a": x, "b": (x[:3], [x])}, holder, 7, "text", np.float64(1)])
    assert distinct(blocks_in(holder)) == 80
