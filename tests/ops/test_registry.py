"""Every rung of every operation, on every shape and dtype it declares, against its reference."""

import numpy as np
import pytest

from tinytorch.ops.registry import mismatch, operations
from tinytorch.runtime.arrays import HALVES

RUNGS = [
    pytest.param(operation, rung, dtype, id=f"{operation.name}-{rung.name}-{dtype}".replace(" ", "_"))
    for operation in operations().values()
    for rung in operation.ladder.values()
    for dtype in rung.dtypes
]


@pytest.mark.parametrize(("operation", "rung", "dtype"), RUNGS)
def test_rung_meets_its_reference_and_leaves_its_inputs(operation, rung, dtype):
    rng = np.random.default_rng(7)
    tried = 0
    for shape in operation.shapes:
        inputs = operation.inputs(rng, shape, dtype)
        if rung.slow and operation.cost(*inputs).operations > 2e6:
            continue
        before = [np.copy(value) for value in inputs]
        with np.errstate(all="ignore"):
            exact, bound = rung.reference(*inputs), rung.bound(*inputs)
        for run in (rung.run, rung.prepare(*inputs)):
            result = run(*inputs)
            assert mismatch(result, exact, bound) is None, shape
            if isinstance(result, np.ndarray) and rung.reference is operation.reference:
                assert result.dtype == (np.int8 if operation.name == "quantize" else dtype)
        assert all(np.array_equal(a, b) for a, b in zip(before, inputs, strict=True)), shape
        tried += 1
    assert tried >= 3


@pytest.mark.parametrize("name", sorted(operations()))
def test_ladder_begins_below_what_ships(name):
    operation = operations()[name]
    assert "numpy" in operation.ladder
    assert all(rung.summary for rung in operation.ladder.values())
    assert all(
        operation.cost(*operation.inputs(np.random.default_rng(0), shape, np.dtype(np.float32))).bytes >= 0
        for shape in operation.shapes
    )


def test_mismatch_finds_what_is_wrong():
    exact, bound = np.array([1.0, np.nan, np.inf]), np.full(3, 1e-3)
    assert mismatch(exact.copy(), exact, bound) is None
    assert "of 3 elements" in mismatch(np.array([1.01, np.nan, np.inf]), exact, bound)
    assert mismatch(np.array([np.nan, np.nan, np.inf]), exact, bound)
    assert mismatch(np.array([1.0, 0.0, np.inf]), exact, bound)
    assert mismatch(np.array([1.0, np.nan, -np.inf]), exact, bound)
    assert "shape" in mismatch(np.zeros(2), exact, bound)
    assert mismatch({"a": np.zeros(1)}, {"a": np.ones(1)}, {"a": np.zeros(1)}).startswith("a: ")
    assert mismatch(np.array([3]), np.array([4]), np.zeros(()))


@pytest.mark.parametrize("shape", [(5, 300, 7), (9, 40, 300)])
def test_product_bound_is_not_loose(shape):
    """The bound must be near what rounding does: a product in the next lower precision breaks it."""
    operation = operations()["matmul"]
    a, b = operation.inputs(np.random.default_rng(0), shape, np.dtype(np.float32))
    half = (a.astype(np.float16) @ b.astype(np.float16)).astype(np.float32)
    assert mismatch(half, operation.reference(a, b), operation.bound(a, b))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_product_bound_of_half_types_is_not_loose(dtype):
    """A long sum without its last hundredth is wrong, though its dtype has few bits."""
    operation = operations()["matmul"]
    a, b = operation.inputs(np.random.default_rng(0), (4, 4096, 256), np.dtype(dtype))
    short = (a[:, :4055].astype(np.float64) @ b[:4055].astype(np.float64)).astype(dtype)
    assert mismatch(short, operation.reference(a, b), operation.bound(a, b))
