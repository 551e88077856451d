"""Step 8: the learner's kernels in a network that reads digits."""

import numpy as np

from tinytorch.bench.digits import load_digits, numpy_network
from tinytorch.course.checks import comparing
from tinytorch.course.checks.by_hand import PRODUCTS, TO_BUILD_ON
from tinytorch.course.exercises import exercise
from tinytorch.course.reading import PRODUCT
from tinytorch.course.subject import Subject, WrongError

#: Of a score's size: float32 sums of 512 products in any order, and what layers before them passed on.
_BOUND = 1e-4
_PARTS = ("Sequential", "cache_friendly_matmul", "vectorized_relu")
_RELUS = ("numpy.maximum", "numpy.fmax", "numpy.clip", "numpy.where", ".clip")


@exercise(step=8, points=3)
def network_scores(learner: Subject, rng: np.random.Generator) -> None:
    """A `Sequential` of your own kernels reads digits."""
    used = learner.uses("network_scores")
    for part in _PARTS:
        if part not in {name.rpartition(".")[2] for name in used}:
            raise WrongError(f"network_scores does not use {part}", "A layer is any function of an array.")
    for name in sorted(used):
        if name == PRODUCT or ("." in name and name.rpartition(".")[2] in PRODUCTS):
            raise WrongError(
                f"network_scores uses {name} for a product",
                "Every product of this network is to be your own cache_friendly_matmul.",
            )
        if name in _RELUS:
            raise WrongError(
                f"network_scores uses {name} for a ReLU", "Every ReLU is to be your own vectorized_relu."
            )
        if name.startswith("tinytorch.") and name not in TO_BUILD_ON:
            raise WrongError(
                f"network_scores uses {name}, which is the library's",
                "Every product of this network is to be your own cache_friendly_matmul, every ReLU your own "
                "vectorized_relu.",
            )
    trained, images, labels = load_digits()
    some = rng.permutation(len(images))[:60]
    scores = _same(learner, "the trained network", images[some], trained)
    right = float(np.mean(scores.argmax(axis=1) == labels[some]))
    if right < 0.8:
        raise WrongError(f"it reads {right:.0%} of the digits")
    drawn = {name: _drawn(value, rng) for name, value in trained.items()}
    _same(learner, "a network of other weights", rng.random((7, 1, 8, 8), np.float32), drawn)


def _drawn(like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return other weights of the same shape, that keep numbers near 1."""
    each = max(1, like[..., 0].size)
    return np.asarray(rng.standard_normal(like.shape) / np.sqrt(each), np.float32)


def _same(learner: Subject, what: str, images: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Require the scores that NumPy computes in float64; return them."""
    exact = numpy_network({name: value.astype(np.float64) for name, value in weights.items()})(
        images.astype(np.float64)
    )
    found = learner.call("network_scores", images, weights)
    comparing.close(
        f"the scores of {what}",
        found,
        exact,
        _BOUND * np.abs(exact).max(),
        np.float32,
        "Conv and ReLU, hidden and ReLU, output: a product and its bias each. Is the order of pixels and "
        "channels the one that `hidden` was trained with?",
    )
    return found
