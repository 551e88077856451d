"""Measurements: statistics, and what speaks against them."""

import json

from tinytorch.measure import Measurement


def test_statistics():
    measurement = Measurement("f", (1.0, 2.0, 3.0, 4.0, 5.0), 1)
    assert (measurement.median, measurement.minimum, measurement.iqr) == (3.0, 1.0, 2.0)
    assert json.loads(json.dumps(measurement.as_dict()))["count"] == 5


def test_reasons_not_to_lean_on_it():
    assert Measurement("f", (1.0, 1.01, 1.02, 1.01, 1.0), 1).stable
    assert Measurement("f", (1.0, 1.0, 1.0), 1).unstable == ("too few samples: 3 of at least 5",)
    assert "spreads over 67%" in Measurement("f", (1.0, 2.0, 3.0, 4.0, 5.0), 1).unstable[0]
    drifting = Measurement("f", (1.0,) * 9, 1, ("the clock drifted",))
    assert drifting.unstable == ("the clock drifted",)
    assert not drifting.stable
