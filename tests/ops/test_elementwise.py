"""ReLU and the fused operations: values, layouts, dtypes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arrays import FLOATS, INTEGERS, SUPPORTED, lay, layouts, seeds, sizes, specials, values
from tinytorch import ops
from tinytorch.core.kernels import parallel_relu, vectorized_operations, vectorized_relu
from tinytorch.ops.registry import mismatch, operations

KEYS = (
    *("element_wise_multiply", "element_wise_add", "squared_difference"),
    *("euclidean_distance", "dot_product"),
)
OPERATIONS = operations()["vectorized_operations"]
shapes = st.lists(sizes, max_size=3).map(tuple).filter(lambda shape: np.prod(shape) < 1e5)


def relu_exactly(x):
    with np.errstate(invalid="ignore"):
        return np.where(x <= 0, np.zeros((), x.dtype), x).astype(x.dtype)


@given(seeds, shapes, st.sampled_from(SUPPORTED), layouts, st.sampled_from([0.0, 0.3]))
def test_relu(seed, shape, dtype, layout, special):
    x = values(np.random.default_rng(seed), shape, dtype, special)
    given_ = lay(x, layout)
    for result in (vectorized_relu(given_).data, parallel_relu(given_, num_workers=3).data, ops.relu(given_)):
        assert result.dtype == dtype
        assert result.shape == shape
        assert np.array_equal(result.astype(np.float64), relu_exactly(x).astype(np.float64), equal_nan=True)
    assert np.array_equal(given_.astype(np.float64), x.astype(np.float64), equal_nan=True)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_relu_of_every_special_value(dtype):
    with np.errstate(over="ignore"):
        x = np.array(specials(dtype) * 5, np.float64).astype(dtype)
    result = vectorized_relu(x).data.astype(np.float64)
    exact = x.astype(np.float64)
    assert np.array_equal(result, np.where(exact <= 0, 0, exact), equal_nan=True)
    assert not np.any(np.signbit(result[result == 0]))


def test_relu_keeps_column_order():
    x = np.asfortranarray(np.arange(-6.0, 6).reshape(3, 4))
    assert vectorized_relu(x).data.flags.f_contiguous
    assert np.array_equal(vectorized_relu(x).data, np.maximum(x, 0))


@pytest.mark.parametrize("size", [131072, 131073, 1_000_003])
def test_parallel_relu_on_many_tiles(size):
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    for workers in (1, 2, 5, 100):
        assert np.array_equal(parallel_relu(x, num_workers=workers).data, np.maximum(x, 0))


@pytest.mark.parametrize(
    ("workers", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_bad_num_workers(workers, error):
    with pytest.raises(error, match="num_workers must be"):
        parallel_relu(np.zeros(3), num_workers=workers)


def test_relu_out():
    x = np.array([-1.0, 2.0])
    out = np.zeros(2)
    assert ops.relu(x, out=out) is out
    assert np.array_equal(out, [0, 2])
    with pytest.raises(ValueError, match="overlaps"):
        ops.relu(x, out=x)
    with pytest.raises(ValueError, match="shape"):
        ops.relu(x, out=np.zeros(3))
    column = np.zeros((4, 3), order="F")
    ops.relu(np.ones((4, 3)), out=column)
    assert np.all(column == 1)


@given(
    seeds,
    shapes,
    st.sampled_from(SUPPORTED),
    st.sampled_from(SUPPORTED),
    layouts,
    st.sampled_from([0.0, 0.2]),
)
def test_vectorized_operations(seed, shape, dtype, other, layout, special):
    rng = np.random.default_rng(seed)
    if (dtype in INTEGERS) != (other in INTEGERS) or dtype.itemsize == other.itemsize == 2:
        other = dtype  # some of these have no common dtype
    x, y = values(rng, shape, dtype, special), values(rng, shape, other, special)
    expected = np.result_type(dtype, other)
    results = vectorized_operations(lay(x, layout), y)
    assert tuple(results) == KEYS
    assert {r.shape for r in list(results.values())[:3]} <= {shape}
    assert results["euclidean_distance"].shape == results["dot_product"].shape == ()
    assert results["dot_product"].dtype == expected
    with np.errstate(all="ignore"):
        exact, bound = OPERATIONS.reference(x, y), OPERATIONS.bound(x, y)
    assert mismatch({name: tensor.data for name, tensor in results.items()}, exact, bound) is None


def test_vectorized_operations_need_one_shape():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        vectorized_operations(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"\(3,\).*\(\)"):
        vectorized_operations(np.zeros(3), 1.0)


def test_distance_of_large_integers_does_not_cancel():
    x, y = np.array([2**62, -(2**63), 5]), np.array([2**62 + 1, 2**63 - 1, 5])
    assert vectorized_operations(x[:1], y[:1])["euclidean_distance"].item() == 1
    assert vectorized_operations(x, y)["euclidean_distance"].item() == 2.0**64


def test_uint64_distance_uses_its_values():
    x, y = np.array([2**64 - 1], np.uint64), np.array([0], np.uint64)
    assert vectorized_operations(x, y)["euclidean_distance"].item() == 2.0**64


def test_sums_repeat_bit_for_bit():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(500_000, np.float32) for _ in range(2))
    first = vectorized_operations(x, y)
    for _ in range(10):
        again = vectorized_operations(x, y)
        assert all(np.array_equal(again[name].data, first[name].data) for name in first)
