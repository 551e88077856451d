"""Step 3: what a load costs, and a product whose loops are blocked for it."""

import numpy as np

from tinytorch.course.checks import by_hand, comparing, products
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Call, Probe, Subject, WrongError


@exercise(step=3, points=3)
def random_cycle(learner: Subject, rng: np.random.Generator) -> None:
    """A random way through all places, and back."""
    seed, n = int(rng.integers(1 << 30)), int(rng.integers(2000, 3000))
    for size in (n, 3, 2, 1):
        _require_cycle(_cycle(learner, size, seed))
    first = _cycle(learner, n, seed)
    if (first == _cycle(learner, n, seed + 1)).all():
        raise WrongError(
            "two generators of different seeds give the same cycle", "Draw from the rng that is given."
        )
    if (first != _cycle(learner, n, seed)).any():
        raise WrongError(
            "two generators of one seed give different cycles",
            "Draw from the rng that is given, and from nothing else.",
        )
    steps = (first - np.arange(n)) % n
    if np.bincount(steps).max() > n // 10:
        raise WrongError(
            f"{np.bincount(steps).max()} of {n} steps go the same distance",
            "The hardware foresees even steps, and fetches ahead of you. Mix the order well.",
        )


def _cycle(learner: Subject, n: int, seed: int) -> np.ndarray:
    what = f"random_cycle({n}, rng)"
    found = comparing.called(learner, what, "random_cycle", n, Probe("generator", (seed,)))
    hint = "An array of n successors, np.int64: chase looks them up in it."
    return comparing.array(what, found, (n,), np.int64, hint)


def _require_cycle(successor: np.ndarray) -> None:
    n = len(successor)
    outside = (successor < 0) | (successor >= n)
    if outside.any():
        raise WrongError(f"of {n} places one leads to {successor[outside][0]}, outside of 0 to {n - 1}")
    place, length = int(successor[0]), 1
    while place and length <= n:
        place, length = int(successor[place]), length + 1
    if place:
        raise WrongError(
            f"from 0 the way through {n} places never comes back: two places lead to the same one",
            "Each place is the successor of exactly one other.",
        )
    if length < n:
        raise WrongError(
            f"from 0 the way comes back after {length} steps, should pass all {n} places",
            "A random permutation falls into several cycles: link the places into one.",
        )


@exercise(step=3, points=3)
def chase(learner: Subject, rng: np.random.Generator) -> None:
    """Loads that wait for each other."""
    n = int(rng.integers(2000, 3000))
    order = rng.permutation(n)
    successor = np.empty(n, np.int64)
    successor[order] = np.roll(order, -1)
    for steps in (0, 1, 2, int(rng.integers(10, 1000)), n, n + 5):
        found = learner.call("chase", successor, steps)
        if isinstance(found, float | str | bool) or np.shape(found) != () or found is None:
            raise WrongError(
                f"chase returned {comparing.told(found)}, should return the place reached",
                "It is one integer, the last successor that was looked up: no float, no array, no way there.",
            )
        expected = _reached(successor, steps)
        if found != expected:
            raise WrongError(
                f"after {steps} steps from 0 it is at {comparing.told(found)}, should be at {expected}",
                "Begin at place 0; one step is place = successor[place]; return the place.",
            )
    by_hand.loops(learner, "chase")
    ratio = learner.ratio(
        Call("chase", (successor, 50_000)), Call(Probe("chase_in_python"), (successor, 50_000))
    )
    for (_, steps), found in ratio.seen:
        expected = _reached(successor, steps)
        if np.ndim(found) or found != expected:
            raise WrongError(
                f"after {steps} steps, called again and again, it is at {comparing.told(found)}, "
                f"should be at {expected}"
            )
    if ratio.value > 0.5:
        raise WrongError(
            f"it takes {ratio.value:.2g} of the time of a loop in the interpreter",
            "Interpreting a step takes longer than any cache: put the loop under @njit.",
        )


def _reached(successor: np.ndarray, steps: int) -> int:
    place = 0
    for _ in range(steps):
        place = int(successor[place])
    return place


_NAME = "cache_friendly_matmul"


@exercise(step=3, points=8)
def cache_friendly_matmul(learner: Subject, rng: np.random.Generator) -> None:
    """A product whose loops are blocked."""
    by_hand.loops(learner, _NAME)
    rows, inner, columns = (int(n) * 8 for n in rng.integers(3, 6, 3))
    A, B = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
    _blocks(learner, A, B, 8)
    off = rng.integers(1, 8, 3)
    A, B = A[off[0] :, : -off[1]].copy(), B[: -off[1], off[2] :].copy()
    _blocks(learner, A, B, 8)
    for block in (1, 7, 100):
        products.values(learner, _NAME, A, B, f", block_size={block}", block_size=block)
    products.values(learner, _NAME, A, B, " with its default block_size")
    A32, B32 = A.astype(np.float32), B.astype(np.float32)
    products.values(learner, _NAME, A32, B32, "")
    products.values(learner, _NAME, np.asfortranarray(A), B, ", the first a transposed view")
    products.mismatch(learner, _NAME, A[:, :-3].copy(), B, "inner dimensions that differ")
    products.mismatch(learner, _NAME, A, B[:-2].copy(), "inner dimensions that differ")
    products.compiled(learner, _NAME, rng)
    _blocked(learner, rng)


def _blocks(learner: Subject, A: np.ndarray, B: np.ndarray, block: int) -> None:
    """Require right values, also where blocks are cut off; what is missing is looked for by name."""
    try:
        products.values(learner, _NAME, A, B, f", block_size={block}", block_size=block)
    except WrongError as error:
        found = learner.call(_NAME, A, B, block_size=block)
        if not isinstance(found, np.ndarray) or found.shape != (len(A), B.shape[1]):
            raise
        if np.allclose(found, A @ B):  # this time: what was in memory differs
            raise
        if missing := _missing(found, A, B, block):
            raise WrongError(f"{error}: {missing}", _EDGE) from None
        raise


def _missing(found: np.ndarray, A: np.ndarray, B: np.ndarray, block: int) -> str:
    """Say what a product lacks; empty if that is none of what blocks leave out."""
    rows, inner, columns = *A.shape, B.shape[1]
    inside = np.s_[: rows - rows % block, : columns - columns % block]
    last = (inner - 1) // block * block
    partial = ", partial" * bool(inner % block)
    for what, wanted in (
        (f"the last{partial} block of the inner dimension is left out", A[:, :last] @ B[:last]),
        ("only the last block of the inner dimension is there", A[:, last:] @ B[last:]),
    ):
        if np.allclose(found[inside], wanted[inside]):
            return what
    if np.allclose(found[inside], (A @ B)[inside]):
        return "blocks at the lower or right edge are left out"
    kept, corner = np.arange(inner) % block != block - 1, np.s_[: block - 1, : block - 1]
    untouched = not found[block - 1].any() or not found[:, block - 1].any()
    if untouched or np.allclose(found[corner], (A[:, kept] @ B[kept])[corner]):
        return "the last place of each block is left out"
    return ""


_EDGE = (
    "A block ends before min(start + block_size, the end), as range and slices do, and every block of k is "
    "added to what is there."
)


def _blocked(learner: Subject, rng: np.random.Generator) -> None:
    """Require that the block size is made use of: blocks of 1 leave nothing but the overhead of blocks."""
    A, B = rng.standard_normal((120, 120)), rng.standard_normal((120, 120))
    ratio = learner.ratio(
        Call(_NAME, (A, B), {"block_size": 1}), Call(_NAME, (A, B), {"block_size": 40}), rounds=9
    )
    for (left, right), found in ratio.seen:
        comparing.close(f"{_NAME}, called again and again,", found, left @ right, 1e-10, np.float64)
    comparing.close(f"{_NAME} after it was timed", ratio.second, A @ B, 1e-10, np.float64)
    if ratio.value < 1.2:
        raise WrongError(
            f"with block_size=1 it takes {ratio.value:.2f} of the time of block_size=40: the size of "
            "a block makes no difference",
            "Outer loops go from block to block in steps of block_size, inner ones over a block's elements.",
        )


#: A busy machine may disturb what is not disturbed on purpose. Who goes by the mean, or by the first call, is
#: wrong each time.
_TRIES = 3


@exercise(step=3, points=3)
def best_block_size(learner: Subject, rng: np.random.Generator) -> None:
    """Find the block size that is fastest here, by measuring."""
    A, B = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    candidates = [int(n) for n in rng.permutation([8, 16, 32, 64, 128])[:4]]
    for best in (candidates[0], candidates[-1], candidates[1]):
        found = None
        for _ in range(_TRIES):
            found = learner.call("best_block_size", Probe("unsteady_product", (best,)), A, B, candidates)
            number = isinstance(found, int | float | np.ndarray) and not isinstance(found, bool)
            if not number or np.ndim(found) or found not in candidates:
                raise WrongError(
                    f"it returned {comparing.told(found)}, should return one of the candidates {candidates}",
                    "The candidate itself, neither its time nor its place in the list.",
                )
            if found == best:
                break
        else:
            raise WrongError(
                f"of {candidates} it chose {comparing.told(found)}, where {best} takes a third of the time "
                "of the others, but for its first call and a disturbed one now and then",
                "Call once to warm up; then time several calls of each, and compare their medians.",
            )
