"""`tito release`: what is written, that no solution is told, and that nothing is lost."""

import nbformat
import pytest

from tinytorch import cli
from tinytorch.course import notebook
from tinytorch.course.given import exported
from tinytorch.course.release import release
from tinytorch.runtime.errors import InputError


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return release(tmp_path_factory.mktemp("a course, ünïcode"))


def _text(given):
    return "\n".join(cell.source for cell in given.cells)


def _solutions(given):
    """Yield the lines between the markers, read here once more."""
    for cell in given.cells:
        inside = False
        for line in cell.source.splitlines():
            if "END SOLUTION" in line:
                inside = False
            if inside:
                yield line.strip()
            if "BEGIN SOLUTION" in line:
                inside = True


def test_the_layout_is_nbgraders(both):
    source, given = both
    assert source.parts[-3:] == ("source", "13_kernels", "kernels.ipynb")
    assert given.parts[-3:] == ("release", "13_kernels", "kernels.ipynb")
    assert source.parents[2] == given.parents[2]
    for path in both:
        nbformat.validate(nbformat.read(path, 4))


def test_no_line_of_a_solution_is_in_the_students_copy(both):
    source, given = (nbformat.read(path, 4) for path in both)
    solutions = list(_solutions(source))
    assert len(solutions) > 100
    # As whole lines, and not short ones: `result = np.empty(x.shape, x.dtype)` may stand in what is given.
    told = {line.strip() for line in _text(given).splitlines()}
    assert [line for line in solutions if len(line) > 40 and line in told] == []
    for mark in ("BEGIN SOLUTION", "END SOLUTION"):
        assert mark not in _text(given)
        assert mark in _text(source)


def test_the_students_copy_is_python_and_has_no_outputs(both):
    given = nbformat.read(both[1], 4)
    for cell in given.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    for number, text in enumerate(exported(given)):
        compile(text, f"cell {number}", "exec")


def test_what_is_there_is_not_overwritten(tmp_path):
    _, given = release(tmp_path)
    given.write_text("my own")
    with pytest.raises(InputError, match=r"is there already; --force"):
        release(tmp_path)
    assert given.read_text() == "my own"
    release(tmp_path, force=True)
    assert given.read_text() != "my own"


def test_a_file_is_no_course(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is a file; name a folder: tito release FOLDER"):
        release(tmp_path / "file")


def test_nothing_is_written_where_a_solution_would_be_told(tmp_path, monkeypatch):
    made = notebook.made()
    told = "\n    ".join(list(_solutions(made))[:4])
    made.cells[0].source += f"\n\n    {told}"
    monkeypatch.setattr(notebook, "made", lambda module: made)
    with pytest.raises(InputError, match="still tells a solution"):
        release(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "new folder"
    assert cli.main(["release", str(folder)]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1
    assert str(folder / "source") in said
    assert str(folder / "release") in said
    assert cli.main(["release", str(folder)]) == 1
    assert "--force" in capsys.readouterr().err
