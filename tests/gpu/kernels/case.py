"""A kernel with a launch, and what NumPy says that it must compute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.frontends.compiled import Compiled

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    name: str
    compile: Callable[..., Compiled]  # compile(arch="sm_90"); the arrays are made anew, always the same
    expected: Callable[[Mapping[str, Array]], Mapping[str, Array]]  # arrays before the launch: those written
    tolerance: float = 0.0  # relative and absolute; 0: equal

    def arrays(self, compiled: Compiled) -> dict[str, Array]:
        return {a.name: a.value for a in compiled.arguments if isinstance(a.value, np.ndarray)}


def rng() -> np.random.Generator:
    return np.random.default_rng(13)


def floats(*shape: int) -> Array:
    return rng().standard_normal(shape).astype(np.float32)
