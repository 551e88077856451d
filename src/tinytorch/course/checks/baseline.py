"""Step 1: a clock around a call, and the product that everything else is measured against."""

import numpy as np

from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Probe, Subject, WrongError


@exercise(step=1, points=4)
def time_kernel(learner: Subject, rng: np.random.Generator) -> None:
    """Time one call."""
    given = rng.standard_normal(5)
    found = learner.call("time_kernel", Probe("sleeping", (0.03,)), given)
    if not (isinstance(found, list | tuple) and len(found) == 2):
        raise WrongError("time_kernel should return two values: the result and the microseconds")
