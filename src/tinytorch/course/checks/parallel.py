"""Step 4: work shared among threads."""

import numpy as np

from tinytorch.course.checks import comparing
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Probe, Subject, WrongError


@exercise(step=4, points=3)
def split(learner: Subject, rng: np.random.Generator) -> None:
    """A range cut into parts for the workers."""
    if learner.call("split", 10, 4) != [(0, 3), (3, 6), (6, 8), (8, 10)]:
        raise WrongError("split(10, 4) is not [(0, 3), (3, 6), (6, 8), (8, 10)]")


@exercise(step=4, points=6)
def parallel_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU by several threads."""
    x = rng.standard_normal(1001).astype(np.float32)
    comparing.equal("parallel_relu(x)", learner.call("parallel_relu", x), np.maximum(x, 0))


@exercise(step=4, points=6)
def parallel_batch_processing(learner: Subject, rng: np.random.Generator) -> None:
    """A batch processed by several threads."""
    batch = rng.integers(0, 100, 10).tolist()
    if learner.call("parallel_batch_processing", batch, Probe("sleeping", (0.01,))) != batch:
        raise WrongError("the results are not those of the items in order")
