"""Step 6: kernels on int8 codes."""

import numpy as np

from tinytorch.course.checks import comparing
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Subject


@exercise(step=6, points=4)
def quantize(learner: Subject, rng: np.random.Generator) -> None:
    """Values as int8 codes."""
    x = rng.uniform(-2, 2, 50).astype(np.float32)
    codes = np.clip(np.round(x / 0.01), -128, 127).astype(np.int8)
    comparing.equal("quantize(x, 0.01)", learner.call("quantize", x, 0.01), codes)


@exercise(step=6, points=6)
def quantized_matmul(learner: Subject, rng: np.random.Generator) -> None:
    """A matrix product of codes."""
    a, b = (rng.integers(-100, 100, (5, 5)).astype(np.float32) for _ in range(2))
    comparing.equal("quantized_matmul(A, B)", learner.call("quantized_matmul", a, b), a @ b)


@exercise(step=6, points=3)
def quantized_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU of codes."""
    x = rng.integers(-100, 100, 50).astype(np.float32)
    comparing.equal("quantized_relu(x)", learner.call("quantized_relu", x), np.maximum(x, 0))
