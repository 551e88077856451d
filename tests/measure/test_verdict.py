"""Verdicts: what is claimed of samples that are known to differ, and of those that are not."""

import json

import numpy as np
import pytest

from tinytorch.measure.verdict import FEW_PAIRS, paired, unpaired

rng = np.random.default_rng(1)


def drifting(count, factor=1.0, noise=0.05):
    """Samples of a machine that slows by half, with outliers, and those of a function `factor` as slow."""
    drift = np.linspace(1, 1.5, count)
    one, other = (
        drift * (1 + noise * rng.standard_normal(count)) * (1 + 2 * (rng.random(count) < 0.05))
        for _ in range(2)
    )
    return one.tolist(), (factor * other).tolist()


def test_a_planted_difference_is_found_and_none_is_not():
    """Of 200 comparisons of like with like at 99%, ten wrong ones have a chance of 5e-5."""
    same = [paired("a", *pair) for pair in ((a, "b", b) for a, b in (drifting(150) for _ in range(200)))]
    assert sum(v.outcome != "no difference" for v in same) < 10
    slower = [paired("a", slow, "b", fast) for fast, slow in (drifting(150, 1.05) for _ in range(50))]
    assert [v.outcome for v in slower] == ["slower"] * 50
    assert all(v.low < 1.05 < v.high for v in slower[:10])


def test_drift_between_rounds_does_not_hide_a_difference():
    fast, slow = drifting(60, 1.05, noise=0.01)
    assert paired("a", slow, "b", fast).outcome == "slower"
    assert unpaired("a", slow, "b", fast).outcome == "no difference"  # the drift is ten times as large


def test_words():
    fast, slow = drifting(100, 1.2)
    assert str(paired("new", fast, "old", slow)).startswith("new against old: faster, 1")
    assert "more time" in str(paired("new", slow, "old", fast))
    assert "a against b: no difference seen" in str(paired("a", fast, "b", fast))
    few = paired("a", slow[: FEW_PAIRS - 1], "b", fast)
    assert few.outcome == "no difference"
    assert f"{FEW_PAIRS - 1} pairs of samples are too few" in str(few)
    assert json.loads(json.dumps(few.as_dict()))["outcome"] == "no difference"


def test_unpaired_samples_of_two_days():
    now, then = [1.0 + 0.01 * (i % 5) for i in range(50)], [1.2 + 0.01 * (i % 5) for i in range(40)]
    verdict = unpaired("now", now, "then", then)
    assert verdict.outcome == "faster"
    assert not verdict.paired
    assert verdict.ratio == pytest.approx(1.02 / 1.22)


@pytest.mark.parametrize(("pairs", "most"), [(8, 0.012), (9, 0.012), (12, 0.015), (25, 0.015)])
def test_few_pairs_are_not_believed_too_much(pairs, most):
    """Like with like, noise of any shape: by the sign test at most 1% are wrong, give or take."""
    trials = 1500
    wrong = 0
    for _ in range(trials):
        logs = rng.standard_t(2, (2, pairs)) * 0.05
        wrong += (
            paired("a", np.exp(logs[0]).tolist(), "b", np.exp(logs[1]).tolist()).outcome != "no difference"
        )
    assert wrong <= most * trials + 10


def test_samples_that_are_no_times():
    with pytest.raises(ValueError, match="finite and not negative"):
        paired("a", [float("nan")] * 9, "b", [1.0] * 9)
    assert paired("a", [0.0] * 9, "b", [0.0] * 9).outcome == "no difference"


def test_the_same_samples_give_the_same_interval():
    one, other = drifting(50)
    assert paired("a", one, "b", other) == paired("a", one, "b", other)
