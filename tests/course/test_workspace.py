"""A workspace laid and found; nothing that is there is overwritten."""

import json

import nbformat
import pytest

from tests.course.test_notebook import made
from tinytorch.course import notebook, workspace
from tinytorch.course.given import exported
from tinytorch.runtime import workspace as around
from tinytorch.runtime.errors import InputError


@pytest.fixture(autouse=True)
def small_module(monkeypatch, tmp_path):
    """Give the module one exercise, and work in a folder with a space and letters of no ASCII."""
    monkeypatch.setattr(notebook, "made", lambda module="": made())
    home = tmp_path / "Übung 1"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


def test_a_workspace_holds_the_students_notebook(small_module):
    laid = workspace.start("13_kernels", small_module / "a" / "b")
    assert {path.name for path in laid.home.iterdir()} == {"kernels.ipynb", "README.md", ".tinytorch.json"}
    found = nbformat.read(laid.notebook, 4)
    nbformat.validate(found)
    assert found == notebook.student(made())
    marker = json.loads((laid.home / ".tinytorch.json").read_text())
    assert (marker["module"], marker["notebook"]) == ("13_kernels", "kernels.ipynb")
    assert "tito test 13_kernels" in (laid.home / "README.md").read_text()


def test_a_script_has_short_headers_and_the_same_cells(small_module):
    laid = workspace.start("13_kernels", small_module, script=True)
    text = laid.notebook.read_text("utf-8")
    assert laid.notebook.name == "kernels.py" and "kernels.py" in (small_module / "README.md").read_text()
    assert '# %% exercise="double"\n#| export' in text and '# %% check="double"\ncheck(double)' in text
    assert "nbgrader" not in text
    assert exported(laid.notebook) == exported(notebook.student(made()))
    assert workspace.find() == workspace.Workspace(laid.notebook, small_module)


@pytest.mark.parametrize("name", ["kernels.ipynb", "kernels.py"])
def test_work_is_never_overwritten(small_module, name):
    (small_module / name).write_text("hours of work")
    before = sorted(small_module.iterdir())
    for script in (False, True):
        with pytest.raises(InputError, match=rf"{name} is there already, and is kept .* tito start"):
            workspace.start("13_kernels", small_module, script)
    assert (small_module / name).read_text() == "hours of work"
    assert sorted(small_module.iterdir()) == before


@pytest.mark.parametrize("name", ["kernels.ipynb", "kernels.py"])
def test_nothing_is_written_through_a_link_to_nothing(small_module, tmp_path, name):
    (small_module / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"{name} is there already, and is kept"):
        workspace.start("13_kernels", small_module)
    assert not (tmp_path / "elsewhere").exists()


def test_what_else_is_in_the_folder_stays(small_module):
    (small_module / "README.md").write_text("mine")
    (small_module / ".tinytorch.json").write_text('{"mine": 1}')
    workspace.start("13_kernels", small_module)
    assert (small_module / "README.md").read_text() == "mine"
    assert (small_module / ".tinytorch.json").read_text() == '{"mine": 1}'
    assert (small_module / "kernels.ipynb").is_file()


def test_what_is_wrong_with_a_folder_is_said(small_module):
    (small_module / "file").write_text("")
    with pytest.raises(InputError, match="is a file; name a folder"):
        workspace.start("13_kernels", small_module / "file")
    with pytest.raises(InputError, match="no module '14'; there is 13_kernels"):
        workspace.start("14", small_module / "new")
    assert not (small_module / "new").exists()


def test_it_is_found_from_below_and_from_above(small_module, monkeypatch):
    laid = workspace.start("13_kernels", small_module / "13_kernels")
    assert workspace.find().notebook == laid.notebook  # from above
    below = laid.home / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert workspace.find() == laid
    monkeypatch.chdir("/")
    with pytest.raises(InputError, match="no workspace is here, above, or in 13_kernels; tito start"):
        workspace.find()
    assert workspace.find(laid.home) == workspace.find(laid.notebook) == laid


def test_a_notebook_elsewhere_has_no_workspace(small_module):
    (small_module / "other.ipynb").write_text("{}")
    found = workspace.find(small_module / "other.ipynb")
    assert found.folder is None
    with pytest.raises(InputError, match=r"other.ipynb lies in no workspace; tito start"):
        _ = found.home
    with pytest.raises(InputError, match=r"neither kernels.ipynb nor kernels.py"):
        workspace.find(small_module)
    with pytest.raises(InputError, match="is not there"):
        workspace.find(small_module / "no")


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"notebook": "../../etc/passwd"}', '{"notebook": 7}'])
def test_a_marker_that_makes_no_sense_marks_all_the_same(small_module, marker):
    (small_module / ".tinytorch.json").write_text(marker)
    (small_module / "kernels.py").write_text("")
    assert workspace.find().notebook == small_module / "kernels.py"


def export_in(folder):
    (folder / around.EXPORTED).parent.mkdir(parents=True)
    (folder / around.EXPORTED).write_text("")
    (folder / around.MARKER).write_text("{}")
    return folder


def test_the_export_around_a_script_or_folder(small_module, monkeypatch, tmp_path):
    monkeypatch.delenv(around.VARIABLE, raising=False)
    monkeypatch.setattr("sys.path", [str(tmp_path / "elsewhere")])
    assert around.exported_in() is None
    here = export_in(small_module)
    assert around.exported_in() == here
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    assert around.exported_in() == here
    other = export_in(tmp_path / "other")
    monkeypatch.setattr("sys.path", [str(other / "scripts")])
    assert around.exported_in() == other  # the script's comes first
    monkeypatch.setenv(around.VARIABLE, "")
    assert around.exported_in() is None
    monkeypatch.setenv(around.VARIABLE, str(here))
    assert around.exported_in() == here


def test_a_marker_without_export_and_an_export_without_marker_are_none(small_module, monkeypatch):
    monkeypatch.delenv(around.VARIABLE, raising=False)
    monkeypatch.setattr("sys.path", [])
    export_in(small_module)
    (small_module / around.MARKER).unlink()
    assert around.exported_in() is None
    (small_module / around.MARKER).write_text("{}")
    (small_module / around.EXPORTED).unlink()
    assert around.exported_in() is None


def test_what_someone_else_put_above_is_not_run(small_module, monkeypatch):
    monkeypatch.delenv(around.VARIABLE, raising=False)
    monkeypatch.setattr("sys.path", [])
    export_in(small_module)
    assert around.exported_in() == small_module
    monkeypatch.setattr("os.geteuid", lambda: 12345, raising=False)
    assert around.exported_in() is None
