"""ReLU and the fused operations: values, layouts, dtypes, and the kernels beneath them one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arrays import FLOATS, INTEGERS, SUPPORTED, lay, layouts, seeds, sizes, specials, values
from tests.threads import in_threads
from tinytorch import get_num_threads, ops, set_num_threads
from tinytorch.core.kernels import parallel_relu, vectorized_operations, vectorized_relu
from tinytorch.ops import elementwise, onepass
from tinytorch.ops.elementwise import operations_arrays
from tinytorch.ops.onepass import OnePass, relu_pass
from tinytorch.ops.registry import mismatch, operations
from tinytorch.runtime.arrays import FLOAT32, FLOAT64
from tinytorch.simd.build import library
from tinytorch.simd.elementwise import ALIGNMENT, STREAM, elementwise_kernels
from tinytorch.simd.target import chosen

KEYS = (
    *("element_wise_multiply", "element_wise_add", "squared_difference"),
    *("euclidean_distance", "dot_product"),
)
OPERATIONS = operations()["vectorized_operations"]
KERNELS = {
    "copy": lambda x, y: x,
    "relu": lambda x, y: np.maximum(x, 0),
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
}
both_floats = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
both_stores = pytest.mark.parametrize("ending", ["", STREAM], ids=["plain", "stream"])
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


def test_relu_of_nothing_at_an_odd_address():
    packed = np.zeros(4, np.dtype([("tag", "u1"), ("value", "f4")]))["value"][:0]
    assert ops.relu(packed).shape == ops.relu(packed, out=packed[:0]).shape == (0,)


def test_integer_operations_repeat_wherever_the_arrays_lie():
    x, y = np.random.default_rng(0).integers(-(2**62), 2**62, (2, 1000))
    seen, kept = set(), []
    for turn in range(400):
        kept += [x.copy(), np.empty(1 + 37 * turn % 399), y.copy()]
        seen.add(float(vectorized_operations(kept[-3], kept[-1])["euclidean_distance"].data))
        if turn % 3:
            kept.pop(turn % len(kept))
        if len(kept) > 60:
            kept.clear()
    assert len(seen) == 1


@pytest.mark.parametrize(
    "shape", [(0,), (1,), (1000,), (20, 50), (2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 2, 3), ()]
)
@both_floats
def test_relu_of_plain_arrays(shape, dtype):
    """What `relu` looks at first, and what comes close to it but needs a closer look."""
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    exact = np.maximum(x, 0)
    assert np.array_equal(ops.relu(x), exact)
    out = np.full(shape, 7, dtype)
    assert ops.relu(x, out=out) is out
    assert np.array_equal(out, exact)
    frozen = x.copy()
    frozen.setflags(write=False)
    assert np.array_equal(ops.relu(frozen, out=out), exact)
    with pytest.raises(ValueError, match="read-only"):
        ops.relu(x, out=frozen)
    with pytest.raises(ValueError, match="dtype"):
        ops.relu(x, out=np.zeros(shape, np.float16))
    with pytest.raises(ValueError, match="shape"):
        ops.relu(x, out=np.zeros((*shape, 2), dtype))
    if x.size > 1:
        with pytest.raises(ValueError, match="overlaps"):
            ops.relu(x, out=x)
        with pytest.raises(ValueError, match="shape"):
            ops.relu(x, out=np.zeros(x.size - 1, dtype))
    apart = np.full((*shape, 2), 7, dtype)
    ops.relu(x, out=apart[..., 0])
    assert np.array_equal(apart[..., 0], exact)
    assert np.all(apart[..., 1] == 7)
    apart[..., 0] = x
    assert np.array_equal(ops.relu(apart[..., 0], out=out), exact)
    assert np.array_equal(ops.relu(x.T), exact.T)


def test_relu_overlapping_by_less_than_a_vector():
    memory = np.arange(-50, 50, dtype=np.float32)
    before = memory.copy()
    for shift in (-99, -3, -1, 0, 1, 3, 99):
        count = 100 - abs(shift)
        x, out = memory[max(-shift, 0) :][:count], memory[max(shift, 0) :][:count]
        if abs(shift) < count:
            assert not relu_pass[FLOAT32, 1](x, x, out)
            assert np.array_equal(memory, before)
            with pytest.raises(ValueError, match="overlaps"):
                ops.relu(x, out=out)
    assert relu_pass[FLOAT32, 1](memory[:50], memory[:50], memory[50:])
    assert np.all(memory[50:] == 0)


@both_floats
@both_stores
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_at_every_alignment(name, ending, dtype):
    kernels, lanes = library(elementwise_kernels, dtype), chosen().lanes(dtype)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12 * lanes), np.float32).astype(dtype)
    for count, x_at, y_at, at in itertools.product(
        (*range(2 * lanes + 2), 4 * lanes, 9 * lanes + 1), (0, 1), (0, lanes - 1), range(lanes + 1)
    ):
        out = np.full(12 * lanes, 7, dtype)
        p, q = x[x_at : x_at + count], y[y_at : y_at + count]
        kernels.call(name + ending, count, p.ctypes.data, q.ctypes.data, out[at:].ctypes.data)
        assert np.array_equal(out[at : at + count], KERNELS[name](p, q))
        assert np.all(out[:at] == 7)
        assert np.all(out[at + count :] == 7)


@both_floats
@both_stores
def test_operations_kernel(ending, dtype):
    kernels, lanes = library(elementwise_kernels, dtype), chosen().lanes(dtype)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12 * lanes), np.float32).astype(dtype)
    step = ALIGNMENT // dtype.itemsize
    raw = np.empty((3, 12 * lanes + step), dtype)
    first = [-(row.ctypes.data // dtype.itemsize) % step for row in raw]
    for count, x_at in itertools.product((*range(4 * lanes + 2), 9 * lanes + 1), (0, 1)):
        raw[...] = 7
        sums = np.zeros(2)
        outs = [row[start : start + count] for row, start in zip(raw, first, strict=True)]
        p, q = x[x_at : x_at + count], y[:count]
        addresses = [array.ctypes.data for array in (p, q, *outs)]
        kernels.call(f"operations{ending}", count, *addresses, sums.ctypes.data, sums.ctypes.data + 8)
        for out, exact in zip(outs, (p * q, p + q, (p - q) * (p - q)), strict=True):
            assert np.array_equal(out, exact)
        for row, start in zip(raw, first, strict=True):
            assert np.all(row[:start] == 7)
            assert np.all(row[start + count :] == 7)
        p, q = p.astype(np.float64), q.astype(np.float64)
        assert np.allclose(sums, [np.sum((p - q) ** 2), np.sum(p * q)], rtol=1e-13, atol=1e-13)


@both_floats
@pytest.mark.parametrize("name", KERNELS)
def test_passes_with_and_without_threads_and_streams(name, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    kept = OnePass(name)
    monkeypatch.setattr(onepass, "stay_in_cache", lambda: 0)
    passing = OnePass(name)
    for size in (50_000, 100_003, 400_001, 1_000_003):
        memory = rng.standard_normal((2, size + 1), np.float32).astype(dtype)
        x, y = memory[0, 1:], memory[1, :-1]
        for kernel, threads in itertools.product((kept, passing), (1, 2, 3, 64)):
            for _ in range(3):
                out = np.empty(size, dtype)
                assert kernel[dtype, 1](x, y, out, threads)
                assert np.array_equal(out, KERNELS[name](x, y))


def test_relu_in_many_threads_at_once():
    wrong = []

    def work(number):
        x = np.random.default_rng(number).standard_normal(60_000 + number, np.float32)
        wrong.extend(_ for _ in range(30) if not np.array_equal(ops.relu(x), np.maximum(x, 0)))

    in_threads(work, 6)
    assert not wrong


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


@both_floats
def test_sums_depend_on_nothing_but_the_values(dtype, monkeypatch):
    """Not on the number of threads, on where the arrays lie, or on how results are stored."""
    rng = np.random.default_rng(0)
    before = get_num_threads()
    memory = rng.standard_normal((2, 300_016), np.float32).astype(dtype)
    expected = None
    try:
        for threads, at in itertools.product((1, 2, 5), (0, 1, 2, 3, 7)):
            set_num_threads(threads)
            monkeypatch.setattr(elementwise, "stay_in_cache", lambda at=at: 0 if at % 2 else 1 << 60)
            x, y = np.empty((2, 300_016), dtype)[:, at : at + 300_001]
            x[...], y[...] = memory[:, :300_001]
            results = [np.asarray(value) for value in operations_arrays(x, y).values()]
            expected = expected or results
            assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))
    finally:
        set_num_threads(before)
