"""The notebook made of step files, and what students get of it."""

import copy

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearSolutions, LockCells

from tinytorch.course import notebook
from tinytorch.course.exercises import exercises
from tinytorch.course.given import default_exp
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
    assert default_exp(found) == "core.kernels"
    students = notebook.student(found)
    assert students.cells == as_nbgrader_gives_it_out(found).cells
    assert "SOLUTION" not in nbformat.writes(students)


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
