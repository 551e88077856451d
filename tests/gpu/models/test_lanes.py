"""Distinct values of active lanes, against sets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.lanes import distinct


@settings(deadline=None, max_examples=100)
@given(
    n=st.integers(0, 4),
    k=st.sampled_from((1, 32, 64)),
    reach=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_distinct(n, k, reach, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-reach, reach, (n, k))
    active = rng.random((n, k)) < rng.choice([0.0, 0.5, 1.0], (n, 1))
    expected = [len(set(row[on].tolist())) for row, on in zip(values, active, strict=True)]
    assert distinct(values, active).tolist() == expected
