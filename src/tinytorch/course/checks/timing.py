"""Step 5: samples, the order they are taken in, and what they say.

The functions that a learner times look at their own clock: no check depends on how fast a machine is.
"""

import math
from statistics import median
from typing import Any

import numpy as np

from tinytorch.course.checks import clocks
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Mine, Probe, Subject, WrongError

#: A sample shorter than its call, seen from inside, by more than a step of the clock does not hold the call.
_STEP = 1e-4
#: Pairs of samples drawn for a verdict, and the part of them that may be judged wrongly. Of A against A an
#: interval of 95% calls one in fifteen: more than 24 of 120 has a probability below 1e-6. One of 99%, whose
#: probability is no worth speaking of, is what the step asks for.
_DRAWS = 120
_ALARMS = 0.2
#: In one call: it has to end within the limit of a process.
_AT_ONCE = 20
_SAMPLES = 30


@exercise(step=5, points=4)
def sample_times(learner: Subject, rng: np.random.Generator) -> None:
    """Samples of a function's time, after a warm-up that is no sample."""
    repeats, warmup = int(rng.integers(9, 14)), int(rng.integers(3, 6))
    given = [int(rng.integers(100)), "a"]
    # The first calls are slow, as those of compiled functions are; the rest differ by more than noise.
    seconds = [0.03] * warmup + rng.permutation(np.linspace(0.002, 0.02, repeats)).tolist()
    seen = _seen_by(learner, "watched", "sample_times", seconds, *given, repeats=repeats, warmup=warmup)
    what = f"sample_times(func, …, repeats={repeats}, warmup={warmup})"
    times = _times(what, seen["result"], repeats, warmup)
    inside, calls = seen["inside"], len(seen["inside"])
    if any(args != given for args in seen["given"]):
        raise WrongError(
            f"{what} called func with {seen['given'][0]}, should be {given}", "Hand *args on to func."
        )
    if calls != repeats + warmup:
        raise WrongError(
            f"{what} called func {calls} times, should be {repeats + warmup}",
            "The warm-up calls come first and are not timed; then a sample from each call.",
        )
    _hold(what, times, inside[warmup:], inside)
    clocks.no_time_of_day(learner, "sample_times")
    seen = _seen_by(learner, "watched", "sample_times", [0.001])
    _times("sample_times(func)", seen["result"], 20, 2)


def _seen_by(learner: Subject, probe: str, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what a probe saw of the learner's function; it comes from the learner's process."""
    seen = learner.call(Probe(probe), Mine(name), *args, **kwargs)
    match seen:
        case {"result": _, "inside": [*inside], "given": [*given]} if len(inside) == len(given) and all(
            isinstance(seconds, float) for seconds in inside
        ):
            names = seen.get("names", [""] * len(inside))
            if isinstance(names, list) and [type(one) for one in names] == [str] * len(inside):
                return {**seen, "names": names}
    raise WrongError(f"what the functions saw that {name} called did not come back")


def _times(what: str, found: Any, repeats: int, warmup: int) -> list[float]:
    """Require a list of so many numbers."""
    if not isinstance(found, list | tuple | np.ndarray) or np.ndim(found) != 1:
        raise WrongError(
            f"{what} returned {found!r:.60}, not a list of seconds",
            "Keep every sample: what they come to is decided later, and by looking at all of them.",
        )
    if warmup and len(found) == repeats + warmup:
        raise WrongError(
            f"{what} returned {len(found)} samples: those of the warm-up are among them",
            "The first calls compile, fill caches and touch new pages. They are made, and thrown away.",
        )
    if len(found) != repeats:
        raise WrongError(f"{what} returned {len(found)} samples, should be {repeats}", "One for each repeat.")
    times = []
    for place, time in enumerate(found.tolist() if isinstance(found, np.ndarray) else found):
        try:
            times.append(float(time))
        except (TypeError, ValueError, OverflowError):
            times.append(math.nan)
        if not math.isfinite(times[-1]):
            raise WrongError(
                f"{what}: sample {place} is {time!r:.60}, which is no time", "Seconds are floats."
            )
    return times


def _hold(what: str, times: list[float], inside: list[float], all_calls: list[float]) -> None:
    """Hold samples against what the calls took, seen from inside: never less, and mostly not much more."""
    ratio = median(time / call for time, call in zip(times, inside, strict=True))
    for unit, size in (("microseconds", 1e6), ("milliseconds", 1e3), ("nanoseconds", 1e9)):
        if size / 2 < ratio < size * 2:
            raise WrongError(f"{what}: samples are in {unit}", "Return seconds, as perf_counter gives them.")
    if max(times) < min(all_calls) / 2:
        raise WrongError(
            f"{what}: a call that took {median(inside):.2g} s gave a sample of {median(times):.1g} s",
            "Was anything between the two readings of the clock? The call itself has to be.",
        )
    if len(set(times)) == 1:
        raise WrongError(
            f"{what}: all samples are {times[0]:.3g} s, though no two calls took as long",
            "Read the clock before and after every call, not once for all or for the last.",
        )
    for place, (time, call) in enumerate(zip(times, inside, strict=True)):
        if time < call - _STEP:
            raise WrongError(
                f"{what}: sample {place} is {time:.3g} s, but that call alone took {call:.3g} s",
                "Each sample is of one call, from just before it to just after it, in the calls' order.",
            )
    if ratio > 1.5:
        raise WrongError(
            f"{what}: samples are {ratio:.2g} times what the calls took",
            "Does the clock start anew before each call, and stop right after it?",
        )


@exercise(step=5, points=4)
def interleaved(learner: Subject, rng: np.random.Generator) -> None:
    """Functions timed in turns, in an order that varies."""
    rounds, given = int(rng.integers(9, 14)), [int(rng.integers(100))]
    lengths = rng.permutation([0.001, 0.0025, 0.004, 0.006]).tolist()
    seconds = dict(zip(("first", "second", "third", "fourth"), lengths, strict=True))
    seen = _seen_by(learner, "watched_together", "interleaved", seconds, *given, rounds=rounds)
    what = f"interleaved of {len(seconds)} functions, rounds={rounds},"
    found, names = seen["result"], seen["names"]
    if not isinstance(found, dict) or found.keys() != seconds.keys():
        raise WrongError(
            f"{what} returned {str(found)[:80]}, not a dict of the same names",
            "For each name of `functions` the list of its samples.",
        )
    if any(args != given for args in seen["given"]):
        raise WrongError(f"{what} called one with {seen['given'][0]}, should be {given}", "Hand *args on.")
    for name in seconds:
        _times(f"{what} for {name!r}", found[name], rounds, warmup=0)
    _turns(what, names, len(seconds), rounds)
    for name in seconds:
        inside = [call for called, call in zip(names, seen["inside"], strict=True) if called == name]
        times = [float(time) for time in found[name]]
        _hold(f"{what} for {name!r}", times, inside[-rounds:], inside)


def _turns(what: str, names: list[str], count: int, rounds: int) -> None:
    """Require rounds in which each function has a turn, in an order that varies; a warm-up may precede."""
    if len(names) < count * rounds:
        raise WrongError(
            f"{what} made {len(names)} calls, should be {count * rounds}", "Every function once a round."
        )
    timed = names[-count * rounds :]
    turns = [tuple(timed[start : start + count]) for start in range(0, len(timed), count)]
    for number, turn in enumerate(turns):
        if len(set(turn)) != count:
            raise WrongError(
                f"{what} called {', '.join(turn)} in round {number}: some more than once, others not at all",
                "Rounds outside, functions inside: what slows the machine for a while then meets them all.",
            )
    if len(set(turns)) == 1:
        raise WrongError(
            f"{what} went through the functions in the same order in every round: {', '.join(turns[0])}",
            "Each then always finds in the caches what the same one left. Shuffle the names in each round.",
        )


@exercise(step=5, points=4)
def verdict(learner: Subject, rng: np.random.Generator) -> None:
    """Which of two functions is faster, where the samples tell."""
    same = _noisy(rng, 0.05)
    told = learner.call("verdict", same, list(same))
    if not _is_verdict(told):
        raise WrongError(f"verdict returned {told!r:.60}, should be one of {_VERDICTS}")
    if told != "no difference":
        raise WrongError(f"of the very same samples twice, verdict says {told!r}", _LOOK)
    for noise in (0.05, 0.3):
        _not_seen(learner, rng, noise)
    for noise, faster in ((0.05, 0.2), (0.01, 0.05)):
        _seen(learner, rng, noise, faster)


_VERDICTS = ("first", "second", "no difference")


def _is_verdict(told: Any) -> bool:
    return isinstance(told, str) and told in _VERDICTS


_LOOK = (
    "How far do medians of such samples differ by chance alone? Draw from the samples, with replacement, "
    "again and again: where the ratio of medians comes to lie 99 times of 100 is what you know of it."
)


def _noisy(rng: np.random.Generator, noise: float) -> list[float]:
    """Return samples of a function that takes a millisecond: most near it, one in ten held up."""
    times = 1e-3 * rng.lognormal(0, noise, _SAMPLES)
    held_up = rng.random(_SAMPLES) < 0.1
    times[held_up] *= rng.uniform(1.5, 6, int(held_up.sum()))
    return [float(time) for time in times]


def _seen(learner: Subject, rng: np.random.Generator, noise: float, faster: float) -> None:
    """Require that a difference is seen that is four times the noise or more, whichever of the two it is."""
    pairs, expected = [], []
    for number in range(2 * _AT_ONCE):
        quick, slow = _noisy(rng, noise), _noisy(rng, noise)
        quick = [(1 - faster) * time for time in quick]
        pairs.append([quick, slow] if number % 2 else [slow, quick])
        expected.append("first" if number % 2 else "second")
    found = _verdicts(learner, pairs)
    swapped = sum({"first", "second"} == {a, b} for a, b in zip(found, expected, strict=True))
    missed = found.count("no difference")
    case = f"where one function takes {faster:.0%} less time than the other and samples vary by {noise:.0%}"
    if swapped > len(pairs) // 2:
        raise WrongError(f"{case}, verdict names the slower one", "Samples are times: less is faster.")
    if missed + swapped > 0.1 * len(pairs):
        raise WrongError(
            f"{case}, verdict misses it in {missed} of {len(pairs)} cases"
            + (f" and names the slower one in {swapped}" if swapped else ""),
            "One sample in ten was held up to several times its length. A mean moves with each of those, and "
            "so does a standard deviation; a median hardly does. And no fixed percentage suits every noise.",
        )


def _not_seen(learner: Subject, rng: np.random.Generator, noise: float) -> None:
    """Require that hardly ever a difference is seen of a function against itself."""
    alarms = 0
    for number in range(0, _DRAWS, _AT_ONCE):
        found = _verdicts(learner, [[_noisy(rng, noise), _noisy(rng, noise)] for _ in range(_AT_ONCE)])
        alarms += len(found) - found.count("no difference")
        if alarms > _ALARMS * _DRAWS:
            raise WrongError(
                f"of samples of one function against others of the same, which vary by {noise:.0%}, verdict "
                f"called one faster {alarms} times in {number + _AT_ONCE}",
                _LOOK,
            )


def _verdicts(learner: Subject, pairs: list[list[list[float]]]) -> list[Any]:
    """Return what the learner's function says of each pair of samples."""
    found: list[Any] = []
    for start in range(0, len(pairs), _AT_ONCE):
        some = pairs[start : start + _AT_ONCE]
        told = learner.call(Probe("each"), Mine("verdict"), some)
        if not isinstance(told, list) or len(told) != len(some) or not all(map(_is_verdict, told)):
            raise WrongError(f"verdict returned {told!r:.60}, should be one of {_VERDICTS}")
        found += told
    return found
