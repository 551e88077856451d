"""Step 6: kernels on int8 codes. Scales of powers of two make every value exact, and every mistake plain."""

from typing import Any

import numpy as np

from tinytorch.course.checks import by_hand, comparing, products
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Call, Probe, Subject, WrongError

_ROUND = "To the nearest code, and from the middle between two to the even one: 0.5 to 0, 1.5 to 2, 2.5 to 2."
_SATURATE = "A code that does not fit becomes the nearest that does. As what type is it compared with 127?"
_LOWEST = "int8 reaches from -128 to 127; the contract (ONNX's QuantizeLinear) uses all of it."
#: Of a loop in the interpreter. A compiled one takes a hundredth; one that starts threads on a busy machine,
#: and waits for all of them, a fifth.
_COMPILED = 0.5


@exercise(step=6, points=4)
def quantize(learner: Subject, rng: np.random.Generator) -> None:
    """Values as int8 codes that saturate."""
    for dtype in (np.float32, np.float64):
        scale = float(rng.choice([0.25, 0.03125, 4.0]))
        codes = rng.integers(-120, 120, (int(rng.integers(9, 20)), 7))
        x = ((codes + rng.uniform(-0.45, 0.45, codes.shape)) * scale).astype(dtype)
        _codes(learner, f"quantize of {np.dtype(dtype)}, scale {scale:g},", x, scale, _ROUND)
        ties = ((rng.permutation(np.arange(-100, 100)) + 0.5) * scale).astype(dtype)
        _codes(learner, "quantize of values in the middle between two codes", ties, scale, _ROUND)
        edges = (np.array([127, -128, -127, 127.25, -128.25, -128.5, 126.75]) * scale).astype(dtype)
        _codes(learner, "quantize of values at the ends of int8", edges, scale, _LOWEST)
        beyond = (rng.uniform(127.6, 1000, 40) * rng.choice([-1, 1], 40) * scale).astype(dtype)
        _codes(learner, "quantize of values beyond all codes", beyond, scale, _SATURATE)
        far = np.array([1e6, -1e6, 3e9, -3e9, 1e20, -1e20], dtype)
        _codes(learner, "quantize of values far beyond all codes", far, scale, _SATURATE)
    turned = rng.integers(-100, 100, (6, 11)).astype(np.float32).T
    _codes(learner, "quantize of a transposed x", turned, 2.0, "The result has x's shape.")
    _bad(learner, "quantize", rng.standard_normal(20).astype(np.float32))


def _reference(x: Any, scale: float) -> np.ndarray:
    return np.clip(np.rint(np.asarray(x, np.float64) / scale), -128, 127).astype(np.int8)


def _codes(learner: Subject, what: str, x: np.ndarray, scale: float, hint: str) -> None:
    expected = _reference(x, scale)
    found = comparing.called(learner, what, "quantize", x, scale)
    found = comparing.array(what, found, x.shape, np.int8, _CODES)
    with np.errstate(invalid="ignore"):
        times = np.asarray(x, np.float64) * scale
    if scale != 1 and (found == _reference(times, 1.0)).all() and (found != expected).any():
        raise WrongError(f"{what} multiplies by the scale", "scale is the step between two codes.")
    comparing.equal(what, found, expected, hint)


_CODES = "Codes are int8: a byte each, which is what makes the kernel fast."


def _bad(learner: Subject, name: str, x: np.ndarray, *others: np.ndarray) -> None:
    """Require ValueError for values and for scales that have no codes."""
    for value in (np.nan, np.inf, -np.inf):
        wrong = x.copy()
        wrong.flat[x.size // 2] = value
        _refused(learner, f"{value} in the data", _FINITE, name, wrong, *others, 0.5)
    for scale in (0.0, -0.5, np.nan, np.inf):
        _refused(learner, f"a scale of {scale}", _SCALE, name, x, *others, float(scale))


_FINITE = (
    "np.isfinite is false of NaN and of both infinities; but under @njit(fastmath=True) the compiler takes "
    "it for granted that there are none."
)
_SCALE = "A step between codes is a positive number, and finite; of NaN every comparison is false."


def _refused(learner: Subject, why: str, hint: str, name: str, *args: Any) -> None:
    comparing.raises(learner, ("ValueError",), why, name, *args, otherwise=hint)


@exercise(step=6, points=6)
def quantized_matmul(learner: Subject, rng: np.random.Generator) -> None:
    """A matrix product of int8 codes, summed in int32."""
    name = "quantized_matmul"
    m, k, n = (int(number) for number in rng.permutation(np.arange(5, 30))[:3])
    a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((m, k), (k, n)))
    _product(
        learner, "of small integers", a[:, :1], b[:1], 1.0, 1.0, "C[i, j] sums over k: A[i, k] * B[k, j]."
    )
    a, b = (rng.integers(-128, 128, shape).astype(np.float32) for shape in ((m, k), (k, n)))
    _product(learner, "of integers", a, b, 1.0, 1.0, _SUMS)
    found = learner.call(name, a, b)
    comparing.equal(f"{name}(A, B) without scales", found, a @ b, "Both scales are 1 unless given.")
    # Of these, no two ways to rescale wrongly come to the same.
    scale_a, scale_b = rng.permutation([[2.0**-2, 2.0**-5], [2.0**3, 2.0**-7]][rng.integers(2)]).tolist()
    a, b = a * np.float32(scale_a), b * np.float32(scale_b)
    _product(learner, f"with scales {scale_a:g} and {scale_b:g}", a, b, scale_a, scale_b, _RESCALE)
    a = ((rng.integers(-120, 120, a.shape) + rng.uniform(-0.45, 0.45, a.shape)) * scale_a).astype(np.float32)
    _product(
        learner, "of values between the codes", a, b, scale_a, scale_b, "Quantize both by your `quantize`."
    )
    a[0, 0], b[-1, -1], b[0, 0] = 500 * scale_a, -1000 * scale_b, 1e12
    _product(
        learner,
        "of values beyond all codes",
        a,
        b,
        scale_a,
        scale_b,
        "Quantize both by your `quantize`: saturate.",
    )
    _product(
        learner, "of transposed A and B", a.T.copy().T, b.T.copy().T, scale_a, scale_b, "Any layout will do."
    )
    _long_sums(learner, rng)
    _bad(learner, name, rng.standard_normal((4, 3)).astype(np.float32), np.ones((3, 2), np.float32))
    ones = np.ones((4, 3), np.float32), np.ones((3, 2), np.float32)
    _refused(learner, "a scale_B of 0", _SCALE, name, *ones, 1.0, 0.0)
    products.mismatch(learner, name, a, np.ones((k + 1, n), np.float32), "inner dimensions that differ")
    by_hand.loops(learner, name)
    big = [rng.integers(-128, 128, (96, 96)).astype(np.float32) for _ in range(2)]
    ratio = learner.ratio(Call(name, (*big,)), Call(Probe("product_in_python"), (*big,)))
    for given, found in ratio.seen:
        left, right = (_reference(one, 1.0).astype(np.float32) for one in given)
        comparing.equal(f"{name}, called again and again,", found, left @ right)
    if ratio.value > _COMPILED:
        raise WrongError(
            f"{name} takes {ratio.value:.2g} of the time of loops in the interpreter",
            "Which of its loops are not under @njit?",
        )


_SUMS = (
    "One product of codes reaches 16384, a sum of some of them more than 16 bits hold: what type has the "
    "accumulator? And what type has a product of two int8 where you compute it?"
)
_RESCALE = "a is near scale_A times its code, b near scale_B times its: what is a * b near?"


def _product(
    learner: Subject, words: str, a: np.ndarray, b: np.ndarray, scale_a: float, scale_b: float, hint: str
) -> None:
    """Require an exact product: all numbers in it are small enough for float32."""
    what = f"quantized_matmul {words}"
    found = comparing.called(learner, what, "quantized_matmul", a, b, scale_a, scale_b)
    sums = _reference(a, scale_a).astype(np.float64) @ _reference(b, scale_b).astype(np.float64)
    found = comparing.array(what, found, sums.shape, np.float32, "Rescaled results are values: float32.")
    expected = sums * scale_a * scale_b
    for told, factor in (
        ("is not rescaled", 1.0),
        ("is rescaled by scale_A alone", scale_a),
        ("is rescaled by scale_B alone", scale_b),
        ("is divided by the scales", 1 / (scale_a * scale_b)),
        ("is rescaled twice", (scale_a * scale_b) ** 2),
        ("is rescaled by scale_B twice", scale_a * scale_b**2),
        ("is rescaled by scale_A twice", scale_a**2 * scale_b),
    ):
        if factor != scale_a * scale_b and np.array_equal(found, sums * factor):
            raise WrongError(f"{what} {told}", _RESCALE)
    comparing.equal(what, found, expected.astype(np.float32), hint)


def _long_sums(learner: Subject, rng: np.random.Generator) -> None:
    """Require sums that pass 2^24 on the way and come back: float32 loses their last bits."""
    k = 2 * int(rng.integers(10_000, 20_000))
    a, b = (rng.integers(90, 128, shape) for shape in ((2, k), (k, 3)))
    b[k // 2 :] *= -1
    a, b = a.astype(np.float32), b.astype(np.float32)
    found = learner.call("quantized_matmul", a, b)
    comparing.equal(
        f"quantized_matmul of {k} products a sum",
        found,
        (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32),
        "The sum passes 2^24 on the way, beyond which float32 has no odd numbers. Integers in, integers "
        "summed: make the accumulator int32, and float32 only of the result.",
    )


@exercise(step=6, points=3)
def quantized_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU of int8 codes, given back as values."""
    name = "quantized_relu"
    codes = rng.integers(-128, 128, (int(rng.integers(8, 15)), 6))
    for scale in (1.0, 0.25, 16.0):
        x = (codes * scale).astype(np.float32)
        found = learner.call(name, x, scale)
        what = f"{name} of multiples of the scale, {scale:g},"
        found = comparing.array(what, found, x.shape, np.float32, "Codes times scale are values: float32.")
        if scale != 1 and np.array_equal(found, np.maximum(codes, 0)):
            raise WrongError(f"{what} returned the codes", "A code times the scale is the value.")
        comparing.equal(what, found, np.maximum(x, 0), "Negative codes become 0; the rest keep their value.")
        rough = ((codes + rng.uniform(-0.45, 0.45, codes.shape)) * scale * 1.5).astype(np.float32)
        comparing.equal(
            f"{name} of values between and beyond the codes, scale {scale:g},",
            learner.call(name, rough, scale),
            (np.maximum(_reference(rough, scale), 0) * scale).astype(np.float32),
            "Quantize first, by your `quantize`, then compare codes with 0.",
        )
    x = codes.astype(np.float32)
    comparing.equal(
        f"{name}(x) without a scale", learner.call(name, x), np.maximum(x, 0), "The scale is 1 then."
    )
    _bad(learner, name, x)
    big = rng.integers(-128, 128, 100_000).astype(np.float32)
    ratio = learner.ratio(Call(name, (big,)), Call(Probe("relu_in_python"), (big,)))
    for (given,), found in ratio.seen:
        expected = np.maximum(_reference(given, 1.0), 0).astype(np.float32)
        comparing.equal(f"{name}, called again and again,", found, expected)
    if ratio.value > _COMPILED:
        raise WrongError(
            f"{name} takes {ratio.value:.2g} of the time of a loop in the interpreter",
            "Compile the loop over the codes, and look at what is done once per element outside.",
        )
