"""Step 3: what a load costs, and a product whose loops are blocked for it."""

import numpy as np

from tinytorch.course.checks import comparing
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Subject


@exercise(step=3, points=8)
def cache_friendly_matmul(learner: Subject, rng: np.random.Generator) -> None:
    """A product whose loops are blocked."""
    A, B = rng.standard_normal((37, 41)), rng.standard_normal((41, 35))
    found = learner.call("cache_friendly_matmul", A, B, block_size=8)
    comparing.close("cache_friendly_matmul(A, B)", found, A @ B, 1e-12, np.float64)
