"""The notebook run from top to bottom by nbclient: with its solutions, and as students get it."""

import pytest

from tests.course.executed import error, executed
from tinytorch.course.exercises import exercises

nbclient = pytest.importorskip("nbclient")

#: For a run in CI, on 2 CPUs, four minutes are promised; what else runs there may double them.
_HANG = 480


def test_with_solutions_all_of_it_runs_and_gains_100_points(record_property):
    ran = executed(solved=True)
    print(f"the notebook with solutions took {ran.seconds:.0f} s")
    record_property("seconds", ran.seconds)
    failed = {cell.id: error(cell) for cell in ran.notebook.cells if error(cell)}
    assert failed == {}
    assert sum(ran.points().values()) == 100
    assert set(ran.points()) == {f"check-{name}" for name in exercises()}
    assert ran.seconds < _HANG


def test_as_students_get_it_it_gains_nothing_and_every_check_says_what_to_do():
    ran = executed(solved=False)
    assert sum(ran.points().values()) == 0
    assert len(ran.points()) == len(exercises())
    for cell in ran.notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            name = cell.metadata.nbgrader.grade_id.removeprefix("check-")
            said = error(cell)
            assert f"{name}: not attempted, 0 of" in said
            assert "NotImplementedError" in said
            assert all(len(line) < 300 for line in said.splitlines())


def test_what_fails_in_the_students_is_what_they_have_not_written():
    for cell in executed(solved=False).notebook.cells:
        said = error(cell)
        assert not said or said.startswith(("NotImplementedError", "CheckFailedError", "NameError")), (
            cell.source
        )


def test_a_failed_check_is_shown_without_a_traceback():
    for cell in executed(solved=False).notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            (output,) = (output for output in cell.outputs if output.output_type == "error")
            assert len(output.traceback) < 5
            assert "site-packages" not in "".join(output.traceback)
