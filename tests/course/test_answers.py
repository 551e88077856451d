"""Answers to every exercise, wrong and right: each check fails what is wrong, with words that point to it."""

import functools
import importlib.util
import linecache
import re
from collections import Counter
from pathlib import Path

import pytest

from tinytorch.course import exercises, notebook, outcome
from tinytorch.course.local import Local

jupytext = pytest.importorskip("jupytext")

FOLDER = Path(__file__).parent / "answers"
WRONG, RIGHT = (sorted((FOLDER / kind).glob("*.py")) for kind in ("wrong", "right"))
#: Of the inputs: what a wrong answer is told depends on them where two mistakes look alike.
SEED = 13
#: Exercises whose answers are many: five ways at least have to pass.
MAIN = {
    "vectorized_relu",
    "cache_friendly_matmul",
    "parallel_relu",
    "parallel_batch_processing",
    "quantized_matmul",
}


def exercise_of(path: Path) -> exercises.Exercise:
    return exercises.exercises()[path.stem.partition("__")[0]]


def checked(exercise: exercises.Exercise, *cells: tuple[str, str]) -> outcome.Outcome:
    """Check what cells define, given by name and text, after the cells that are exported as they stand."""
    functions = {"__name__": "__main__"}
    for name, text in (*_given(), *cells):
        file = f"<{name}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), functions)
    return outcome.run(exercise, Local(functions), SEED)


@functools.cache
def _exported(solutions: bool) -> list[tuple[str, str, dict[str, str]]]:
    """Return the exported cells of the step files: name, text, and what their headers say."""
    found = []
    for path in sorted(notebook.folder().glob("[0-9]*_*.py")):
        for number, cell in enumerate(jupytext.read(path).cells):
            is_exported = cell.cell_type == "code" and cell.source.startswith("#| export")
            if is_exported and ("exercise" in cell.metadata) == solutions:
                found.append((f"{path.name} {number}", cell.source, dict(cell.metadata)))
    return found


def _given() -> list[tuple[str, str]]:
    return [(name, text) for name, text, _ in _exported(solutions=False)]


def _skip_without_extras(exercise: exercises.Exercise) -> None:
    on_gpu = exercise.step == 7 and exercise.name not in ("roofline", "ring_seconds")
    if on_gpu and importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed")


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_answer_is_told_what_is_wrong(path: Path) -> None:
    exercise, text = exercise_of(path), path.read_text("utf-8")
    _skip_without_extras(exercise)
    says = re.match(r"# says: (.+)", text)
    assert says, f"{path.name} does not begin with # says: REGEX"
    state = re.search(r"^# state: (.+)$", text, re.MULTILINE)
    found = checked(exercise, (path.stem, text))
    assert found.state == (state.group(1) if state else "failed"), found
    assert found.points == 0
    assert re.search(says.group(1), f"{found.message}\n{found.hint}"), found


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_answer_passes(path: Path) -> None:
    exercise = exercise_of(path)
    _skip_without_extras(exercise)
    found = checked(exercise, (path.stem, path.read_text("utf-8")))
    assert (found.state, found.points) == ("passed", exercise.points), found


@pytest.mark.parametrize("name", exercises.exercises())
def test_the_notebook_s_own_solution_passes(name: str) -> None:
    exercise = exercises.exercises()[name]
    _skip_without_extras(exercise)
    solutions = {metadata["exercise"]: (cell, text) for cell, text, metadata in _exported(solutions=True)}
    before = list(solutions)[: list(solutions).index(name)]
    found = checked(exercise, *(solutions[other] for other in before), solutions[name])
    assert (found.state, found.points) == ("passed", exercise.points), found


def test_there_are_enough_answers() -> None:
    wrong, right = (Counter(exercise_of(path).name for path in paths) for paths in (WRONG, RIGHT))
    for name in exercises.exercises():
        assert wrong[name] >= 1, f"no wrong answer to {name}"
        assert right[name] >= (5 if name in MAIN else 2), f"{right[name]} right answers to {name}"
    assert wrong.total() >= 30


@pytest.mark.parametrize("name", exercises.exercises())
def test_a_placeholder_is_not_attempted(name: str) -> None:
    exercise = exercises.exercises()[name]
    text = f"def {name}(*args, **kwargs):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n"
    found = checked(exercise, (name, text))
    assert (found.state, found.points) == ("not attempted", 0), found
