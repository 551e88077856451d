"""Instructions made from their names, inputs for them, and runs of them, for the tests of semantics."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st

from tinytorch.gpu.ptx.program import Instruction, Operand, Register
from tinytorch.gpu.ptx.semantics import Value, value_of

R = Register("%r", "b32")


def examples(count: int) -> settings:
    """Return settings for so many examples; what fails names its lane, and need not be made smaller."""
    return settings(deadline=None, max_examples=count, phases=(Phase.explicit, Phase.generate))


def instruction(name: str, *operands: Operand) -> Instruction:
    """Return an instruction of a dotted name; registers are all one, only their number counts."""
    opcode, *modifiers = name.split(".")
    return Instruction(opcode, tuple(modifiers), operands, 1, name)


def covered(name: str, most: int = 5) -> Instruction:
    """Return the instruction of that name with as many registers as it wants."""
    for count in range(2, most + 1):
        try:
            made = instruction(name, *[R] * count)
            value_of(made)
            return made
        except ValueError as error:
            why = error
    raise why


def run(value: Value, *arrays: np.ndarray):
    """Return what a value makes of arrays; garbage in unused lanes must not warn, so nothing does."""
    with np.errstate(all="ignore"):
        return value.apply(*arrays)


def patterns(value: Value, arrays: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """Return what a value makes of arrays, as the bit patterns of each lane's results."""
    results = run(value, *arrays)
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(value.results)
    lanes = np.broadcast_shapes(*(array.shape for array in arrays))
    columns = []
    for result, dtype in zip(results, value.results, strict=True):
        assert result.dtype == np.dtype(dtype)
        assert result.shape == lanes
        columns.append(result.astype("u1") if dtype == "?" else result.view(f"u{dtype[1:]}"))
    return list(zip(*(column.ravel().tolist() for column in columns), strict=True))


def size(dtype: str) -> int:
    return 1 if dtype == "?" else 8 * int(dtype[1:])


def array(dtype: str, bits: Sequence[int]) -> np.ndarray:
    """Return bit patterns as an array of one row."""
    if dtype == "?":
        return np.array([bits], bool)
    return np.array([bits], f"u{dtype[1:]}").view(dtype)


def lanes_of(numbers: "st.SearchStrategy[int]", count: int) -> "st.SearchStrategy[list[int]]":
    return st.lists(numbers, min_size=count, max_size=count)


@cache
def integers(dtype: str) -> "st.SearchStrategy[int]":
    """Return bit patterns of a type, with those at the ends of its range often."""
    bits = size(dtype)
    if bits == 1:
        return st.integers(0, 1)
    ends = [
        0,
        1,
        2,
        2**bits - 1,
        2**bits - 2,
        2 ** (bits - 1),
        2 ** (bits - 1) - 1,
        7,
        31,
        32,
        33,
        63 % 2**bits,
    ]
    return st.one_of(st.sampled_from(ends), st.integers(0, 2**bits - 1))


def inputs(value: Value, numbers, lanes: int = 12):
    """Return a strategy for the bit patterns of each source, for some lanes."""
    return st.tuples(*(lanes_of(numbers(dtype), lanes) for dtype in value.sources))
