"""Step 5: samples, their order, and what they say."""

import numpy as np

from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Probe, Subject, WrongError


@exercise(step=5, points=4)
def sample_times(learner: Subject, rng: np.random.Generator) -> None:
    """A list of times, the warm-up apart."""
    times = learner.call("sample_times", Probe("sleeping", (0.01,)), repeats=3)
    if len(times) != 3 or min(times) < 0.009:
        raise WrongError(f"sample_times of a function that sleeps 0.01 s returned {times}")


@exercise(step=5, points=4)
def interleaved(learner: Subject, rng: np.random.Generator) -> None:
    """Functions timed in turns."""
    sleep = Probe("sleeping", (0.001,))
    times = learner.call("interleaved", {"a": sleep, "b": sleep}, rounds=3)
    if set(times) != {"a", "b"}:
        raise WrongError(f"interleaved of a and b returned {times}")


@exercise(step=5, points=4)
def verdict(learner: Subject, rng: np.random.Generator) -> None:
    """Which of two is faster, and when to say that it cannot be seen."""
    first = rng.lognormal(0, 0.05, 30).tolist()
    if learner.call("verdict", first, [2 * time for time in first]) != "first":
        raise WrongError("half the time was not called faster")
