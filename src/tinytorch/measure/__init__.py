"""Timing that can be trusted."""

from tinytorch.measure.comparison import Comparison
from tinytorch.measure.measurement import Measurement
from tinytorch.measure.timing import benchmark, compare, unchecked
from tinytorch.measure.verdict import Verdict
from tinytorch.runtime.errors import WrongResultError

__all__ = ["Comparison", "Measurement", "Verdict", "WrongResultError", "benchmark", "compare", "unchecked"]
