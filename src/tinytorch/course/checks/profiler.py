"""Step 7: the roofline; GPU kernels by what their lanes ask of the memory; several GPUs."""

import math
from typing import Any

import numpy as np

from tinytorch.course.checks import comparing, lanes
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import RaisedError, Subject, WrongError

#: How far a number may be from the formula's: its operations can be done in any order.
_CLOSE = 1e-9
_TILE = (
    "Let threadIdx.x move along a row both when reading x and when writing y: a tile in shared memory turns "
    "what lies between."
)


@exercise(step=7, points=3)
def roofline(learner: Subject, rng: np.random.Generator) -> None:
    """The rate that a kernel can reach at most, and which roof holds it."""
    peak, bandwidth = rng.uniform(1e11, 2e11), rng.uniform(1e10, 2e10)
    ridge = peak / bandwidth
    for intensity in (ridge * rng.uniform(0.2, 0.5), ridge * rng.uniform(2, 100)):  # all above 1
        moved = float(rng.integers(10**6, 10**9))
        operations = intensity * moved
        asked = f"roofline({operations:.3g}, {moved:.3g}, {peak:.3g}, {bandwidth:.3g})"
        rate, by = _pair(learner.call("roofline", operations, moved, peak, bandwidth), asked)
        under = bandwidth * intensity
        _formula(
            f"{asked}, the rate",
            rate,
            min(peak, under),
            (max(peak, under), "Both roofs hold: the lower of the two is what can be reached."),
            (
                min(peak, bandwidth * moved / operations),
                "The intensity is operations by bytes: how many operations each byte that moves is good for.",
            ),
            (
                bandwidth,
                "The memory's roof is a rate of operations: the bandwidth times operations by bytes.",
            ),
        )
        right = "compute" if under > peak else "memory"
        if by != right:
            raise WrongError(
                f"{asked} is held by {by!r}, should be {right!r}",
                "Name the roof that is lower at this intensity; the names are 'compute' and 'memory'.",
            )
    asked = f"roofline(1e9, 0.0, {peak:.3g}, {bandwidth:.3g}), of a kernel that moves no bytes,"
    hint = "Memory cannot hold what never goes there."
    try:
        rate, by = _pair(learner.call("roofline", 1e9, 0.0, peak, bandwidth), asked)
    except RaisedError as error:
        raise WrongError(f"{asked} raised {error}", hint) from None
    _formula(f"{asked} the rate", rate, peak, (0.0, hint), (math.inf, "It still has to compute."))
    if by != "compute":
        raise WrongError(f"{asked} is held by {by!r}, should be 'compute'", hint)


def _pair(found: Any, asked: str) -> tuple[float, Any]:
    if not isinstance(found, list | tuple) or len(found) != 2:
        raise WrongError(f"{asked} returned {comparing.told(found)}, not a rate and a name", _PAIR)
    if isinstance(found[0], str):
        raise WrongError(f"{asked} returned {comparing.told(found)}: a name comes first", _PAIR)
    return _number(found[0], asked), found[1]


_PAIR = "Return a pair: first the operations a second, then the name of the roof."


def _number(value: Any, asked: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray) or np.shape(value):
        raise WrongError(f"{asked}: {value!r} is no number", "Does it end with a return?")
    try:
        return float(value)
    except (TypeError, OverflowError):  # a complex number, an integer beyond all floats
        raise WrongError(f"{asked}: {value!r:.60} is no number here") from None


def _formula(asked: str, found: float, expected: float, *mistakes: tuple[float, str]) -> None:
    """Require a number; where it is what a known mistake makes of the inputs, say which."""
    if math.isclose(found, expected, rel_tol=_CLOSE, abs_tol=0.0):
        return
    hint = next((told for made, told in mistakes if math.isclose(found, made, rel_tol=_CLOSE)), "")
    raise WrongError(f"{asked} is {found:.6g}, should be {expected:.6g}", hint)


@exercise(step=7, points=2)
def scale_rows(learner: Subject, rng: np.random.Generator) -> None:
    """A coalesced kernel over two dimensions."""
    x = _matrix(rng)
    factors = rng.standard_normal(len(x)).astype(np.float32)
    found = lanes.run(learner, "scale_rows", _grid(x, (32, 8)), (32, 8), x, factors, np.zeros_like(x))
    comparing.equal(
        "y after scale_rows(x, factors, y)", lanes.result(found, 2), x * factors[:, None], "A factor a row."
    )
    lanes.once(found, 0, "load")
    lanes.once(found, 2, "store")
    lanes.unchanged(found, 0, x)


@exercise(step=7, points=2)
def branch_free(learner: Subject, rng: np.random.Generator) -> None:
    """A kernel whose lanes never part."""
    slope = np.float32(rng.uniform(0.01, 0.3))
    for size in (int(rng.integers(200, 250)), 256):  # with an edge, and without: there nothing may part
        x = rng.standard_normal(size).astype(np.float32)
        found = lanes.run(learner, "branch_free", 2, 128, x, slope, np.zeros_like(x))
        comparing.close(
            f"y after branch_free(x, {slope:.3g}, y)",
            lanes.result(found, 1),
            np.where(x < 0, np.float64(slope) * x, x),
            2e-7 * np.abs(x),
            np.float32,
            "slope * x where x is negative, x elsewhere.",
        )
    lanes.no_divergence(found)


@exercise(step=7, points=4)
def transpose(learner: Subject, rng: np.random.Generator) -> None:
    """A transpose through a tile of shared memory."""
    edges = rng.permutation((40, 48, 56))[:2]  # whole sectors, and tiles that x and y fill differently
    for x in (rng.standard_normal(sides, np.float32) for sides in ((64, 96), tuple(edges))):
        y = np.zeros(x.shape[::-1], np.float32)
        found = lanes.run(learner, "transpose", _grid(x, (32, 32)), (32, 32), x, y)
        beyond = "" if x.shape == (64, 96) else ", which 32 does not divide,"
        comparing.equal(
            f"y after transpose(x, y) of {x.shape[0]} x {x.shape[1]}{beyond}",
            lanes.result(found, 1),
            np.ascontiguousarray(x.T),
            "Which element of x does this thread bring, and which of y does it write? At an edge the two "
            "have bounds of their own.",
        )
        lanes.once(found, 0, "load", _TILE)
        lanes.once(found, 1, "store", _TILE)
        lanes.no_conflicts(found)


@exercise(step=7, points=2)
def bias_relu(learner: Subject, rng: np.random.Generator) -> None:
    """Bias and ReLU in one pass."""
    x = _matrix(rng)
    bias = rng.standard_normal((x.shape[1],), np.float32)
    x[1, 2] = np.nan
    found = lanes.run(learner, "bias_relu", _grid(x, (32, 8)), (32, 8), x, bias, np.zeros_like(x))
    y, expected = lanes.result(found, 2), np.maximum(x + bias, 0)
    numbers = np.where(np.isnan(expected), np.float32(0), y)
    comparing.equal(
        "y after bias_relu(x, bias, y)",
        numbers,
        np.nan_to_num(expected),
        "max(0, x[r, c] + bias[c]): a bias for each column.",
    )
    comparing.equal(
        "y after bias_relu(x, bias, y), with a NaN in x,",
        y,
        expected,
        "The max of a GPU drops a NaN, and `v > 0` is false of it: ask `v < 0`, so that NaN falls through.",
    )
    lanes.once(found, 0, "load")
    lanes.once(found, 2, "store")
    lanes.unchanged(found, 0, x)
    if any(
        "load" in access.kind and tuple(found.arrays)[2] in access.arrays
        for line in found.lines
        for access in line.accesses
    ):
        raise WrongError(
            "it reads y back, which it wrote itself",
            "Between bias and ReLU the value is at hand: keep it in a variable, which is a register.",
        )


def _matrix(rng: np.random.Generator) -> np.ndarray:
    """Return a matrix whose rows are whole sectors, and that no block's sides divide."""
    sides = int(rng.choice((19, 27, 37, 45))), 8 * int(rng.choice((3, 5, 6, 7, 9)))
    return rng.standard_normal(sides, np.float32)


def _grid(x: np.ndarray, block: tuple[int, int]) -> tuple[int, int]:
    """Return the blocks that cover a matrix, columns along x."""
    return -(-x.shape[1] // block[0]), -(-x.shape[0] // block[1])


@exercise(step=7, points=2)
def ring_seconds(learner: Subject, rng: np.random.Generator) -> None:
    """The time of a ring's all-reduce."""
    for gpus in (int(rng.integers(4, 9)), int(rng.integers(16, 100))):
        nbytes, bandwidth = rng.uniform(1e8, 1e9), rng.uniform(1e10, 5e10)
        latency = rng.uniform(0.1, 1) * nbytes / bandwidth / gpus  # so that neither part hides the other
        asked = f"ring_seconds({nbytes:.3g}, {gpus}, {bandwidth:.3g}, {latency:.3g})"
        steps, wire = gpus - 1, nbytes / bandwidth
        _formula(
            asked,
            _number(learner.call("ring_seconds", nbytes, gpus, bandwidth, latency), asked),
            2 * steps * (latency + wire / gpus),
            (2 * steps * wire / gpus, "Every message also takes its latency, however short it is."),
            (2 * gpus * (latency + wire / gpus), "The last GPU is reached after n - 1 steps, not n."),
            (2 * wire, "The last GPU is reached after n - 1 steps; and every message takes its latency."),
            (steps * (latency + wire / gpus), "Once round to add up, and once round to pass on the sums."),
            (
                2 * steps * (latency + wire),
                "A message is a part of the array, one of as many as there are GPUs.",
            ),
            (2 * steps * wire / gpus + latency, "There is a message, and its latency, in every step."),
            (2 * steps * wire / gpus + 2 * latency, "There is a message, and its latency, in every step."),
            (gpus * (latency + wire / gpus), "Once round to add up, once to pass on: n - 1 steps each."),
            (2 * math.ceil(math.log2(gpus)) * (latency + wire), "That is a tree, whose steps send it all."),
            (
                2 * steps * (latency + nbytes / gpus * bandwidth),
                "Bytes by bytes a second are seconds: divide by the bandwidth.",
            ),
        )
    asked = "ring_seconds(1e9, 1, 1e10, 1e-5), of one GPU,"
    alone = _number(learner.call("ring_seconds", 1e9, 1, 1e10, 1e-5), asked)
    if alone != 0:
        raise WrongError(f"{asked} is {alone:.3g}, should be 0", "It has nobody to send to.")
