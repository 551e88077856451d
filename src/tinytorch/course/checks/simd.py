"""Step 2: elementwise kernels as compiled loops, and their machine code."""

import numpy as np

from tinytorch.course.checks import comparing
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Call, Probe, Subject, WrongError


@exercise(step=2, points=6)
def vectorized_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU as a compiled loop."""
    x = rng.standard_normal((int(rng.integers(30, 50)), 7)).astype(np.float32)
    found = learner.call("vectorized_relu", x)
    comparing.equal("vectorized_relu(x) of float32", found, np.maximum(x, 0), "max(0, x), elementwise.")
    x[3, 2] = np.nan
    comparing.equal(
        "vectorized_relu(x) with a NaN in x",
        learner.call("vectorized_relu", x),
        np.maximum(x, 0),
        "Which way does a comparison with NaN go? Ask `x < 0`, so that NaN falls through and stays.",
    )
    big = rng.standard_normal(200_000).astype(np.float32)
    ratio = learner.ratio(Call("vectorized_relu", (big,)), Call(Probe("relu_in_python"), (big,)))
    comparing.equal("vectorized_relu(x) after it was timed", ratio.first, np.maximum(big, 0))
    if ratio.value > 0.2:
        raise WrongError(
            f"it takes {ratio.value:.2g} of the time of a loop in the interpreter",
            "Is the loop compiled? Put it under @njit, and look for what is done once per element outside.",
        )
