"""Every kind of packed weight: what it computes, what it is kept as, and what a file may not do to it."""

import copy
import pickle

import numpy as np
import pytest

from tests.engine_checks import threads
from tinytorch import ops
from tinytorch.ops.registry import mismatch, product_bound, rounding
from tinytorch.ops.weights import base
from tinytorch.ops.weights.blocks import pack_blocks
from tinytorch.ops.weights.factors import FactoredWeight
from tinytorch.ops.weights.sparse import pack_sparse
from tinytorch.runtime import arrays
from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, FLOAT64
from tinytorch.simd.target import chosen

SIZES = (0, 1, 3, 4, 5, 15, 16, 17, 33, 64, 100)


def pruned(rng, shape, block=(1, 1)):
    """Draw a matrix of which a third of the blocks is there."""
    blocks = [-(-n // b) for n, b in zip(shape, block, strict=True)]
    there = np.kron(rng.random(blocks) < 1 / 3, np.ones(block))[: shape[0], : shape[1]]
    return (rng.standard_normal(shape) * there).astype(np.float32)


def factored(rng, shape, rank=5, dtype=None):
    first, second = rng.standard_normal((shape[0], rank)), rng.standard_normal((rank, shape[1]))
    return FactoredWeight.of(ops.pack_weight(first, dtype), ops.pack_weight(second, dtype))


#: Ways to make a weight of a shape whose product with floats is that with `values()`.
EXACT = {
    "float32": lambda rng, shape: ops.pack_weight(rng.standard_normal(shape, np.float32)),
    "bfloat16": lambda rng, shape: ops.pack_weight(rng.standard_normal(shape, np.float32), "bfloat16"),
    "int8 weight only": lambda rng, shape: ops.pack_weight(
        rng.standard_normal(shape, np.float32), "int8", weight_only=True
    ),
    "int4": lambda rng, shape: ops.pack_weight(rng.standard_normal(shape, np.float32), "int4"),
    "sparse": lambda rng, shape: pack_sparse(pruned(rng, shape)),
    "blocks": lambda rng, shape: pack_blocks(pruned(rng, shape, (4, 16))),
    "low rank": lambda rng, shape: factored(rng, shape, dtype="float32"),
}
#: And those that bring their input to other numbers first.
ROUNDING = {
    "int8": lambda rng, shape: ops.pack_weight(rng.standard_normal(shape, np.float32), "int8"),
    "int8 asymmetric": lambda rng, shape: ops.pack_weight(
        rng.standard_normal(shape, np.float32), "int8", activations="asymmetric"
    ),
    "int8 static": lambda rng, shape: ops.pack_weight(
        rng.standard_normal(shape, np.float32), "int8", activations=(0.05, 3)
    ),
    "bfloat16 rounding": lambda rng, shape: ops.pack_weight(
        rng.standard_normal(shape, np.float32), "bfloat16", activations="bfloat16"
    ),
    "low rank int8": lambda rng, shape: factored(rng, shape, dtype="int8"),
}
every_kind = pytest.mark.parametrize("kind", [*EXACT, *ROUNDING])


def make(kind, rng, shape):
    return {**EXACT, **ROUNDING}[kind](rng, shape)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("kind", EXACT)
def test_against_float64(kind, dtype):
    rng = np.random.default_rng(1)
    lanes = chosen().lanes(dtype)
    rows = (0, 1, 2, 7, lanes, lanes + 1, 4 * lanes, 4 * lanes + 3)
    shapes = [(m, 40, n) for m in rows for n in SIZES] + [(m, k, 33) for m in rows for k in SIZES]
    for number, (m, k, n) in enumerate([*shapes, (300, 500, 200)]):
        weight = make(kind, rng, (k, n))
        x = rng.standard_normal((m, k)).astype(dtype)
        bias = rng.standard_normal(n).astype(dtype) if number % 2 else None
        out = ops.linear(x, weight, bias, "relu" if number % 3 else None)
        assert out.dtype == dtype
        values = meant(weight)
        plain = x.astype(np.float64) @ values
        exact = plain + (0 if bias is None else bias)
        # Factors are two sums, and the codes of int4 begin at 8: both bounded by wider terms.
        large = (
            np.abs(values) + (40 if kind == "low rank" else 0) + (23 * step(weight) if kind == "int4" else 0)
        )
        bound = product_bound(x, large, dtype, k + 8) + 3 * rounding(np.abs(exact) + np.abs(plain), dtype)
        expected = np.maximum(exact, 0) if number % 3 else exact
        assert mismatch(out, expected, bound) is None, (kind, m, k, n)


def meant(weight):
    """Return the values of a weight unrounded, in float64."""
    if weight.kind == "low-rank":
        return weight.first.values().astype(np.float64) @ weight.second.values()
    if weight.kind == "int8-weight-only":
        return weight.unpacked() * weight.scales.astype(np.float64)
    return weight.values().astype(np.float64)


def step(weight):
    scales = weight.data.codes()[1].astype(np.float64)
    return np.repeat(scales, weight.data.group_size, axis=0)[: weight.shape[0]]


@every_kind
def test_out_dtypes_and_leading_dimensions(kind):
    rng = np.random.default_rng(2)
    weight = make(kind, rng, (37, 21))
    x = rng.standard_normal((2, 3, 37)).astype(np.float32)
    expected = ops.linear(x.reshape(6, 37), weight)
    assert np.array_equal(ops.linear(x, weight).reshape(6, 21), expected)
    out = np.empty((2, 3, 21), np.float32)
    assert ops.linear(x, weight, out=out) is out
    assert np.array_equal(out.reshape(6, 21), expected)
    apart = np.full((6, 30), 7, np.float32)
    ops.linear(x.reshape(6, 37), weight, out=apart[:, :21])
    assert np.array_equal(apart[:, :21], expected)
    assert np.all(apart[:, 21:] == 7)
    strided = np.empty((6, 74), np.float32)
    strided[:, ::2] = x.reshape(6, 37)
    assert np.array_equal(ops.linear(strided[:, ::2], weight), expected)
    if weight.dtype != BFLOAT16:
        assert ops.linear(np.ones((2, 37), np.int64), weight).dtype in (np.float32, np.float64)
        assert ops.linear(x.astype(np.float16), weight).dtype in (np.float16, np.float32)
    with pytest.raises(ValueError, match="does not fit"):
        ops.linear(x[..., 1:], weight)
    with pytest.raises(ValueError, match="overlaps"):
        square = make(kind, rng, (21, 21))
        both = np.ones((4, 21), np.float32)
        ops.linear(both, square, out=both)


@every_kind
def test_the_same_on_any_number_of_threads(kind):
    rng = np.random.default_rng(3)
    weight = make(kind, rng, (300, 500))
    for rows in (1, 3, 130):
        x, results = rng.standard_normal((rows, 300), np.float32), []
        for count in (1, 2, 3):
            with threads(count):
                results.append(ops.linear(x, weight, activation="tanh"))
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])


@every_kind
def test_kept_and_brought_back(kind):
    rng = np.random.default_rng(4)
    weight, x = make(kind, rng, (37, 21)), rng.standard_normal((5, 37)).astype(np.float32)
    expected = ops.linear(x, weight)
    for again in (
        pickle.loads(pickle.dumps(weight)),
        copy.deepcopy(weight),
        base.restore(weight.form, weight.arrays()),
    ):
        assert again.form == weight.form
        assert again.nbytes == weight.nbytes
        assert np.array_equal(ops.linear(x, again), expected)
        for array in again.arrays().values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    assert "PackedWeight(shape=(37, 21)" in repr(weight)


def apart(array, offset):
    """The same array so many bytes behind the beginning of a line."""
    raw = arrays.aligned((array.nbytes + offset,), np.dtype(np.uint8))
    placed = raw[offset:].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return placed


@every_kind
def test_what_vectors_are_read_from_begins_on_a_line(kind):
    """Packed here, or read from a file that puts arrays wherever it likes."""
    weight = make(kind, np.random.default_rng(11), (37, 150))
    moved = base.restore(weight.form, {name: apart(a, 16) for name, a in weight.arrays().items()})
    for one in (weight, moved):
        vectors = {name: a for name, a in one.arrays().items() if "panels" in name or name == "blocks"}
        assert vectors or kind == "sparse"
        assert all(a.ctypes.data % arrays.LINE == 0 for a in vectors.values())
    for name, array in weight.arrays().items():
        np.testing.assert_array_equal(moved.arrays()[name], array)


@every_kind
def test_arrays_that_are_not_what_the_form_says(kind):
    """A file may hold anything; kernels are never handed what reaches past a buffer."""
    weight = make(kind, np.random.default_rng(5), (37, 21))
    form, arrays = weight.form, weight.arrays()
    for name, array in arrays.items():
        if array.size == 0:
            continue
        short = {**arrays, name: array.reshape(-1)[:-1]}
        other = {**arrays, name: array.view(np.uint8)}
        missing = {key: value for key, value in arrays.items() if key != name}
        for wrong in (short, other, missing):
            with pytest.raises(ValueError, match="weight"):
                base.restore(form, wrong)
    for wrong in (
        {}, {**form, "kind": "junk"}, {**form, "kind": ["int8"]}, {**form, "shape": [37]},
        {**form, "shape": [37, 999]}, {**form, "shape": [-37, 21]}, {**form, "shape": "ab"},
        {**form, "shape": [True, 21]}, {**form, "shape": [2**50, 1]}, {"kind": form["kind"]},
        *({**form, key: value} for key, value in BAD.items() if key in form),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"weight|activations|float"):
            base.restore(wrong, arrays)


#: What the parts of forms cannot be.
BAD = {
    "width": 0, "dtype": "object", "group_size": 7, "group": "4", "activations": "junk", "first": {},
    "second": 3, "scale_dtype": "int8",
}  # fmt: skip


def test_indices_that_lie_outside():
    rng = np.random.default_rng(6)
    sparse, blocks = pack_sparse(pruned(rng, (37, 21))), pack_blocks(pruned(rng, (37, 21), (4, 16)))
    for weight, name, bad in (
        (sparse, "indices", 37), (sparse, "starts", 10**6), (sparse, "starts", -1),
        (sparse, "starts", 2**63 - 1),
        (blocks, "places", 40), (blocks, "places", -4), (blocks, "places", 2), (blocks, "starts", 99),
    ):  # fmt: skip
        array = weight.arrays()[name].copy()
        array[len(array) // 2] = bad
        with pytest.raises(ValueError, match="weight"):
            base.restore(weight.form, {**weight.arrays(), name: array})


@pytest.mark.parametrize("columns", [3, 48])
def test_starts_that_wrap_around(columns):
    """Differences of int64 wrap around: 2^63 - 1 then -2 then 2 goes up by their reckoning."""
    starts = np.array([0, 2**63 - 1, -2, 2])
    ones = {"indices": np.zeros(2, np.uint16), "numbers": np.ones(2, np.float32)}
    kind = "sparse"
    if columns == 48:
        ones, kind = {"places": np.zeros(2, np.int64), "blocks": np.ones((2, 4, 16), np.float32)}, "blocks"
    with pytest.raises(ValueError, match="starts of a weight"):
        base.restore({"kind": kind, "shape": [8, columns], "dtype": "float32"}, {**ones, "starts": starts})


@every_kind
def test_a_bias_that_lies_in_the_result(kind):
    weight, memory = make(kind, np.random.default_rng(9), (32, 16)), np.zeros((8, 16), np.float32)
    with pytest.raises(ValueError, match="overlaps"):
        ops.linear(np.ones((8, 32), np.float32), weight, memory[3], out=memory)


def test_zeros_take_no_memory():
    empty = np.zeros((64, 64), np.float32)
    assert pack_sparse(empty).nbytes == 65 * 8
    assert pack_blocks(empty).nbytes == 5 * 8
    bias = np.arange(64, dtype=np.float32)
    for weight in (pack_sparse(empty), pack_blocks(empty)):
        assert weight.density == 0
        assert np.array_equal(ops.linear(np.ones((3, 64), np.float32), weight, bias), np.tile(bias, (3, 1)))


def test_static_scales_saturate_and_refuse_nan():
    weight = ops.pack_weight(np.eye(8, dtype=np.float32), "int8", activations=(0.5, -100))
    x = np.array([[-20, -14, -1, 0, 0.25, 0.75, 113.5, 1e30]], np.float32)
    expected = np.clip(np.rint(x.astype(np.float64) / 0.5) - 100, -128, 127) + 100
    assert np.allclose(ops.linear(x, weight), expected * 0.5, rtol=1e-6)
    for bad in (np.nan, np.inf, -np.inf):
        x[0, 3] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            ops.linear(x, weight)


def test_asymmetric_rows_use_all_codes():
    """One-sided rows, as after ReLU, lose a bit to a symmetric scale."""
    rng = np.random.default_rng(7)
    x, weight = np.abs(rng.standard_normal((50, 64))), np.eye(64)
    errors = [
        np.abs(ops.linear(x, ops.pack_weight(weight, "int8", activations=way)) - x).max()
        for way in ("symmetric", "asymmetric")
    ]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dtype": "int8", "activations": "junk"}, "activations must be"),
        ({"dtype": "int8", "activations": (1.0,)}, "activations must be"),
        ({"dtype": "int8", "activations": (0.0, 0)}, "finite and positive"),
        ({"dtype": "int8", "activations": (np.nan, 0)}, "finite and positive"),
        ({"dtype": "int8", "activations": (1e-46, 0)}, "float32"),
        ({"dtype": "int8", "activations": (1.0, 128)}, "zero_point"),
        ({"dtype": "int8", "activations": "bfloat16"}, "activations"),
        ({"dtype": "int8", "weight_only": True, "activations": "symmetric"}, "does not go with"),
        ({"dtype": "float32", "activations": "bfloat16"}, "does not go with"),
        ({"dtype": "int4", "activations": (1.0, 0)}, "does not go with"),
    ],
)
def test_activations_that_cannot_be(arguments, text):
    with pytest.raises(ValueError, match=text):
        ops.pack_weight(np.ones((3, 2), np.float32), **arguments)


def test_rows_rounded_to_bfloat16():
    """The result is that of both operands rounded; nothing else is."""
    rng = np.random.default_rng(8)
    x, weight = rng.standard_normal((40, 64), np.float32), rng.standard_normal((64, 33), np.float32)
    packed = ops.pack_weight(weight, "bfloat16", activations="bfloat16")
    import ml_dtypes

    left, right = (array.astype(ml_dtypes.bfloat16).astype(np.float64) for array in (x, weight))
    result = ops.linear(x, packed)
    assert result.dtype == np.float32
    assert mismatch(result, left @ right, product_bound(left, right, FLOAT32, 65)) is None
