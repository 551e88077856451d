"""Timing that can be trusted."""

from tinytorch.measure.timing import Measurement, WrongResultError, compare

__all__ = ["Measurement", "WrongResultError", "compare"]
