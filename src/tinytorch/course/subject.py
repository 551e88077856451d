"""What a check may ask of a learner's code, wherever that runs: in the notebook, or in a process apart.

Checks are written against `Subject` and never see a function: they send inputs and judge what comes back.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from tinytorch.gpu.analysis.result import Analysis

#: Warp instructions of a kernel in the emulator at most: some seconds where one warp loops. Exercises take
#: some thousand.
GPU_STEPS = 100_000


class WrongError(Exception):
    """A check found a mistake: what was expected and what was found, and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotAttemptedError(Exception):
    """The exercise still holds its placeholder, or its function is not there."""


class NotRunError(Exception):
    """The check cannot be run here, which is no fault of the learner; the message says what is missing."""


def kinds(error: BaseException) -> tuple[str, ...]:
    """Return an exception's class and the bases of it, by name.

    >>> kinds(KeyError())
    ('KeyError', 'LookupError', 'Exception', 'BaseException')
    """
    return tuple(kind.__name__ for kind in type(error).__mro__ if kind is not object)


class RaisedError(Exception):
    """The learner's function raised: `kinds` are its class and the bases of it, by name."""

    def __init__(self, kinds: tuple[str, ...], message: str, where: str = "") -> None:
        super().__init__(f"{kinds[0]}: {message}" if message else kinds[0])
        self.kinds = kinds
        self.message = message
        self.where = where  # the learner's own line, as "line 12: text"


@dataclass(frozen=True)
class Probe:
    """A function of `tinytorch.course.probes`, as an argument or in place of the learner's function.

    With `made_with`, what that function returns for these arguments: a probe with a state of its own.
    """

    name: str
    made_with: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Mine:
    """The learner's function of that name, as an argument of another."""

    name: str


Target = str | Probe


@dataclass(frozen=True)
class Call:
    """One call: of the learner's function of that name, or of a probe."""

    target: Target
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """How long the first of two calls takes, in times of the second; what each returned last.

    `seen` has of the first call, for each round that was timed, what it was made with and what it returned:
    what is right only where it is looked at is not fast.
    """

    value: float
    first: Any
    second: Any
    seen: tuple[tuple[tuple[Any, ...], Any], ...] = ()


class Subject(Protocol):
    """A learner's code.

    Every method raises NotAttemptedError for a placeholder, RaisedError for what the learner's function
    raises, and WrongError if it took too long, changed an input in place, or ended the process.
    Arguments and results are None, bool, int, float, str, arrays, lists, tuples and dicts with strings as
    keys; a `Tensor` comes back as its array, and numbers of NumPy's as 0-d arrays. What is not among these
    comes back as `Other`. An array arrives as a copy of the same layout (C, Fortran or strided).
    """

    def call(self, target: Target, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""

    def ratio(self, first: Call, second: Call, rounds: int = 7) -> Ratio:
        """Time two calls in turns, after one of each that is not timed; the ratio of the least of each.

        Whatever else the machine does only adds to a time: on a busy one the least is what is left of both.
        """

    def busiest(self, target: Target, /, *args: Any, seconds: float = 1.0, **kwargs: Any) -> float:
        """Call again and again for so long; the busiest thread's part of all CPU time, from 0 to 1."""

    def gpu(self, name: str, grid: Any, block: Any, /, *args: Any) -> Analysis:
        """Compile a kernel under @cuda.jit, run it in the emulator on these arguments, and analyse it.

        Raises NotRunError where numba-cuda is not installed.
        """

    def uses(self, name: str) -> frozenset[str]:
        """Return the full names of what a function calls, itself and through functions of the learner's.

        `numpy.dot`, `range`, `numba.njit`, `tinytorch.ops.matmul`, and "@" for the operator.
        """


@dataclass(frozen=True)
class Other:
    """A result of a type that no exercise returns."""

    type_name: str

    def __repr__(self) -> str:
        """Show the type."""
        return f"a {self.type_name}"
