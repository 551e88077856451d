"""A real input: a small trained network that reads handwritten digits, in NumPy and through our kernels.

Convolution (1 to 8 channels, 3 x 3) and two dense layers (512 to 64 to 10), trained by
scripts/train_digits.py on scikit-learn's digits; the weights and 450 held-out images are in the package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from safetensors.numpy import load

from tinytorch.measure.measurement import Measurement
from tinytorch.measure.timing import Effort, compare
from tinytorch.ops import conv2d, linear, pack_weight
from tinytorch.ops.registry import product_bound
from tinytorch.runtime.arrays import Array


@dataclass(frozen=True)
class Result:
    """How one version of the network did."""

    name: str
    accuracy: float
    batch: Measurement  # all held-out images in one call
    single: Measurement  # one image
    images: int
    weight_bytes: int

    @property
    def images_per_second(self) -> float:
        """Throughput of the whole batch."""
        return self.images / self.batch.median

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "accuracy": self.accuracy,
            "images": self.images,
            "images_per_second": self.images_per_second,
            "latency_s": self.single.median,
            "weight_bytes": self.weight_bytes,
            "batch": self.batch.as_dict(),
            "single": self.single.as_dict(),
        }


def load_digits() -> tuple[dict[str, Array], Array, Array]:
    """Return the weights, the held-out images (450, 1, 8, 8) in [0, 1] and their labels."""
    tensors = load(resources.files("tinytorch.bench").joinpath("digits.safetensors").read_bytes())
    images = tensors.pop("images")[:, None].astype(np.float32) / np.float32(16)
    return tensors, images, tensors.pop("labels")


def numpy_network(w: dict[str, Array]) -> Callable[[Array], Array]:
    """Return the network in plain NumPy: windows, products, maxima."""
    taps = w["conv.weight"].reshape(8, 9).T

    def forward(images: Array) -> Array:
        padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).reshape(-1, 64, 9)
        x = np.maximum(windows @ taps + w["conv.bias"], 0).transpose(0, 2, 1).reshape(-1, 512)
        x = np.maximum(x @ w["hidden.weight"] + w["hidden.bias"], 0)
        return x @ w["output.weight"] + w["output.bias"]

    return forward


def kernel_network(w: dict[str, Array], dtype: str) -> tuple[Callable[[Array], Array], int]:
    """Return the network through our kernels, and the bytes of its weights.

    With dtype "int8" the dense layers, 99.7% of the weights, are int8; the convolution stays float32, as
    first layers commonly do.
    """
    hidden, output = (pack_weight(w[f"{layer}.weight"], dtype=dtype) for layer in ("hidden", "output"))

    def forward(images: Array) -> Array:
        x = conv2d(images, w["conv.weight"], w["conv.bias"], padding=1, activation="relu")
        x = linear(x.reshape(-1, 512), hidden, w["hidden.bias"], activation="relu")
        return linear(x, output, w["output.bias"])

    others = sum(w[name].nbytes for name in ("conv.weight", "conv.bias", "hidden.bias", "output.bias"))
    return forward, hidden.nbytes + output.nbytes + others


def classify(effort: Effort, tell: Callable[[str], None]) -> list[Result]:
    """Run the network three ways over the held-out images, all at once and one at a time."""
    weights, images, labels = load_digits()
    float32, float32_bytes = kernel_network(weights, "float32")
    int8, int8_bytes = kernel_network(weights, "int8")
    functions = {"NumPy float32": numpy_network(weights), "kernels float32": float32, "kernels int8": int8}
    sizes = dict(
        zip(functions, (sum(v.nbytes for v in weights.values()), float32_bytes, int8_bytes), strict=True)
    )
    accuracies: dict[str, float] = {}

    allowed = _allowed(weights, images)

    def check(name: str, scores: Array) -> str | None:
        tell(f"digits: {name} checked")
        if len(scores) == len(labels):
            accuracies[name] = float(np.mean(scores.argmax(axis=1) == labels))
        if "int8" in name:  # what quantizing costs is what is being shown: see the accuracy
            return None
        error = float(np.abs(scores - functions["NumPy float32"](images[: len(scores)])).max())
        return None if error <= allowed else f"scores differ by {error:.3g}, allowed {allowed:.3g}"

    def told(name: str) -> None:
        tell(f"digits: {name}")

    batch = compare(functions, images, check=check, **effort, on_sample=told)
    single = compare(functions, images[:1], check=check, **effort, on_sample=told)
    return [
        Result(name, accuracies[name], batch[name], single[name], len(images), sizes[name])
        for name in functions
    ]


def _allowed(w: dict[str, Array], images: Array) -> float:
    """Bound how far two float32 evaluations may differ: each layer's bound, carried through the next ones."""
    x = np.abs(conv2d(images.astype(np.float64), np.abs(w["conv.weight"]), np.abs(w["conv.bias"]), padding=1))
    x = x.reshape(len(images), -1)
    error = np.finfo(np.float32).eps * 10 * x
    for layer in ("hidden", "output"):
        weight = np.abs(w[f"{layer}.weight"]).astype(np.float64)
        error = error @ weight + product_bound(x, weight, np.dtype(np.float32), len(weight) + 1)
        x = x @ weight + np.abs(w[f"{layer}.bias"])
        error += np.finfo(np.float32).eps * x
    return 2 * float(error.max())
