"""Fusion: what is counted, by hand; what is measured, and that both ways compute the same."""

import numpy as np
import pytest

from tests.roofs import made
from tinytorch.measure.roofline import Roofline
from tinytorch.ops.registry import operations
from tinytorch.profiler import fusion
from tinytorch.simd.activation import ACTIVATIONS

FLOAT32 = np.dtype(np.float32)
SHAPE = (10, 20, 30)  # M, K, N


def test_bytes_by_hand():
    """Apart: 200 + 600 read, 300 written; 300, 300; 600, 300. Fused: 800 and 300 read, 300 written."""
    (group,) = fusion.groups(["matmul", "relu", "add"], SHAPE, FLOAT32)
    assert [(cost.read, cost.written) for cost in group.apart] == [(3200, 1200), (1200, 1200), (2400, 1200)]
    assert (group.together.read, group.together.written) == (3200 + 1200, 1200)
    assert group.together.operations == 2 * 10 * 20 * 30 + 300 + 300
    assert group.savings == pytest.approx(10400 / 5600)
    assert group.call == "ops.linear(x, weight, activation='relu')"


def test_a_row_is_read_once():
    (group,) = fusion.groups(["matmul", "bias"], SHAPE, FLOAT32)
    assert group.together.read == 3200 + 30 * 4
    assert group.call == "ops.linear(x, weight, bias)"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["relu"], []),
        (["matmul", "matmul"], []),
        (["exp", "sqrt"], [(0, ("exp", "sqrt"))]),
        (
            ["matmul", "relu", "matmul", "bias", "gelu"],
            [(0, ("matmul", "relu")), (2, ("matmul", "bias", "gelu"))],
        ),
        (["exp", "sum", "log", "scale"], [(0, ("exp", "sum")), (2, ("log", "scale"))]),
        (["softmax", "softmax"], []),
        (["add", "matmul", "relu", "sum"], [(1, ("matmul", "relu", "sum"))]),
    ],
)
def test_groups(names, found):
    assert [(g.position, g.names) for g in fusion.groups(names, SHAPE, FLOAT32)] == found


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["matmul", "relu", "add"], (False, "relu", 2)),
        (["linear", "bias", "gelu"], (True, "gelu", 3)),
        (["matmul", "bias"], (True, None, 2)),
        (["matmul", "add", "relu"], (False, None, 1)),
        (["relu", "bias"], (False, None, 0)),
    ],
)
def test_what_our_kernel_fuses(names, part):
    assert fusion.fused_part(names) == part


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name])
@pytest.mark.parametrize("bias", [(), ("bias",)])
def test_both_ways_compute_the_same(activation, bias):
    """Or they would not be timed: `compare` refuses what differs by more than the rounding of the sums."""
    (group,) = fusion.groups(["matmul", *bias, activation], SHAPE, FLOAT32)
    timed = fusion.measure(group, SHAPE, FLOAT32, seconds=0.01)
    assert list(timed) == ["apart", "fused"]


def test_what_cannot_be_fused_is_not_measured():
    (group,) = fusion.groups(["exp", "sum"], SHAPE, FLOAT32)
    assert fusion.measure(group, SHAPE, FLOAT32, seconds=0.01) is None
    assert group.call is None


def test_modelled_times():
    """80 MB at 10 GB/s read; nothing else matters."""
    roofline = Roofline.of(made(), FLOAT32, 1)
    (cost,) = fusion.costs(["relu"], (10_000, 1, 2_000), FLOAT32)
    written = roofline.bandwidth("memory", 0.5)
    assert fusion.modelled_seconds([cost], roofline) == pytest.approx(160e6 / written)


@pytest.mark.parametrize("sequence", [[], "matmul", ["matmul", "nothing"]])
def test_sequences_that_are_none(sequence):
    with pytest.raises(ValueError, match=r"at least one operation|is not known; known are"):
        fusion.known(sequence)


def test_every_activation_of_ours_is_known():
    assert {name for name in ACTIVATIONS if name} <= set(fusion.STEPS)
    assert "matmul" in operations()
