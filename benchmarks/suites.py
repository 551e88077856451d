"""What is compared: which operation, on which shapes, with which libraries.

Shapes are (M, K, N): squares, what inference meets (a few rows against large weights) and odd ones that end
in the middle of every tile. `quick` is a sample of a suite that still has each kind.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

Shape = tuple[int, ...]

#: (K, N) of the dense layers of small and large transformers.
LAYERS = (
    (384, 384),
    (384, 1536),
    (1536, 384),
    (768, 768),
    (768, 3072),
    (3072, 768),
    (4096, 4096),
    (4096, 11008),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Operations that are a dense layer: relu(x @ W + b).
LAYER = ("linear", "int8")
BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Case:
    """One thing to time."""

    #: product; fresh: a product without out=; linear: with bias and ReLU; int8: the same; integer; relu
    operation: str
    dtype: str
    shape: Shape

    @property
    def name(self) -> str:
        """The shape, as tables show it."""
        return " x ".join(map(str, self.shape))

    @property
    def flops(self) -> int:
        """Floating-point operations of one call, a multiply-add being two."""
        if self.operation == "relu":
            return math.prod(self.shape)
        rows, inner, columns = self.shape
        return 2 * rows * columns * (inner + (self.operation in LAYER))

    @property
    def bytes(self) -> int:
        """Bytes that one call cannot but move."""
        if self.operation == "relu":
            return 2 * BYTES[self.dtype] * math.prod(self.shape)
        rows, inner, columns = self.shape
        return BYTES[self.dtype] * (rows * inner + inner * columns + rows * columns)


@dataclass(frozen=True)
class Suite:
    """One operation on many shapes."""

    name: str
    title: str
    operation: str
    dtype: str
    unit: str  # GFLOP/s, GB/s, or ns: the time of a call
    shapes: tuple[Shape, ...]
    quick: tuple[Shape, ...]
    peers: tuple[str, ...]
    threads: tuple[int, ...] | None = None  # only these numbers of threads

    def cases(self, quick: bool = False, shapes: Sequence[Shape] | None = None) -> list[Case]:
        """List what is timed; `shapes` are taken instead of the suite's own.

        Raises ValueError for a shape with the wrong number of dimensions.
        """
        chosen = shapes or (self.quick if quick else self.shapes)
        dimensions = len(self.shapes[0])
        for shape in chosen:
            if len(shape) != dimensions:
                text = "x".join(map(str, shape))
                raise ValueError(f"{self.name} takes shapes of {dimensions} numbers, not {text}")
        return [Case(self.operation, self.dtype, shape) for shape in chosen]

    def rate(self, case: Case, seconds: float) -> float:
        """Return what a time means in the suite's unit."""
        if self.unit == "ns":
            return seconds * 1e9
        return (case.bytes if self.unit == "GB/s" else case.flops) / seconds / 1e9


def squares(*sizes: int) -> tuple[Shape, ...]:
    """Return square products.

    >>> squares(2, 3)
    ((2, 2, 2), (3, 3, 3))
    """
    return tuple((size, size, size) for size in sizes)


def inference(rows: Sequence[int], layers: Sequence[tuple[int, int]]) -> tuple[Shape, ...]:
    """Return products of few rows with the weights of dense layers, those of one weight together.

    >>> inference((1, 8), ((384, 1536),))
    ((1, 384, 1536), (8, 384, 1536))
    """
    return tuple((m, k, n) for (k, n), m in product(layers, rows))


_ODD = ((1, 1, 1), (7, 13, 5), (127, 129, 131), (1000, 1, 1000), (1, 100_000, 1), (33, 17, 4095))
_FLAT = tuple(sorted((*range(1024, 6145, 512), 2040, 2056, 4088, 4104)))
_PRODUCT_PEERS = ("numpy", "torch", "onnxruntime", "openvino", "jax")


def _suites(*suites: Suite) -> dict[str, Suite]:
    return {suite.name: suite for suite in suites}


SUITES: dict[str, Suite] = _suites(
    Suite(
        "float32",
        "product, float32",
        *("product", "float32", "GFLOP/s"),
        shapes=squares(16, 32, 64, 128, 256, 512, 1024, 2048, 4096) + inference(ROWS, LAYERS) + _ODD,
        quick=squares(64, 256, 1024)
        + inference((1, 8, 128), ((384, 384), (768, 3072)))
        + inference((1, 32), ((4096, 4096),))
        + ((127, 129, 131), (1, 100_000, 1)),
        peers=(*_PRODUCT_PEERS, "numkong"),
    ),
    Suite(
        "linear",
        "dense layer: relu(x @ W + b), weights known ahead, float32",
        *("linear", "float32", "GFLOP/s"),
        shapes=squares(256, 512, 1024, 2048) + inference(ROWS, LAYERS),
        quick=squares(512) + inference((1, 8, 128), ((384, 384), (768, 3072))),
        peers=("torch", "onnxruntime", "openvino", "jax"),
    ),
    Suite(
        "float64",
        "product, float64",
        *("product", "float64", "GFLOP/s"),
        shapes=squares(16, 32, 64, 128, 256, 512, 1024, 2048) + inference((1, 8, 32, 128), LAYERS[:6]),
        quick=squares(64, 256, 768) + inference((1, 32), ((768, 3072),)),
        peers=("numpy", "torch", "onnxruntime", "jax"),
    ),
    Suite(
        "bfloat16",
        "product, bfloat16",
        *("product", "bfloat16", "GFLOP/s"),
        shapes=squares(256, 512, 1024, 2048, 4096) + inference((1, 8, 128), ((768, 3072), (4096, 4096))),
        quick=squares(256, 1024) + inference((1, 8, 128), ((768, 3072),)),
        peers=("torch", "numkong"),
    ),
    Suite(
        "int8",
        "dense layer in int8, float32 in and out: relu(x @ W + b), weights int8, x quantized in the call",
        *("int8", "float32", "GOP/s"),
        shapes=squares(256, 512, 1024, 2048) + inference(ROWS, LAYERS),
        quick=squares(512) + inference((1, 8, 128), ((384, 384), (768, 3072))),
        peers=("torch", "onnxruntime", "openvino"),
    ),
    Suite(
        "integer",
        "bare product of int8, exact in int32, weights known ahead",
        *("integer", "int8", "GOP/s"),
        shapes=squares(256, 512, 1024, 2048) + inference(ROWS, LAYERS),
        quick=squares(512) + inference((1, 8, 128), ((384, 384), (768, 3072))),
        peers=("torch", "onnxruntime"),
    ),
    Suite(
        "relu",
        "ReLU, float32",
        *("relu", "float32", "GB/s"),
        shapes=tuple((10**exponent,) for exponent in range(3, 9)),
        quick=tuple((10**exponent,) for exponent in range(3, 8)),
        peers=("numpy", "torch"),
    ),
    Suite(
        "overhead",
        "what a call costs: a product of 4 x 4 without out=, float32",
        *("fresh", "float32", "ns"),
        shapes=squares(4),
        quick=squares(4),
        peers=("numpy", "torch"),
    ),
    Suite(
        "flat",
        "how even our product is over sizes, float32",
        *("product", "float32", "GFLOP/s"),
        shapes=squares(*_FLAT),
        quick=squares(1024, 1536, 2040, 2048, 2056),
        peers=(),
        threads=(1,),
    ),
)
#: What is run when no suite is named: the whole float suite.
DEFAULT = ("float32", "linear", "float64")


def parse_shape(text: str) -> Shape:
    """Read a shape.

    >>> parse_shape("7x13x5")
    (7, 13, 5)

    Raises ValueError for anything but positive numbers with x between them.
    """
    parts: list[Any] = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"a shape is positive numbers with x between them, as 7x13x5; not {text!r}")
    return tuple(map(int, parts))
