"""One submission graded, in a process of its own: what goes wrong with it harms no other.

The process is told what to do in JSON on its input, and tells outcome by outcome in JSON lines on what was
its output. The student's code runs in yet another process, confined; even to read a notebook is done here and
not in the process of all, since a file may be made to use up the one that reads it.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytorch.course import outcome
from tinytorch.course.exercises import exercises
from tinytorch.course.given import exported, is_exported, read
from tinytorch.course.outcome import Outcome
from tinytorch.course.running.runner import Limits, Runner
from tinytorch.course.subject import NotRunError
from tinytorch.runtime.errors import InputError

#: Characters of code in the exported cells. The course's own solutions have 20 000; to parse a million takes
#: about 200 MB.
LARGEST = 1_000_000


def main() -> None:
    """Be the process.

    {"path", "student", "seed", "seconds", "without_gpu"} comes in; {"confinement"}, {"outcome"} for each
    exercise and {"problem"} go out.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)  # what a library prints is no outcome

        def say(**message: Any) -> None:
            output.write(json.dumps(message) + "\n")
            output.flush()

        request = json.load(sys.stdin)
        try:
            for message in _graded(request):
                say(**message)
        except (InputError, NotRunError, OSError) as error:
            path = Path(request["path"])
            say(problem=str(error).replace(str(path), path.name))  # feedback tells no one's folders


def seed_of(seed: int, student: str, exercise: str) -> int:
    """Return the seed of one student's inputs to one check, drawn from the seed of the whole run."""
    text = json.dumps([seed, student, exercise])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def _graded(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    handed_in = read(Path(request["path"]))
    size = sum(len(cell.source) for cell in handed_in.cells if is_exported(cell.source))
    if size > LARGEST:  # before any of it is parsed
        raise InputError(f"its exported cells hold {size} characters of code; {LARGEST} are read")
    sources = exported(handed_in)
    problems: dict[str, list[str]] = {}
    with Runner(sources, limits=Limits(total=request["seconds"])) as learner:
        yield {"confinement": learner.layers()}
        for exercise in exercises().values():
            seed = seed_of(request["seed"], request["student"], exercise.name)
            expected = request["without_gpu"]
            try:
                found = outcome.run(exercise, learner, seed)
            except Exception as error:  # no answer should do this to a check; the rest is judged
                words = f"the check itself failed, {type(error).__name__}: {error}"
                found = Outcome(exercise.name, exercise.step, "not run", 0, exercise.points, words, seed=seed)
                expected = False
            if found.state == "not run" and not expected:
                problems.setdefault(found.message, []).append(exercise.name)
            yield {"outcome": found.as_dict()}
    yield {"problem": "; ".join(f"{', '.join(names)}: {words}" for words, names in problems.items())}


if __name__ == "__main__":
    main()
