"""Products: shapes, layouts and special values against NumPy in float64."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arrays import FLOATS, INTEGERS, lay, layouts, seeds, sizes, values
from tinytorch import ops
from tinytorch.core.kernels import cache_friendly_matmul, matmul_baseline, vectorized_matmul
from tinytorch.ops.registry import mismatch, operations

MATMUL = operations()["matmul"]
RUNGS = {
    "baseline": matmul_baseline,
    "blocked": cache_friendly_matmul,
    "blocked by 3": lambda a, b: cache_friendly_matmul(a, b, 3),
    "vectorized": vectorized_matmul,
    "functional": ops.matmul,
}
rungs = st.sampled_from(sorted(RUNGS))


def check(result, a, b):
    with np.errstate(all="ignore"):
        exact = np.asarray(MATMUL.reference(a, b))
        bound = MATMUL.bound(np.atleast_2d(a), b if b.ndim > 1 else b[:, None])
    assert np.asarray(result).dtype == np.result_type(a, b)
    bound = np.broadcast_to(bound.reshape(exact.shape) if bound.size == exact.size else bound, exact.shape)
    assert mismatch(np.asarray(result), exact, bound) is None


@given(
    seeds, sizes, sizes, sizes, st.sampled_from(FLOATS), layouts, layouts, st.sampled_from([0.0, 0.02]), rungs
)
def test_matrices(seed, m, k, n, dtype, layout_a, layout_b, special, rung):
    rng = np.random.default_rng(seed)
    a, b = values(rng, (m, k), dtype, special), values(rng, (k, n), dtype, special)
    check(RUNGS[rung](lay(a, layout_a), lay(b, layout_b)), a, b)


@given(seeds, sizes, sizes, sizes, st.sampled_from(INTEGERS), layouts, rungs)
def test_integers_are_numpy_s_exact_ones(seed, m, k, n, dtype, layout, rung):
    rng = np.random.default_rng(seed)
    a, b = values(rng, (m, k), dtype), values(rng, (k, n), dtype)
    result = np.asarray(RUNGS[rung](lay(a, layout), lay(b, layout)))
    assert result.dtype == dtype
    assert np.array_equal(result, np.matmul(a, b))


SHAPES = [
    ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((4, 1, 2, 3), (6, 3, 9)), ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)), ((0, 2, 3), (3, 4)), ((5, 0, 3), (5, 3, 4)), ((0, 2, 3), (1, 3, 4)),
    ((2, 3, 0), (0, 4)), ((300,), (300, 40)), ((7, 20, 300), (7, 300, 30)),
]  # fmt: skip


@pytest.mark.parametrize("rung", sorted(RUNGS))
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_shapes_are_numpy_s(left, right, rung):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    result = np.asarray(RUNGS[rung](a, b))
    assert result.shape == np.matmul(a, b).shape
    # |a||b| is at most K here, so K eps |a||b| of the largest is far below this
    assert np.allclose(result, np.matmul(a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rung", sorted(RUNGS))
@pytest.mark.parametrize(
    ("left", "right"), [((2, 3), (4, 5)), ((3,), (4,)), ((2, 2, 3), (3, 3, 4)), ((), (3,)), ((2, 3), ())]
)
def test_shapes_that_do_not_fit(left, right, rung):
    with pytest.raises(ValueError) as error:
        RUNGS[rung](np.zeros(left), np.zeros(right))
    assert str(left) in str(error.value)
    assert str(right) in str(error.value)


@pytest.mark.parametrize(
    ("left", "right"),
    [("float32", "float64"), ("float16", "float32"), ("int8", "float16"), ("int32", "float32"),
     ("int8", "uint8"), ("int64", "uint64"), ("bfloat16", "float32"), ("int8", "bfloat16")],
)  # fmt: skip
def test_mixed_dtypes_follow_result_type(left, right):
    import ml_dtypes  # noqa: F401 - registers bfloat16 by name

    a, b = np.ones((3, 4), left) * 2, np.ones((4, 9), right)
    a, b = a.astype(left), b.astype(right)
    result = vectorized_matmul(a, b)
    assert result.dtype == np.result_type(a, b)
    assert np.all(result.data == 8)


def test_dtypes_without_a_common_one():
    with pytest.raises(TypeError, match="no common dtype for a bfloat16, b float16"):
        vectorized_matmul(np.ones((2, 2), "bfloat16"), np.ones((2, 2), np.float16))


def test_half_accumulates_in_float32():
    a, b = np.ones((1, 4096), np.float16), np.ones((4096, 9), np.float16)
    assert np.all(vectorized_matmul(a, b).data == 4096)  # in float16 the sum would stop at 2048


def test_float16_overflow_is_infinite_without_a_warning():
    with np.errstate(all="raise"):
        result = vectorized_matmul(np.full((2, 4), 6e4, np.float16), np.ones((4, 9), np.float16))
    assert np.all(np.isposinf(result.data.astype(np.float32)))


@pytest.mark.parametrize("block_size", [1, 2, 32, 1000, 2**70])
def test_any_block_size(block_size):
    a, b = np.arange(35.0).reshape(5, 7), np.arange(77.0).reshape(7, 11)
    assert np.array_equal(cache_friendly_matmul(a, b, block_size=block_size).data, a @ b)


@pytest.mark.parametrize(
    ("block_size", "error"),
    [
        (0, ValueError),
        (-3, ValueError),
        (2.0, TypeError),
        ("8", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_bad_block_size(block_size, error):
    with pytest.raises(error, match="block_size must be"):
        cache_friendly_matmul(np.zeros((2, 2)), np.zeros((2, 2)), block_size=block_size)


def test_block_size_reaches_the_compiled_loops():
    """Another block is another order of summation: the kernel, not a BLAS, did it."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((64, 64), np.float32) for _ in range(2))
    order = np.zeros((64, 64), np.float32)
    for k in range(64):  # the order that any block gives: k rises
        order = np.float32(a[:, k : k + 1].astype(np.float64) * b[k : k + 1] + order)
    assert np.array_equal(cache_friendly_matmul(a, b, 16).data, order)


def test_out():
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    out = np.full((3, 5), 7, np.float32)
    assert ops.matmul(a, b, out=out) is out
    assert np.all(out == 4)
    wide = np.zeros((6, 10), np.float32)
    view = wide[::2, ::2]
    assert ops.matmul(a, b, out=view) is view
    assert np.all(wide[::2, ::2] == 4)
    assert not wide[1::2].any()
    half = np.zeros((3, 5), np.float16)
    ops.matmul(a.astype(np.float16), b.astype(np.float16), out=half)
    assert np.all(half == 4)
    small = np.zeros((3, 5), np.uint8)
    ops.matmul(np.full((3, 4), 200, np.uint8), np.ones((4, 5), np.uint8), out=small)
    assert np.all(small == (800 % 256))


@pytest.mark.parametrize(
    ("out", "error", "text"),
    [
        (np.zeros((3, 4), np.float32), ValueError, r"shape \(3, 4\)"),
        (np.zeros((3, 5)), ValueError, "dtype float64"),
        (np.broadcast_to(np.float32(0), (3, 5)), ValueError, "read-only"),
        ([[0.0] * 5] * 3, TypeError, "must be an array"),
    ],
)
def test_bad_out(out, error, text):
    with pytest.raises(error, match=text):
        ops.matmul(np.ones((3, 4), np.float32), np.ones((4, 5), np.float32), out=out)


def test_out_may_not_overlap():
    memory = np.zeros(100, np.float32)
    a = memory[:16].reshape(4, 4)
    with pytest.raises(ValueError, match="overlaps"):
        ops.matmul(a, a, out=memory[8:24].reshape(4, 4))
    pairs = np.zeros((4, 8), np.float32)
    ops.matmul(pairs[:, ::2], np.eye(4, dtype=np.float32), out=pairs[:, 1::2])  # interleaved, not overlapping


def test_larger_than_memory():
    column = np.zeros((10**7, 1), np.float32)
    with pytest.raises(MemoryError):
        vectorized_matmul(column, column.T)
    huge = np.broadcast_to(np.float32(1), (10**7, 10**6))
    with pytest.raises(MemoryError):
        ops.relu(huge)


@pytest.mark.parametrize("shape", [(130, 300, 520), (1, 700, 800), (300, 900, 3), (9, 64, 64)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bitwise_the_same_on_any_number_of_threads(shape, dtype):
    product = sys.modules["tinytorch.ops.matmul"].product
    a, b = MATMUL.inputs(np.random.default_rng(0), shape, np.dtype(dtype))
    first = product(a, b, threads=1)
    for threads in (1, 2, 3, 8):
        for _ in range(5):
            assert np.array_equal(product(a, b, threads=threads).view(np.uint8), first.view(np.uint8))
