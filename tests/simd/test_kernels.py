"""Kernels by themselves: activations against wider arithmetic, packing against NumPy."""

import inspect
import itertools
import re

import numpy as np
import pytest

from tests.memory import Framed
from tinytorch.ops import linear
from tinytorch.ops.epilogue import apply
from tinytorch.ops.plan import kernels, packing
from tinytorch.ops.registry import draw, mismatch
from tinytorch.runtime.arrays import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT64, compute_dtype
from tinytorch.simd import build
from tinytorch.simd import code as code_module
from tinytorch.simd.activation import ACTIVATIONS
from tinytorch.simd.product import ACTIVATION_SHIFT
from tinytorch.simd.target import chosen, tile

WIDE = np.longdouble  # 64 bits of fraction on x86, where float64 has 53
every_float = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
#: What is packed, and what it is given as.
every_pair = pytest.mark.parametrize(
    ("dtype", "given"),
    [
        *((dtype, dtype) for dtype in (FLOAT32, FLOAT64, INT64, FLOAT16, BFLOAT16)),
        *((FLOAT32, half) for half in (FLOAT16, BFLOAT16)),
    ],
    ids=str,
)


def double(code, count, source, target):
    """The example in `simd.code`."""
    V = code.vectors(FLOAT32)
    source, target = code.address(source), code.address(target)
    with code.loop(count // V.lanes) as i:
        x = V.load(source + i * V.bytes)
        V.store(x + x, target + i * V.bytes)


def test_the_example_of_the_language():
    lines = [line.strip() for line in inspect.getsource(double).split('"""')[2].splitlines()[1:]]
    assert "\n".join(lines) in re.sub("(?m)^ +", "", code_module.__doc__)
    x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    family = build.Library("an example", {"double": build.Kernel(double)})
    family.call("double", 64, x.ctypes.data, y.ctypes.data)
    assert np.array_equal(y, 2 * x)


def grid(dtype):
    """Return numbers of all sizes, densest where functions bend and where the reduction changes over."""
    info = np.finfo(dtype)
    end = 120 if dtype == FLOAT32 else 780  # past where e^x is infinite or zero
    halves = np.arange(-2400, 2401) * (np.log(2) / 2)
    smallest, tiny, eps, largest = (
        float(x) for x in (info.smallest_subnormal, info.tiny, info.eps, info.max)
    )
    points = [
        np.linspace(-end, end, 100_001),
        np.linspace(-12, 12, 100_001),
        *(halves * (1 + step * eps) for step in (-1, 0, 1)),
        *([0.0, sign * np.inf, sign * 1e4, sign * largest, sign * tiny] for sign in (1, -1)),
        [sign * count * smallest for sign in (1, -1) for count in (0.0, 1, 2, 3, 1000)],
        [np.nan],
    ]
    bits = np.frombuffer(np.random.default_rng(0).bytes(50_000 * dtype.itemsize), dtype)  # of every exponent
    points.append(bits[~np.isnan(bits)])
    return np.concatenate([np.asarray(p).astype(dtype) for p in points])


def exact(name, x):
    """Return (result, steepness): steepness is how many eps a rounding in the argument of e^x adds."""
    with np.errstate(all="ignore"):
        x = x.astype(WIDE)
        if name == "relu":
            return np.where(x <= 0, 0, x), 0
        if name == "tanh":
            return np.tanh(x), 0
        z = 2 * np.sqrt(2 / WIDE(np.pi)) * (x + WIDE("0.044715") * x**3) if name == "gelu" else x
        sigmoid = 1 / (1 + np.exp(-z))
        result = sigmoid if name == "sigmoid" else x * sigmoid
        return result, 4 * np.abs(z) / (1 + np.exp(z)) if name == "gelu" else 0


@every_float
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name])
def test_activations_to_the_last_bits(name, dtype):
    """All within 4 eps of their value, GELU further by the rounding of its argument.

    With u = eps / 2: e^r - 1 is off by 3 u of itself (the reduction of r, r^2 times a polynomial, the last
    sum), e^x = 2^n e^r by 3 u, 4 where a multiply-add rounds twice. Sigmoid adds a sum and a division, SiLU a
    product: 7 u at most. tanh's m = e^2x - 1 is off by 3 u times |e^r - 1| 2^n / |m|, at most 1.5, and two
    roundings; m / (m + 2) adds two, and doubles the error of m at most: 8 u only where all are worst.
    GELU's argument z has seven roundings, 3.5 eps, which e^-z turns into |z| times as many, and sigmoid
    takes the share 1 - sigmoid(z) of them over.
    Below e^-87 (float32) and e^-708 a sigmoid may be flushed to zero: it is below `tiny` there.
    """
    x = grid(dtype)
    info = np.finfo(dtype)
    expected, steepness = exact(name, x)
    with np.errstate(all="ignore"):
        eps = float(info.eps) + float(np.finfo(WIDE).eps)  # the second is the reference's own
        bound = (4 + np.nan_to_num(steepness)) * eps * np.abs(expected)
        bound = bound + float(info.tiny) * (np.maximum(1, np.abs(x)) if name in ("silu", "gelu") else 1)
        bound = np.where(np.isfinite(x), bound, 0).astype(np.float64)
        if name == "relu":
            bound = np.zeros_like(bound)
        expected = expected.astype(np.float64)
    result = apply(name, x)
    assert result.dtype == dtype
    assert mismatch(result, expected, bound) is None
    # In registers, at the end of a product, it is the same code.
    one = np.ones((1, 1), dtype)
    assert np.array_equal(linear(x[:, None], one, activation=name)[:, 0], result, equal_nan=True)


@every_float
def test_activations_at_zero_and_infinity(dtype):
    x = np.array([0.0, np.inf, -np.inf, np.nan], dtype)
    results = {name: apply(name, x).tolist() for name in ACTIVATIONS if name}
    assert all(np.isnan(result.pop()) for result in results.values())
    # At minus infinity x * sigmoid(x) is infinity times zero, here and in PyTorch.
    assert np.isnan([results["silu"].pop(), results["gelu"].pop()]).all()
    assert results == {
        "relu": [0, np.inf, 0],
        "sigmoid": [0.5, 1, 0],
        "tanh": [0, 1, -1],
        "silu": [0, np.inf],
        "gelu": [0, np.inf],
    }


@every_float
@pytest.mark.parametrize("name", [None, "relu", "tanh"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_finish_writes_its_columns_alone(name, with_bias, dtype):
    """The kernel that ends what was not summed up in registers, for every number of columns left over."""
    code = kernels(dtype)
    rng = np.random.default_rng(0)
    for columns in range(2 * chosen().lanes(dtype) + 2):
        source = Framed((3, columns), dtype, "rows apart")
        target = Framed((3, columns), dtype, "rows apart")
        bias, factors = Framed((columns,), dtype), Framed((columns,), dtype)
        factors.array[...] = draw(rng, (columns,), dtype)
        source.array[...], bias.array[...] = draw(rng, (3, columns), dtype), draw(rng, (columns,), dtype)
        code.call(
            "finish",
            *(3, columns, source.array.ctypes.data, source.array.strides[0]),
            *(target.array.ctypes.data, target.array.strides[0]),
            factors.array.ctypes.data if with_bias else 0,
            bias.array.ctypes.data if with_bias else 0,
            ACTIVATIONS[name] << ACTIVATION_SHIFT,
        )
        before = source.array * factors.array + bias.array if with_bias else source.array
        assert np.array_equal(target.array, before if name is None else apply(name, before))
        assert source.intact() and target.intact() and bias.intact() and factors.intact()


def packing_for(dtype, given):
    """Return (kernels, numbers in a vector, columns of a panel)."""
    computed = compute_dtype(dtype)
    return packing(dtype, given, computed), chosen().lanes(computed), tile(chosen(), computed)[1]


def matrix(rng, rows, columns, dtype, layout="rows apart"):
    """Return a framed matrix of random numbers."""
    frame = Framed((rows, columns), dtype, layout)
    frame.array[...] = draw(rng, (rows, columns), dtype)
    return frame


def around(size, limit):
    """Return numbers of rows or columns to pack: around whole vectors, from one on."""
    return sorted({n for k in range(0, limit + 1, size) for n in (k - 1, k, k + 1) if n > 0} | {1, 2, 3})


@every_pair
def test_packed_panels(dtype, given):
    library, lanes, width = packing_for(dtype, given)
    rng = np.random.default_rng(0)
    for columns, depth in itertools.product(around(lanes, 2 * width + 1), (1, 2, 7)):
        count = -(-columns // width)
        source = matrix(rng, depth, columns, given)
        panels = Framed((count, depth * width), dtype, "rows apart")
        library.call(
            "panels",
            *(depth, columns, source.array.ctypes.data, source.array.strides[0]),
            *(panels.array.ctypes.data, panels.array.strides[0]),
        )
        filled = np.zeros((depth, count * width), dtype)
        filled[:, :columns] = source.array
        expected = filled.reshape(depth, count, width).transpose(1, 0, 2)
        assert np.array_equal(panels.array.reshape(count, depth, width), expected)
        assert panels.intact()


@every_pair
def test_packed_rows(dtype, given):
    library, lanes, _ = packing_for(dtype, given)
    rng = np.random.default_rng(0)
    for columns, count in itertools.product(range(3 * lanes + 2), (0, 1, 5)):
        source = matrix(rng, count, columns, given)
        target = Framed((count, -(-columns // lanes) * lanes), dtype)
        library.call(
            "rows",
            *(count, columns, source.array.ctypes.data, source.array.strides[0]),
            *(target.array.ctypes.data, target.array.strides[0]),
        )
        assert np.array_equal(target.array[:, :columns], source.array.astype(dtype))
        assert not target.array[:, columns:].any()
        assert target.intact()


@every_pair
def test_packed_transposed(dtype, given):
    library, lanes, _ = packing_for(dtype, given)
    rng = np.random.default_rng(0)
    for count, columns in itertools.product(around(lanes, 2 * lanes), repeat=2):
        groups = -(-count // lanes)
        source = matrix(rng, count, columns, given)
        target = Framed((columns, groups * lanes), dtype, "rows apart")
        library.call(
            "transposed",
            *(groups, count, columns, source.array.ctypes.data, source.array.strides[0]),
            *(target.array.ctypes.data, target.array.strides[0]),
        )
        assert np.array_equal(target.array[:, :count], source.array.T.astype(dtype))
        assert not target.array[:, count:].any()
        assert target.intact()


@every_pair
def test_packed_strided(dtype, given):
    library, _, _ = packing_for(dtype, given)
    rng = np.random.default_rng(0)
    layouts = ("strided", "backwards", "columns apart")
    for layout, count, columns, more in itertools.product(layouts, (0, 1, 4), (0, 1, 2, 5), (0, 1, 3)):
        source = matrix(rng, count, columns, given, layout)
        target = Framed((count, columns + more), dtype, "rows apart")
        library.call(
            "strided",
            *(count, columns, source.array.ctypes.data, *source.array.strides),
            *(target.array.ctypes.data, target.array.strides[0], columns + more),
        )
        assert np.array_equal(target.array[:, :columns], source.array.astype(dtype))
        assert not target.array[:, columns:].any()
        assert target.intact()
