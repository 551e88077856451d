"""nbgrader itself, in a course of its own: it takes what `tito release` writes, and grades as we do."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.course.executed import executed
from tinytorch.course import notebook
from tinytorch.course.exercises import exercises
from tinytorch.course.given import is_exported
from tinytorch.course.release import release

nbgrader = pytest.importorskip("nbgrader")
nbformat = pytest.importorskip("nbformat")

_CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "kernels"\nc.ExecutePreprocessor.timeout = 900\n'
#: What nbgrader adds to students' cells as it makes them: its own sums.
_ADDED = "checksum"


def _nbgrader(course, *arguments):
    # It calls alembic by its bare name, which is beside this Python whether the environment is active or not.
    beside = str(Path(sys.executable).parent)
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=os.environ | {"PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with the release in it; nbgrader has made its students' notebook beside ours."""
    folder = tmp_path_factory.mktemp("a course, 教室")
    (folder / "nbgrader_config.py").write_text(_CONFIG)
    _, ours = release(folder)
    shutil.copy(ours, folder / "ours.ipynb")
    _nbgrader(folder, "generate_assignment", "13_kernels", "--force")
    return folder


def _cells(path):
    cells = []
    for cell in nbformat.read(path, 4).cells:
        metadata = json.loads(json.dumps(cell.metadata))
        metadata.get("nbgrader", {}).pop(_ADDED, None)
        cells.append((cell.id, cell.cell_type, cell.source, metadata))
    return cells


def test_its_validator_takes_the_metadata(course):
    from nbgrader.nbgraderformat import MetadataValidator

    points = []
    for path in (course / "source" / "13_kernels" / "kernels.ipynb", course / "ours.ipynb"):
        given = nbformat.read(path, 4)
        nbformat.validate(given)
        MetadataValidator().validate_nb(given)
        points.append(sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in given.cells))
    assert points == [100, 100]


def test_it_makes_the_same_notebook_for_students(course):
    assert _cells(course / "release" / "13_kernels" / "kernels.ipynb") == _cells(course / "ours.ipynb")


def test_its_validator_finds_nothing_wrong_with_the_solutions(tmp_path):
    # It would run the notebook; it has been run.
    from nbgrader.validator import Validator

    path = tmp_path / "kernels.ipynb"
    nbformat.write(executed(solved=True).notebook, path)
    assert Validator(preprocessors=[]).validate(str(path)) == {}


def test_its_validator_finds_every_check_of_the_students_failing(tmp_path):
    from nbgrader.validator import Validator

    path = tmp_path / "kernels.ipynb"
    nbformat.write(executed(solved=False).notebook, path)
    found = Validator(preprocessors=[]).validate(str(path))
    assert set(found) == {"failed"}
    assert len(found["failed"]) == len(exercises())


def _without_measurements(given):
    """Leave what points depend on: the rest takes minutes, and is run in test_run_notebook."""
    given.cells = [
        cell
        for cell in given.cells
        if "nbgrader" in cell.metadata or is_exported(cell.source) or "import check" in cell.source
    ]
    return given


def test_autograde_gives_100_to_the_solutions_and_0_to_what_was_given_out(course):
    handed_in = {"solved": notebook.made(), "untouched": nbformat.read(course / "ours.ipynb", 4)}
    for student, given in handed_in.items():
        _without_measurements(given)
        folder = course / "submitted" / student / "13_kernels"
        folder.mkdir(parents=True)
        nbformat.write(given, folder / "kernels.ipynb")
    _nbgrader(course, "autograde", "13_kernels")
    _nbgrader(course, "export", "--to", "points.csv")
    with (course / "points.csv").open(newline="") as file:
        scores = {row["student_id"]: (row["score"], row["max_score"]) for row in csv.DictReader(file)}
    assert scores == {"solved": ("100.0", "100.0"), "untouched": ("0.0", "100.0")}
