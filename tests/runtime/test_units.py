"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.runtime import units


@given(st.floats(1e-12, 9e17))
def test_quantities_read_back(value):
    number, _, unit = units.quantity(value, "B/s").partition(" ")
    prefixes = {"p": -4, "n": -3, "µ": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
    power = prefixes[unit.removesuffix("B/s")]
    assert float(number) * 1000.0**power == pytest.approx(value, rel=0.0051)
    assert 1 <= float(number) < 1000


def test_nothing():
    assert units.quantity(0, "B/s") == "0 B/s"
    assert units.share(0) == "0%"
