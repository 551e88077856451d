"""int8 products: exact on every target, for every way to multiply groups, and nothing touched outside."""

import pickle

import numpy as np
import pytest

from tests import integer_checks as checks
from tests.engine_checks import Places, threads
from tests.ops.test_engine import run_module
from tinytorch import ops
from tinytorch.ops import integer, packed
from tinytorch.ops.nibbles import GROUPS
from tinytorch.ops.weights.base import restore
from tinytorch.runtime.arrays import FLOAT32, FLOAT64
from tinytorch.simd.target import available, chosen

both_floats = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)


def test_exact():
    checks.check_exact(Places())


def test_blocks():
    checks.check_blocks()


def test_long_sums():
    checks.check_long_sums()


@both_floats
def test_layers(dtype):
    checks.check_layers(dtype, Places())


@both_floats
def test_weight_only(dtype):
    checks.check_weight_only(dtype, Places())


@both_floats
def test_zero_points_of_rows(dtype):
    checks.check_whole_range(dtype)


@both_floats
def test_given_scales(dtype):
    checks.check_given_scales(dtype)


@both_floats
def test_not_finite(dtype):
    checks.check_not_finite(dtype)


@pytest.mark.parametrize("mode", [[], ["fours"]], ids=str)
@pytest.mark.parametrize("target", available(), ids=lambda target: target.name)
def test_every_target(tmp_path, target, mode):
    """Between pages that nobody may touch; and in fours where the CPU has no instruction for them."""
    found = run_module(tmp_path, "tests.integer_checks", *mode, TINYTORCH_TARGET=target.name)
    assert found == target.name


def test_the_longest_vectors_in_halves(tmp_path):
    assert run_module(tmp_path, "tests.integer_checks", "wide", TINYTORCH_TARGET="") == "wide"


def test_layer_is_the_same_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    weight = ops.pack_weight(rng.standard_normal((700, 300), np.float32), "int8")
    for rows in (1, 5, 200):
        x, results = rng.standard_normal((rows, 700), np.float32), []
        for count in (1, 2, 3):
            with threads(count):
                results.append(ops.linear(x, weight, activation="gelu"))
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])


def test_layer_longer_than_an_int32_holds():
    rng, inner = np.random.default_rng(1), packed.LONGEST_PART + 70
    x, weight = rng.standard_normal((3, inner), np.float32), rng.standard_normal((inner, 5), np.float32)
    bias = np.ones(5, np.float32)
    result = ops.linear(x, ops.pack_weight(weight, "int8"), bias, "tanh")
    packed_weight = ops.pack_weight(weight, "int8")
    scales = (np.abs(x).max(axis=1) / np.float32(127))[:, None]
    total = checks.exact_product(checks.reference_codes(x, scales), packed_weight.unpacked())
    exact = np.tanh(total * scales.astype(np.float64) * packed_weight.scales + 1)
    assert np.allclose(result, exact, rtol=1e-5, atol=1e-6)


def test_a_pickle_holds_codes_that_any_target_lays_out():
    weight = np.random.default_rng(2).standard_normal((37, 21)).astype(np.float32)
    whole = ops.pack_weight(weight, "int8")
    again = pickle.loads(pickle.dumps(whole))
    assert np.array_equal(again.unpacked(), whole.unpacked())
    assert again.nbytes == whole.nbytes
    # what a CPU with other registers would have written: panels of three columns, groups of five
    codes = np.zeros((40, 21), np.int8)
    codes[:37] = whole.unpacked()
    panels = codes.reshape(8, 5, 7, 3).transpose(2, 0, 3, 1).reshape(7, 8 * 3 * 5)
    other = {**whole.arrays(), "panels": np.ascontiguousarray(panels), "sums": np.zeros(21, np.int32)}
    restored = restore({**whole.form, "width": 3, "group": 5}, other)
    for name, array in whole.arrays().items():
        assert np.array_equal(restored.arrays()[name], array)


def test_a_weight_only_pickle_of_another_target():
    weight = np.random.default_rng(2).standard_normal((37, 21)).astype(np.float32)
    whole = ops.pack_weight(weight, "int8", weight_only=True)
    panels = whole.unpacked().reshape(37, 7, 3).transpose(1, 0, 2).reshape(7, 111)  # of three columns
    arrays = {**whole.arrays(), "panels": np.ascontiguousarray(panels)}
    again = restore({**whole.form, "width": 3}, arrays)
    assert np.array_equal(again.panels, whole.panels)
    assert again.kind == "int8-weight-only"


@pytest.mark.parametrize("group_size", GROUPS)
def test_int4(group_size):
    checks.check_int4(group_size, Places())


def test_int4_weights_are_values():
    weight = np.random.default_rng(3).standard_normal((100, 21)).astype(np.float32)
    whole = ops.pack_weight(weight, "int4", group_size=64)
    again = pickle.loads(pickle.dumps(whole))
    for part, other in zip(whole.arrays().values(), again.arrays().values(), strict=True):
        assert np.array_equal(part.view(np.uint8), other.view(np.uint8))
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
    assert whole.nbytes == 2 * 64 * 32 // 2 + 2 * 2 * 32 if chosen().vector_bytes == 32 else whole.nbytes
    assert "int4" in repr(whole)
    for bad in (0, 33, "32", None):
        with pytest.raises(ValueError, match="group_size"):
            ops.pack_weight(weight, "int4", group_size=bad)
    with pytest.raises(ValueError, match="int4 has neither"):
        ops.pack_weight(np.full((3, 2), np.nan), "int4")


def test_int4_codes_are_nearest():
    """No weight is further from its code than half a step, which is that of its group alone."""
    weight = np.random.default_rng(4).standard_normal((300, 9)).astype(np.float32)
    weight[64:96] *= 1000
    weight[96:128] = 0
    packed_weight = ops.pack_weight(weight, "int4", group_size=32).data
    codes, scales = packed_weight.codes()
    steps = np.repeat(scales.astype(np.float32), 32, axis=0)[:300]
    assert codes.min() >= -8
    assert codes.max() <= 7
    assert np.all(np.abs(packed_weight.values() - weight) <= steps * 0.5 * (1 + 2**-6))
    largest = np.abs(np.concatenate((weight, np.zeros((20, 9))))).reshape(10, 32, 9).max(axis=1)
    assert np.allclose(scales.astype(np.float32), np.where(largest > 0, largest / 7, 1), rtol=2**-8)


def test_weight_only_is_for_int8():
    with pytest.raises(ValueError, match="weight_only"):
        ops.pack_weight(np.ones((3, 2), np.float32), weight_only=True)


def test_arrays_that_do_not_fit_a_plan_are_left_alone():
    part = packed.pack_integers(np.ones((8, 4), np.int8)).parts[0]
    x, out, none = np.ones((3, 8), np.float32), np.full((3, 4), 7, np.float32), np.empty(0, np.float32)
    ones, prepared = integer.padded(np.ones(4)), integer.prepare(FLOAT32, FLOAT32, (3, 8), 4, 1)
    memory = np.full(40, 7, np.float32)
    across, inside = memory[:24].reshape(3, 8), memory[20:32].reshape(3, 4)
    for given, target, bias in (
        (np.ones((3, 16), np.float32)[:, ::2], out, none),
        (np.ones((2, 8), np.float32), out, none),
        (x, np.full((4, 3), 7, np.float32).T, none),
        (x, out, np.ones(3, np.float32)),
        (x, out, np.ones(8, np.float32)[::2]),
        (across, inside, none),
    ):
        assert integer.run(prepared, given, part, ones, target, bias) == integer.UNFIT
        assert np.all(target == 7)


def test_matmul_integer():
    rng = np.random.default_rng(9)
    for shape, inner, columns in (
        ((3, 2), 40, 21),
        ((), 7, 1),
        ((0,), 5, 3),
        ((4,), 0, 3),
        ((2,), packed.LONGEST_PART + 5, 3),
    ):
        a, b = checks.codes(rng, (*shape, inner)), checks.codes(rng, (inner, columns))
        for zero_point in (0, -128, 127):
            exact = (a.astype(np.int64) - zero_point) @ b.astype(np.int64)
            for right in (b, np.asfortranarray(b), ops.pack_weight(b, "int8", scales=0.5)):
                result = ops.matmul_integer(a, right, zero_point)
                assert result.dtype == (np.int32 if inner <= packed.LONGEST_PART else np.int64)
                assert np.array_equal(result, exact)
    a, b = checks.codes(rng, (6, 40)), checks.codes(rng, (40, 21))
    out = np.empty((6, 21), np.int32)
    assert ops.matmul_integer(a[::-1], b, out=out) is out
    assert np.array_equal(out, a[::-1].astype(np.int64) @ b)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.ones((2, 3)), np.ones((3, 2), np.int8)), TypeError, "must be int8.*float64"),
        ((np.ones((2, 3), np.uint8), np.ones((3, 2), np.int8)), TypeError, "uint8"),
        ((np.ones((2, 3), np.int8), ops.pack_weight(np.ones((3, 2)))), TypeError, "PackedWeight"),
        ((np.ones((2, 3), np.int8), np.ones((4, 2), np.int8)), ValueError, r"\(2, 3\) does not fit"),
        ((np.ones((2, 3), np.int8), np.ones(3, np.int8)), ValueError, "does not fit"),
        ((np.ones((2, 3), np.int8), np.ones((3, 2), np.int8), 128), ValueError, "zero_point"),
        ((np.ones((2, 3), np.int8), np.ones((3, 2), np.int8), 0.5), TypeError, "zero_point"),
        ((np.ones((2, 3), np.int8), np.ones((3, 2), np.int8), 0, np.ones((2, 2))), ValueError, "dtype"),
    ],
)
def test_matmul_integer_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        ops.matmul_integer(*arguments)


def test_codes_with_scales():
    """What was brought to int8 elsewhere is taken as it is."""
    rng = np.random.default_rng(10)
    codes, scales = checks.codes(rng, (37, 21)), rng.random(21).astype(np.float32) + 0.5
    for weight_only in (False, True):
        weight = ops.pack_weight(codes, "int8", weight_only, scales=scales)
        assert np.array_equal(weight.unpacked(), codes)
        assert np.allclose(weight.values(), codes * scales)
        x = rng.standard_normal((4, 37)).astype(np.float32)
        assert np.allclose(ops.linear(x, weight), x @ (codes * scales), rtol=0.05, atol=40)
    assert np.array_equal(ops.pack_weight(codes, scales=2).values(), codes * np.float64(2))
    for bad, error in ((np.ones(20), ValueError), (0, ValueError), (np.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="scales"):
            ops.pack_weight(codes, "int8", scales=bad)
    with pytest.raises(TypeError, match="scales go with"):
        ops.pack_weight(codes.astype(np.float32), "int8", scales=scales)
    with pytest.raises(TypeError, match="scales go with"):
        ops.pack_weight(codes, "int4", scales=scales)
