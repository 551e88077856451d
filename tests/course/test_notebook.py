"""The notebook made of step files, what students get of it, and learners' notebooks read without trust."""

import copy
import json

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearSolutions, LockCells

from tinytorch.course import notebook
from tinytorch.course.exercises import exercises
from tinytorch.runtime.errors import InputError

STEP = '''\
# %% [markdown]
# ## A step
#
# Some words.

# %% exercise="double"
#| export
def _helper(x):
    return x


def double(x):
    """Return twice x."""
    ### BEGIN SOLUTION
    twice = [value + value for value in _helper(x) if value is not None]
    return twice if len(twice) == len(x) else [None] * len(x)
    ### END SOLUTION

# %% check="double"
check(double)

# %%
predict("speed", None)
'''
POINTS = {"double": 4}


def made(text=STEP, points=POINTS):
    return notebook.put_together({"1_step": text}, points)


def test_headers_become_metadata_that_nbgrader_takes():
    found = made()
    nbformat.validate(found)
    MetadataValidator().validate_nb(found)
    solution, test = found.cells[1].metadata["nbgrader"], found.cells[2].metadata["nbgrader"]
    assert (solution["grade"], solution["solution"], solution["locked"]) == (False, True, False)
    assert (test["grade"], test["solution"], test["locked"], test["points"]) == (True, False, True, 4)
    assert solution["grade_id"] != test["grade_id"]
    assert [set(cell.metadata) for cell in found.cells] == [set(), {"nbgrader"}, {"nbgrader"}, set()]
    assert [cell.id for cell in found.cells] == [cell.id for cell in made().cells]
    assert found.metadata.kernelspec.name == "python3"


def test_the_module_itself():
    found = notebook.made()
    nbformat.validate(found)
    MetadataValidator().validate_nb(found)
    metadata = [cell.metadata["nbgrader"] for cell in found.cells if "nbgrader" in cell.metadata]
    assert sum(one.get("points", 0) for one in metadata) == 100
    assert {one["grade_id"] for one in metadata if one["solution"]} == exercises().keys()
    assert len({cell.id for cell in found.cells}) == len(found.cells)
    assert notebook.default_exp(found) == "core.kernels"
    given = notebook.student(found)
    assert given.cells == as_nbgrader_gives_it_out(found).cells
    assert "SOLUTION" not in nbformat.writes(given)


def as_nbgrader_gives_it_out(found):
    cleared, _ = ClearSolutions().preprocess(copy.deepcopy(found), {})
    return LockCells().preprocess(cleared, {})[0]


def test_solutions_are_removed_as_nbgrader_does():
    whole = STEP.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", "")
    found = made()
    for source in (
        found.cells[1].source,
        "x = 1\n  ### BEGIN SOLUTION\n  2\n  ### END SOLUTION\nrest",
        whole,
    ):
        one = copy.deepcopy(found)
        one.cells[1].source = source
        assert notebook.student(one).cells == as_nbgrader_gives_it_out(one).cells
    given = notebook.student(found)
    assert given.cells[1].source.endswith(
        '"""Return twice x."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )
    assert "twice = " in found.cells[1].source  # the one with solutions is as it was


def test_outputs_are_removed():
    found = made()
    found.cells[2].outputs = [nbformat.v4.new_output("stream", text="twice")]
    found.cells[2].execution_count = 3
    given = notebook.student(found)
    assert given.cells[2].outputs == [] and given.cells[2].execution_count is None


@pytest.mark.parametrize("source", ["### BEGIN SOLUTION\n1\n### BEGIN SOLUTION", "### BEGIN SOLUTION\n1"])
def test_regions_that_do_not_close_are_told_of(source):
    found = made()
    found.cells[1].source = source
    with pytest.raises(InputError, match="a solution"):
        notebook.student(found)


def test_a_solution_told_elsewhere_is_found():
    leak = "\n# %% [markdown]\n#     twice = [value + value for value in _helper(x) if value is not None]"
    line = "\n#     return twice if len(twice) == len(x) else [None] * len(x)"
    notebook.student(made(STEP + leak))  # one line of it alone is a hint
    with pytest.raises(InputError, match="cell 5 still tells a solution"):
        notebook.student(made(STEP + leak + line))


def test_a_region_elsewhere_is_found():
    found = made()
    found.cells[3].source = "### BEGIN SOLUTION\n1\n### END SOLUTION"
    with pytest.raises(InputError, match="no solution cell"):
        notebook.student(found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('exercise="double"', "", "a solution in a cell without exercise"),
        ('exercise="double"', 'exercise="triple"', "for no exercise; those are double"),
        ("#| export\n", "", "does not begin with #| export"),
        ("def double", "def dubble", "defines no double"),
        ("BEGIN SOLUTION", "BEGIN", "has no ### BEGIN SOLUTION"),
        ('# %% check="double"', "# %%", 'no cell has check="NAME" for double'),
        ("check(double)", "check(triple)", r"does not call check\(double\)"),
        ("# %%\npredict", '# %% check="double"\npredict', "is there twice"),
    ],
)
def test_what_does_not_fit_together_is_named(old, new, message):
    assert old in STEP
    with pytest.raises(InputError, match=message):
        made(STEP.replace(old, new))


def test_a_test_before_its_exercise_and_an_exercise_without_cell():
    solution, test = STEP.partition("\n# %% check")[0], '# %% check="double"\ncheck(double)\n\n'
    with pytest.raises(InputError, match="stands before the exercise"):
        made(test + solution)
    with pytest.raises(InputError, match='no cell has exercise="NAME" for half'):
        made(points={**POINTS, "half": 1})


def test_modules_are_known_by_name():
    assert notebook.known() == ("13_kernels",)
    with pytest.raises(InputError, match="no module '12_x'; there is 13_kernels"):
        notebook.folder("12_x")


def write(path, cells, **more):
    content = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": cells, **more}
    path.write_text(json.dumps(content))
    return path


def code(source, **more):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], **more}


def test_a_notebook_of_an_earlier_minor_version_is_read_and_what_was_recorded_is_not(tmp_path):
    cells = [
        code(["#| export\n", "x = 1"], outputs=[{"text": "passed"}]),
        {**code("words"), "cell_type": "raw"},
    ]
    found = notebook.read(write(tmp_path / "a.ipynb", cells))
    assert [cell.source for cell in found.cells] == ["#| export\nx = 1", "words"]
    assert found.cells[0].outputs == []
    assert notebook.exported(tmp_path / "a.ipynb") == ("#| export\nx = 1",)


def test_a_script_is_read_as_jupytext_writes_it(tmp_path):
    import jupytext

    found = made()
    (tmp_path / "kernels.py").write_text(jupytext.writes(found, fmt="py:percent"), "utf-8")
    again = notebook.read(tmp_path / "kernels.py")
    assert [cell.source for cell in again.cells if cell.cell_type == "code"] == [
        cell.source for cell in found.cells if cell.cell_type == "code"
    ]
    assert "markdown" in {cell.cell_type for cell in again.cells}
    assert notebook.exported(again) == notebook.exported(found)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    (tmp_path / "k.py").write_bytes("\ufeff# %%\r\n#|export\r\nx = 'ä'\r\n\r\n#%%\r\ny = 1\r\n".encode())
    assert notebook.exported(tmp_path / "k.py") == ("#|export\nx = 'ä'",)


@pytest.mark.parametrize(
    ("source", "is_exported"),
    [
        ("#| export\nx", True),
        ("#|export", True),
        ("# | export\nx", True),
        ("\n\n#| hide\n#| export\nx", True),
        ("%%time\n#| export\nx", True),
        ("#| exporti\nx", True),
        ("#| exportation\nx", False),
        ("# export\nx", False),
        ("x\n#| export", False),
        ("", False),
    ],
)
def test_which_cells_are_exported(source, is_exported):
    assert notebook.is_exported(source) is is_exported


def test_lines_for_ipython_go_and_lines_are_as_many_as_before(tmp_path):
    source = (
        "%%time\n#| export\n!pip list\nfor x in y:\n    %timeit f(x)\nnames = !ls\n"
        "t = %timeit -o f()\nf?\n?f\n"
        'text = """\n% of what\n"""'
    )
    (found,) = notebook.exported(write(tmp_path / "a.ipynb", [code(source)]))
    compile(found, "", "exec")
    assert len(found.split("\n")) == len(source.split("\n"))
    assert found.split("\n")[4] == "    pass  # %timeit f(x)"
    assert found.split("\n")[5] == "names = None  # names = !ls"


def test_python_that_looks_like_a_magic_stays(tmp_path):
    source = "#| export\nz = (x\n  %y)\ntext = '''\n!ls\n%time\n'''"
    assert notebook.exported(write(tmp_path / "a.ipynb", [code(source)])) == (source,)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b'{"nbformat": 4}',
        b'{"nbformat": 3, "worksheets": []}',
        b'{"nbformat": 4, "cells": {}}',
        b'{"nbformat": 4, "cells": [7]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [7]}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "virus", "source": ""}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": ["code"], "source": ""}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
    ],
)
def test_what_is_no_notebook_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        notebook.read(path)
    assert "a.ipynb" in str(caught.value) and "\n" not in str(caught.value)


def test_files_too_large_are_not_read(tmp_path):
    (tmp_path / "large.py").write_bytes(b"#" * 20_000_001)
    with pytest.raises(InputError, match="over 20 MB"):
        notebook.read(tmp_path / "large.py")
    (tmp_path / "many.py").write_text("# %%\nx\n" * 5001)
    with pytest.raises(InputError, match="5001 cells; 5000 can be read"):
        notebook.read(tmp_path / "many.py")


def test_other_files_are_told_of(tmp_path):
    (tmp_path / "folder.py").mkdir()
    for name, words in (("a.txt", "no notebook"), ("no.ipynb", "not there"), ("folder.py", "no file")):
        with pytest.raises(InputError, match=words):
            notebook.read(tmp_path / name)


@pytest.mark.parametrize("source", ["(" * 10_000, "x\0", "-" * 100_000 + "1", "%", "a." * 50_000 + "?!"])
def test_texts_that_break_parsers(tmp_path, source):
    (found,) = notebook.exported(write(tmp_path / "a.ipynb", [code("#| export\n" + source)]))
    assert found.startswith("#| export\n")


def test_what_default_exp_names(tmp_path):
    path = write(tmp_path / "a.ipynb", [code("x"), code("#| default_exp core.kernels\n1")])
    assert notebook.default_exp(path) == "core.kernels"
    for source in ("x", "#| default_exp ../up", "#| default_exp"):
        with pytest.raises(InputError, match="no cell names the module"):
            notebook.default_exp(write(tmp_path / "b.ipynb", [code(source)]))
