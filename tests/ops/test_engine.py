"""Products on the vector engine: every size and layout, on every target, and nothing touched outside."""

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import engine_checks as checks
from tests.memory import Pages
from tinytorch import ops
from tinytorch.simd.target import TARGETS, available, chosen

ROOT = Path(__file__).parents[2]
every_pair = pytest.mark.parametrize(("dtype", "right"), checks.PAIRS, ids=str)
float_pairs = pytest.mark.parametrize(
    ("dtype", "right"), [pair for pair in checks.PAIRS if pair[0] in checks.FLOATS], ids=str
)
every_float = pytest.mark.parametrize("dtype", checks.FLOATS, ids=str)
needs_pages = pytest.mark.skipif(os.name != "posix", reason="guard pages are asked for with mprotect")


@pytest.fixture
def places():
    return checks.Places()


@every_pair
def test_products(dtype, right, places):
    checks.check_products(dtype, right, places)


@every_pair
def test_stacks(dtype, right, places):
    checks.check_stacks(dtype, right, places)


@float_pairs
def test_linear(dtype, right, places):
    checks.check_linear(dtype, right, places)


@every_float
def test_conv2d(dtype, places):
    checks.check_conv2d(dtype, places)


@every_pair
def test_several_blocks_in_every_direction(dtype, right, places):
    checks.check_blocks(dtype, right, places)


@every_float
def test_several_blocks_of_the_caches_that_there_are(dtype):
    a, b = checks.MATMUL.inputs(np.random.default_rng(0), (390, 1100, 700), dtype)
    plan = checks.planned(a, b)
    assert plan.KC < 1100
    assert plan.path == checks.BLOCKED
    exact, bound = checks.MATMUL.reference(a, b), checks.MATMUL.bound(a, b)
    checks.expect(ops.matmul(a, b), exact, bound)
    checks.expect(ops.linear(a, ops.pack_weight(b)), exact, bound)
    checks.expect(ops.matmul(a.T.copy().T, b.T.copy().T), exact, bound)


@every_pair
def test_unaligned(dtype, right):
    checks.check_unaligned(dtype, right)


@float_pairs
def test_nonfinite(dtype, right):
    checks.check_nonfinite(dtype, right)


@pytest.mark.parametrize("half", [right for dtype, right in checks.PAIRS if dtype != right], ids=str)
def test_every_number_of_a_half_type(half):
    checks.check_every_half(half)


@every_float
def test_nonfinite_conv2d(dtype):
    checks.check_nonfinite_conv2d(dtype)


def test_zero_times_infinity_is_nan():
    zeros = np.zeros((3, 4), np.float32)
    assert np.isnan(ops.matmul(zeros, np.full((4, 5), np.inf, np.float32))).all()
    assert np.isnan(ops.matmul(np.full((5, 3), -np.inf, np.float32), zeros)).all()
    assert np.isnan(ops.linear(zeros, ops.pack_weight(np.full((4, 5), np.inf, np.float32)))).all()


@every_float
def test_bias_and_activation_keep_nan_and_infinity(dtype):
    """For every column of a panel that is not full, in registers and after a streamed sum."""
    columns = checks.tile(chosen(), dtype)[1] + 3
    cases = [(np.nan, "relu", np.nan, 7), (-np.inf, "tanh", -1, 1), (np.inf, None, np.inf, 7)]
    for rows in (1, 3, 18):
        x, weight = np.ones((rows, 7), dtype), np.ones((7, columns), dtype)
        for right, j in itertools.product((weight, ops.pack_weight(weight)), range(columns)):
            for value, activation, there, elsewhere in cases:
                bias = np.where(np.arange(columns) == j, value, 0).astype(dtype)
                result = ops.linear(x, right, bias, activation)
                expected = np.where(np.arange(columns) == j, there, elsewhere)
                # tanh(7) is 1 - 1.7e-6
                assert np.allclose(result, expected, rtol=1e-5, atol=0, equal_nan=True)


@every_pair
def test_threads(dtype, right):
    checks.check_threads(dtype, right)


@every_float
@pytest.mark.parametrize("rows", [1, 2])
def test_fields_of_records(dtype, rows):
    """Records of an odd size: the distance between rows, even of one, is no multiple of a number's size."""
    a, b, c = (
        np.zeros(count, [("values", dtype, (columns,)), ("flag", np.uint8)])["values"]
        for count, columns in ((rows, 5), (rows, 5), (5, rows))
    )
    a[...], b[...], c[...] = 2, 3, 4
    plain_a, plain_b, plain_c = (np.ascontiguousarray(x.copy()) for x in (a, b, c))
    assert np.array_equal(ops.matmul(a, c), plain_a @ plain_c)
    assert np.array_equal(ops.matmul(c, b), plain_c @ plain_b)
    assert np.array_equal(ops.matmul(a[None], c[None]), (plain_a @ plain_c)[None])
    assert np.array_equal(ops.linear(a, ops.pack_weight(c)), plain_a @ plain_c)
    assert np.array_equal(ops.linear(a, c, b[0, :1].repeat(rows)), plain_a @ plain_c + 3)
    out = np.zeros(rows, [("values", dtype, (rows,)), ("flag", np.uint8)])
    ops.matmul(a, c, out=out["values"])
    assert np.array_equal(out["values"], plain_a @ plain_c)
    assert not out["flag"].any()


def run(*arguments, **environment):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )


def run_checks(folder, *names, **environment):
    """Run checks of the engine in a process of its own."""
    return run_module(folder, "tests.engine_checks", *names, **environment)


def run_module(folder, module, *names, **environment):
    """Run checks in a process of its own; returns its last line, and says what it did if it came to grief."""
    note = folder / "note"
    done = run("-m", module, str(note), *names, **environment)
    if done.returncode:
        last = note.read_text().strip() if note.exists() else "it began"
        error = done.stderr.decode()[-3000:]
        pytest.fail(f"the process ended with status {done.returncode}; the last it did: {last}\n{error}")
    return done.stdout.decode().split()[-1]


@needs_pages
def test_guard_pages_guard():
    """A number read or written outside, or a write to what may only be read, ends the process."""
    values = np.arange(4.0)
    inside, after, before, write = (
        f"import numpy as np, ctypes; from tests.memory import Pages;"
        f"x = Pages(1).place(np.arange(4.0), at_end={at_end});"
        f"p = ctypes.cast(x.ctypes.data, ctypes.POINTER(ctypes.c_double)); {act}"
        for at_end, act in ((True, "p[3]"), (True, "p[4]"), (False, "p[-1]"), (True, "p[3] = 0"))
    )
    assert run("-c", inside).returncode == 0
    assert all(run("-c", code).returncode < 0 for code in (after, before, write))
    assert np.array_equal(Pages(1).place(values, "backwards"), values)


@needs_pages
def test_nothing_is_touched_outside(tmp_path):
    assert run_checks(tmp_path, "guarded") == chosen().name


@pytest.mark.parametrize("target", [t for t in available() if t != chosen()], ids=lambda target: target.name)
def test_other_targets(tmp_path, target):
    names = ["special", "unaligned", "threads"]
    if target.vector_bytes != chosen().vector_bytes:  # else its kernels are the same ones
        names.append("guarded" if os.name == "posix" else "framed")
    assert run_checks(tmp_path, *names, TINYTORCH_TARGET=target.name) == target.name


@pytest.mark.skipif(
    chosen().vector_bytes == max(target.vector_bytes for target in TARGETS), reason="this CPU has them"
)
def test_the_longest_vectors_in_halves(tmp_path):
    """What follows from the length of a vector and the size of a tile, where no CPU has such vectors."""
    assert run_checks(tmp_path, "wide", "guarded" if os.name == "posix" else "framed", "special") == "wide"


@pytest.mark.parametrize("target", available(), ids=lambda target: target.name)
def test_bfloat16_in_pairs(tmp_path, target):
    """What CPUs with an instruction for pairs of bfloat16 do, with others where this one has it not."""
    assert run_checks(tmp_path, "in_pairs", TINYTORCH_TARGET=target.name) == target.name


def test_rows_that_lie_across_each_other():
    """NumPy's meaning: as if the result were copied to where it belongs, row after row."""
    a, b = np.arange(45.0, dtype=np.float32).reshape(9, 5), np.arange(100.0, dtype=np.float32).reshape(5, 20)
    results = []
    for function in (np.matmul, ops.matmul, ops.linear):
        memory = np.zeros(200, np.float32)
        function(a, b, out=np.lib.stride_tricks.as_strided(memory, (9, 20), (40, 4)))
        results.append(memory)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_packed_weights_of_another_target():
    """What was packed for other panels, and pickled, is laid out anew."""
    weight = np.random.default_rng(0).standard_normal((7, 37), np.float32)
    code = (
        "import pickle, sys, numpy as np; from tinytorch import ops;"
        "weight = np.random.default_rng(0).standard_normal((7, 37), np.float32);"
        "sys.stdout.buffer.write(pickle.dumps(ops.pack_weight(weight)))"
    )
    x = np.random.default_rng(1).standard_normal((3, 7), np.float32)
    expected = ops.linear(x, ops.pack_weight(weight))
    for target in available():
        done = run("-c", code, TINYTORCH_TARGET=target.name)
        assert done.returncode == 0, done.stderr.decode()
        assert np.array_equal(ops.linear(x, pickle.loads(done.stdout)), expected)
