"""A prediction is kept until the measurement, and held against it."""

import numpy as np
import pytest

from tinytorch.course.predictions import predict, reveal
from tinytorch.runtime.errors import InputError


@pytest.mark.parametrize(
    ("said", "measured", "told"),
    [
        (8, 24.0, "1/3 of that"),
        (32, 8, "4 times that"),
        (9, 9.0, "exactly"),
        (1.2, 1.0, "about right"),
        (0.81, 1.0, "about right"),
        (0.79, 1.0, "1/1.3 of that"),
        (0, 0, "exactly"),
        (0, 3, "-3 off"),
        (-2, 3, "-5 off"),
        (np.float32(4), np.float64(4), "exactly"),
    ],
)
def test_what_was_said_stands_beside_what_was_measured(said, measured, told, capsys):
    predict("speedup", said)
    reveal("speedup", measured)
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"you said {said:g} times, {told}")


def test_without_a_prediction_the_measurement_stands_alone(capsys):
    reveal("nobody_said", 3.0, "sectors")
    assert capsys.readouterr().out == "nobody_said: 3 sectors; no prediction was written down\n"


def test_none_takes_a_prediction_back(capsys):
    predict("bytes", 8)
    predict("bytes", None)
    reveal("bytes", 9)
    assert "write a number" in capsys.readouterr().out.splitlines()[1]
    predict("bytes", 9)
    reveal("bytes", 9)
    assert "exactly" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["8", True, [8], 2j, 10**400, float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InputError, match=r"speed: a prediction is a number"):
        predict("speed", value)
