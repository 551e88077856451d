"""What an `einsum` computes: each contraction on the path that NumPy takes.

A contraction of k operands visits every combination of its indices once: k - 1 multiplications there, and one
addition if an index is summed. A product M x K by K x N is then 2 M N K, an outer product M N, a convolution
over windows exactly its multiply-adds. One operand alone is a sum: n - 1 additions for n elements into one.
"""

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Labels = tuple[Hashable, ...]


@dataclass(frozen=True)
class Contraction:
    """One step of a path: its operations, and the elements of intermediate results it reads and writes."""

    operations: int
    read: int
    written: int


def contractions(operands: Sequence[Any], optimize: Any = False) -> list[Contraction]:
    """Return the contractions of `np.einsum(*operands, optimize=optimize)`, in their order.

    >>> a, b = np.zeros((2, 3)), np.zeros((3, 5))
    >>> [step.operations for step in contractions(["ij,jk->ik", a, b])]
    [60]
    """
    arrays, inputs, output = _parse(operands)
    extents: dict[Hashable, int] = {}
    for labels, array in zip(inputs, arrays, strict=True):
        for label, extent in zip(labels, array.shape, strict=True):
            if extents.get(label, 1) == 1:  # a dimension of 1 goes with any other
                extents[label] = extent
    path: list[tuple[int, ...]] = [tuple(range(len(inputs)))]
    if optimize is not False and len(inputs) > 2:
        path = [tuple(step) for step in np.einsum_path(*operands, optimize=optimize)[0][1:]]
    terms = [(labels, False) for labels in inputs]  # whether it is an intermediate result
    steps = []
    for taken in path:
        chosen = [terms.pop(i) for i in sorted(taken, reverse=True)]
        kept = set(output).union(*(labels for labels, _ in terms))
        here = dict.fromkeys(label for labels, _ in chosen for label in labels)
        result: Labels = tuple(label for label in here if label in kept) if terms else output
        visited, results = _size(here, extents), _size(result, extents)
        if len(chosen) == 1:
            operations = max(0, _size(here, extents) - results)
        else:
            operations = visited * (len(chosen) - 1 + (len(here) > len(set(result))))
        read = sum(_size(labels, extents) for labels, made in chosen if made)
        steps.append(Contraction(operations, read, results if terms else 0))
        terms.append((result, True))
    return steps


def _size(labels: Any, extents: dict[Hashable, int]) -> int:
    return math.prod(extents[label] for label in labels)


def _parse(operands: Sequence[Any]) -> tuple[list[Any], list[Labels], Labels]:
    """Return the arrays, the labels of each and those of the result, with every ellipsis written out."""
    if isinstance(operands[0], str):
        text, *arrays = operands
        left, arrow, right = text.replace(" ", "").partition("->")
        written: list[Any] = [_letters(term) for term in left.split(",")]
        last: Any = _letters(right) if arrow else None
    else:
        arrays, written = list(operands[0::2]), list(operands[1::2])
        last = None
        if len(operands) % 2:  # op0, labels0, op1, labels1, ..., labels of the result
            last = list(arrays.pop())
    arrays = [np.asanyarray(array) for array in arrays]
    inputs, spread = [], 0
    for labels, array in zip(written, arrays, strict=True):
        hidden = array.ndim - (len(labels) - 1) if Ellipsis in labels else 0
        spread = max(spread, hidden)
        inputs.append(_expand(labels, hidden))
    if last is not None:
        return arrays, inputs, _expand(last, spread)
    counts: dict[Hashable, int] = {}
    for label in itertools.chain.from_iterable(written):
        counts[label] = counts.get(label, 0) + 1
    single = sorted(label for label, times in counts.items() if times == 1 and label is not Ellipsis)  # type: ignore[type-var]
    return arrays, inputs, _expand([Ellipsis, *single] if spread else single, spread)


def _letters(term: str) -> list[Any]:
    letters: list[Any] = []
    for i, part in enumerate(term.split("...")):
        letters += [Ellipsis, *part] if i else part
    return letters


def _expand(labels: Sequence[Any], hidden: int) -> Labels:
    """Write an ellipsis of `hidden` dimensions out, counted from the right as broadcasting does."""
    full: list[Hashable] = []
    for label in labels:
        full += [("ellipsis", i) for i in range(-hidden, 0)] if label is Ellipsis else [label]
    return tuple(full)
