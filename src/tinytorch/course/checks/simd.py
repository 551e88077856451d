"""Step 2: elementwise kernels as compiled loops, and their machine code."""

from collections.abc import Collection
from typing import Any

import numpy as np

from tinytorch.course.checks import by_hand, comparing, products
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Call, Other, Probe, Subject, WrongError

#: Functions of NumPy's that would be the kernel, by the last part of their names.
_FIVE = ("multiply", "add", "subtract", "square", "power", "sum", "norm", "hypot", "cumsum", "reduce", "mean")
#: Of the time of a ReLU in the interpreter: compiled kernels take a hundredth, on a busy machine a tenth.
_COMPILED = 0.5


@exercise(step=2, points=6)
def vectorized_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU as a compiled loop."""
    by_hand.loops(learner, "vectorized_relu", by_hand.RELUS)
    x = rng.standard_normal((int(rng.integers(30, 50)), 7)).astype(np.float32)
    for given, words, hint in (
        (x, "of float32", _EACH),
        (x.astype(np.float64), "of float64", _EACH),
        (np.asfortranarray(x), "of an array in Fortran order", _ORDER),
        (x[:, ::2], "of every other column", _ORDER),
        (x[0], "of one dimension", _SHAPES),
        (x[:0], "of an empty array", _SHAPES),
    ):
        _relu(learner, given, words, hint)
    x[3, 2] = np.nan
    _relu(
        learner,
        x,
        "with a NaN in x",
        "Which way does a comparison with NaN go? Ask `x < 0`, so that NaN falls through and stays.",
    )
    x[4, 1], x[5, 3] = -np.inf, np.inf
    _relu(learner, x, "with infinities in x", "-inf * 0 is NaN: choose a value, do not multiply by 0 or 1.")
    big = rng.standard_normal(200_000).astype(np.float32)
    ratio = learner.ratio(Call("vectorized_relu", (big,)), Call(Probe("relu_in_python"), (big,)))
    for (given,), found in ratio.seen:
        comparing.equal("vectorized_relu(x), called again and again,", found, np.maximum(given, 0))
    if ratio.value > _COMPILED:
        raise WrongError(
            f"it takes {ratio.value:.2g} of the time of a loop in the interpreter",
            "Is the loop compiled? Put it under @njit, and look for what is done once per element outside.",
        )


_EACH = "max(0, x) at every place, in the dtype and shape of x: np.empty holds whatever was there before."
_ORDER = (
    "reshape(-1) is a view of an array in C order only, and a copy of any other: np.empty(x.shape, x.dtype) "
    "is in C order, np.empty_like(x) in that of x."
)
_SHAPES = "x has any number of dimensions, and maybe no element: a loop over all of them flat suits each."


def _relu(learner: Subject, x: np.ndarray, words: str, hint: str) -> None:
    learner.call(Probe("soiled"), x.nbytes)
    what = f"vectorized_relu(x) {words}"
    comparing.equal(what, comparing.called(learner, what, "vectorized_relu", x), np.maximum(x, 0), hint)


@exercise(step=2, points=6)
def vectorized_operations(learner: Subject, rng: np.random.Generator) -> None:
    """Five results of two arrays from one compiled pass."""
    by_hand.loops(learner, "vectorized_operations", _FIVE)
    shape = (int(rng.integers(20, 40)), 9)
    x, y = rng.standard_normal(shape), rng.standard_normal(shape)
    single = x.astype(np.float32), y.astype(np.float32)
    for given, words in (
        ((x, y), "of float64"),
        (single, "of float32"),
        ((x, np.asfortranarray(y)), "of x in C order and y in Fortran order"),
    ):
        learner.call(Probe("soiled"), x.nbytes)
        _five(learner.call("vectorized_operations", *given), given[0], given[1], words)
    for other in (y[:-1].copy(), y[:, :1].copy()):
        error = comparing.raises(
            learner, ("ValueError",), f"shapes {shape} and {other.shape}", "vectorized_operations", x, other
        )
        products.shapes_named("vectorized_operations", error, shape, other.shape)
    big = rng.standard_normal(100_000)
    ratio = learner.ratio(
        Call("vectorized_operations", (big, big[::-1].copy())), Call(Probe("relu_in_python"), (big,))
    )
    for (given, other), found in ratio.seen:
        _five(found, given, other, "when called again and again")
    if ratio.value > _COMPILED:
        raise WrongError(
            f"it takes {ratio.value:.2g} of the time in which the interpreter does a single ReLU",
            "Is the loop compiled? Put it under @njit, and look for what is done once per element outside.",
        )


def _five(found: Any, x: np.ndarray, y: np.ndarray, words: str) -> None:
    a, b, eps = x.astype(np.float64), y.astype(np.float64), np.finfo(x.dtype).eps
    arrays = {
        "element_wise_multiply": a * b,
        "element_wise_add": a + b,
        "squared_difference": (a - b) ** 2,
    }
    distance, dot = np.sqrt(((a - b) ** 2).sum()), (a * b).sum()
    scalars = {
        "euclidean_distance": (distance, x.size * eps * distance),
        "dot_product": (dot, x.size * eps * abs(a * b).sum()),
    }
    keys = [*arrays, *scalars]
    if not isinstance(found, dict) or set(found) != set(keys):
        told = f"the keys {sorted(found)}" if isinstance(found, dict) else comparing.told(found)
        raise WrongError(f"it returned {told}, should be a dict with the keys {keys}")
    for key, expected in arrays.items():
        bound = 4 * eps * (a**2 + b**2 + abs(a) + abs(b))
        hint = (
            "Results have the dtype of the inputs; elements belong together by index, not by place in memory."
        )
        comparing.close(f'"{key}" {words}', found[key], expected, bound, x.dtype, hint)
    for key, (value, bound) in scalars.items():
        number(f'"{key}" {words}', found[key], float(value), float(bound))


def number(what: str, found: Any, expected: float, bound: float) -> None:
    """Require a number, or an array without dimensions, within a bound."""
    if isinstance(found, Other | bool | str) or found is None or np.shape(found) != ():
        raise WrongError(f"{what} is {comparing.told(found)}, should be a single number")
    value = float(found)
    if not abs(value - expected) <= bound:
        raise WrongError(
            f"{what} is {value:.9g}, should be {expected:.9g}",
            "Does the accumulator begin at zero, and is it as precise as the inputs?",
        )


#: Lines as LLVM writes them, with the registers that they use.
_LINES: tuple[tuple[str, Collection[str]], ...] = (
    ("\tvmovups\t(%rcx,%r9,4), %ymm0", {"ymm"}),
    ("\tvaddps\t%ymm1, %ymm2, %ymm15", {"ymm"}),
    ("\tvmulss\t4(%rdx), %xmm0, %xmm0", {"xmm"}),
    ("\tvfmadd231ps\t(%rax,%rcx,4){1to16}, %zmm31, %zmm2", {"zmm"}),
    ("\tvextractf128\t$1, %ymm0, %xmm1", {"xmm", "ymm"}),
    ("\tvextractf64x4\t$1, %zmm10, %ymm1", {"ymm", "zmm"}),
    ("\tfadd\tv0.4s, v1.4s, v17.4s", {"neon"}),
    ("\tfmla\tv31.2d, v2.2d, v3.d[0]", {"neon"}),
    ("\taddq\t$32, %r9", ()),
    ("\tcallq\t*%rax", ()),
    (".LBB0_8:", ()),
    ("\t.size\t_ZN8__main__4reluB2v1B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE, 96", ()),
    ("\t.globl\tzmm_of_the_sum", ()),
    ("", ()),
)


@exercise(step=2, points=3)
def simd_registers(learner: Subject, rng: np.random.Generator) -> None:
    """Count the lines of machine code that use vector registers."""
    lines = [text for text, _ in _LINES]
    everything: list[int] = list(range(len(lines)))
    some = [rng.choice(everything, int(rng.integers(20, 60))).tolist() for _ in range(3)]
    for chosen in ([], *some, everything):
        text = "\n".join(lines[place] for place in chosen)
        expected = {
            width: sum(width in _LINES[place][1] for place in chosen)
            for width in ("xmm", "ymm", "zmm", "neon")
        }
        found = learner.call("simd_registers", text)
        if not isinstance(found, dict) or set(found) != set(expected):
            raise WrongError(
                f"it returned {comparing.told(found)}, should be a dict with the keys xmm, ymm, zmm and neon"
            )
        for width, count in expected.items():
            if np.ndim(found[width]) or found[width] != count:
                raise WrongError(
                    f"{width} is {comparing.told(found[width])} for a text with {count} such lines",
                    _blamed(learner, width),
                )


def _blamed(learner: Subject, width: str) -> str:
    """Return the line that is counted wrongly when it stands alone."""
    for text, widths in _LINES:
        count = int(width in widths)
        found = learner.call("simd_registers", text)
        if isinstance(found, dict) and (np.ndim(found.get(width, 0)) or found.get(width) != count):
            return f"This line counts {count} time{'s' * (count != 1)}: {' '.join(text.split())}"
    return "Each line counts once for each width that it uses."
