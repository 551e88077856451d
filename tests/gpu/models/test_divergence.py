"""Figures from masks against a count lane by lane, and the model against every outcome of a small warp."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.divergence import (
    active_threads,
    branch_efficiency,
    branch_targets,
    chance_of_divergence,
    expected,
    predicated_on,
    warp_efficiency,
)
from tinytorch.runtime.errors import InputError

LANES = np.arange(32)[np.newaxis]


@settings(deadline=None, max_examples=100)
@given(n=st.integers(0, 5), ways=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_masks_lane_by_lane(n, ways, seed):
    rng = np.random.default_rng(seed)
    active = rng.random((n, 32)) < rng.choice([0.0, 0.1, 1.0], (n, 1))
    guard = rng.random((n, 32)) < 0.5
    target = rng.integers(0, ways, (n, 32))
    threads = [sum(map(int, row)) for row in active]
    assert active_threads(active).tolist() == threads
    assert predicated_on(active, guard).tolist() == [
        sum(int(a and g) for a, g in zip(row, guarded, strict=True))
        for row, guarded in zip(active, guard, strict=True)
    ]
    issued = [k for k in threads if k]
    assert warp_efficiency(active) == pytest.approx(sum(issued) / (32 * len(issued)) if issued else 1)
    chosen = [
        len({int(t) for t, a in zip(*pair, strict=True) if a}) for pair in zip(target, active, strict=True)
    ]
    assert branch_targets(active, target).tolist() == chosen
    executed = [k for k in chosen if k]
    uniform = [k for k in executed if k == 1]
    assert branch_efficiency(active, target) == pytest.approx(len(uniform) / len(executed) if executed else 1)


@pytest.mark.parametrize("ways", [1, 2, 4, 32])
def test_a_branch_of_k_ways(ways):
    everyone = np.ones((1, 32), bool)
    assert branch_targets(everyone, LANES % ways).item() == ways
    assert branch_efficiency(everyone, LANES % ways) == (ways == 1)
    sides = np.arange(ways)[:, np.newaxis]
    assert warp_efficiency(LANES % ways == sides) == 1 / ways


@settings(deadline=None, max_examples=30)
@given(
    weights=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    rest=st.integers(0, 3),
    share=st.sampled_from((0, 10, 50, 100)),
)
def test_the_model_against_every_outcome(weights, rest, share):
    """Three lanes choose among the sides in all ways: what is issued and done, each weighed by its chance."""
    total = sum(weights) + rest
    if total == 0:
        return
    lanes, sides = 3, [w / total for w in weights]
    chances = [*sides, 1 - sum(sides)]
    apart = issued = done = 0.0
    for outcome in itertools.product(range(len(chances)), repeat=lanes):
        chance = math.prod(chances[side] for side in outcome)
        apart += chance * (len(set(outcome)) > 1)
        size = share / len(sides)  # operations of a side
        issued += chance * (100 - share + size * len(set(outcome) - {len(sides)}))
        done += chance * (100 - share + size * sum(side < len(sides) for side in outcome) / lanes)
    got = expected(share, 100, sides, lanes)
    assert got.divergence_ratio == share / 100
    assert got.chance == chance_of_divergence(sides, lanes) == pytest.approx(apart, abs=1e-12)
    assert got.warp_efficiency == pytest.approx(done / issued if issued else 1)
    assert got.worst - 1e-12 <= got.warp_efficiency <= got.best + 1e-12


def test_the_plain_analysis():
    it = expected(100, 1000)
    assert it.divergence_ratio == 0.1
    assert it.warp_efficiency == pytest.approx(0.95, abs=1e-6)
    assert it.efficiency_loss == pytest.approx(0.05, abs=1e-6)
    assert it.active_threads == pytest.approx(30.4, abs=1e-4)
    assert it.chance == pytest.approx(1 - 2 * 0.5**32)
    assert expected(0, 10).warp_efficiency == 1
    assert expected(10, 10, [1 / 8] * 8).worst == pytest.approx(1 / 8)


def test_conditions_that_hold_for_all_or_none_cost_nothing():
    assert expected(5, 10, [1.0]).warp_efficiency == 1
    assert expected(5, 10, [0.0]).warp_efficiency == 1
    assert expected(5, 5, [0.0]).warp_efficiency == 1
    assert chance_of_divergence([1.0]) == chance_of_divergence([0.0]) == 0


def test_rarer_sides_idle_more_lanes():
    efficiencies = [expected(10, 10, [p]).warp_efficiency for p in (1.0, 0.5, 0.1, 0.01, 1e-12)]
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[-1] == pytest.approx(1 / 32)


@pytest.mark.parametrize(("conditional", "total"), [(2, 1), (-1, 5), (0, 0), (1, math.inf), (math.nan, 3)])
def test_counts_that_cannot_be(conditional, total):
    with pytest.raises(InputError, match=f"{conditional} conditional of {total}"):
        expected(conditional, total)


@pytest.mark.parametrize("sides", [[], [1.2], [-0.1], [0.6, 0.6], [math.nan]])
def test_what_are_no_probabilities(sides):
    with pytest.raises(InputError, match="probabilities of 0 to 1"):
        chance_of_divergence(sides)
