"""A notebook's marked cells written to a module: what is in it, what is not, and when the former stays."""

import subprocess
import sys

import pytest

from tinytorch.course import export
from tinytorch.course.workspace import Workspace
from tinytorch.runtime.errors import InputError

NOTEBOOK = '''\
# %% [markdown]
# # Kernels

# %%
#| default_exp core.kernels

# %%
#| export
import numpy as np
from numba import njit

# %%
print("a demonstration")
1 / 0

# %%
#| export
LIMIT = 3

def _helper(x):
    return np.maximum(x, 0)


def vectorized_relu(x):
    """Return max(0, x)."""
    %time y = _helper(x)
    return _helper(x)

# %%
#| export
@njit
def _inner(x):
    # YOUR CODE HERE
    raise NotImplementedError()

def quantize(x, scale):
    # YOUR CODE HERE
    raise NotImplementedError()

# %%
#| export
def quantized_relu(x, scale=1.0):
    return quantize(x, scale)

later = quantized_relu
print(later(np.ones(3)))

# %%
#| export
def split(n, workers):
    quantize = n // workers
    return [quantize]
'''


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "Übung 1"
    folder.mkdir()
    (folder / "kernels.py").write_text(NOTEBOOK, "utf-8")
    return Workspace(folder / "kernels.py", folder)


def change(workspace, old, new):
    text = workspace.notebook.read_text("utf-8")
    assert old in text
    workspace.notebook.write_text(text.replace(old, new), "utf-8")


def test_it_can_be_imported_by_its_name(workspace):
    found = export.export(workspace)
    assert export.file_of(workspace).read_text("utf-8") == found.text
    code = "from tinytorch_exports.core.kernels import *; print(vectorized_relu(-1), split(8, 2), LIMIT)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 [4] 3\n"


def test_what_is_still_to_be_written_is_left_out_with_all_that_uses_it(workspace):
    found = export.export(workspace)
    assert found.names == ("LIMIT", "split", "vectorized_relu")
    assert found.left_out == {
        "_inner": "still to be written",
        "quantize": "still to be written",
        "quantized_relu": "uses quantize",
        "later": "uses quantized_relu",
    }
    for words in ("def quantize", "@njit", "later", "demonstration", "#|", "# cell 6"):
        assert words not in found.text
    assert "from 'kernels.py'" in found.text.partition("\n")[0]


def test_the_same_notebook_gives_the_same_text(workspace):
    assert export.exported(workspace.notebook) == export.exported(workspace.notebook)


def test_a_later_definition_counts(workspace):
    change(workspace, "print(later(np.ones(3)))", "\n# %%\n#| export\ndef quantize(x, scale):\n    return x")
    found = export.export(workspace)
    assert {"quantize", "quantized_relu"} <= set(found.names)
    assert found.text.count("def quantize(") == 1


def test_a_syntax_error_is_told_by_cell_and_line_and_the_former_is_kept(workspace):
    before = export.export(workspace).text
    change(workspace, "    quantize = n // workers", "    quantize = = n")
    with pytest.raises(InputError, match=r"^cell 8, line 3: invalid syntax: quantize = = n$"):
        export.export(workspace)
    assert export.file_of(workspace).read_text("utf-8") == before


@pytest.mark.parametrize("terms", [400, 960, 3_000, 100_000])
def test_a_cell_that_nests_as_deeply_as_python_reads_or_deeper(workspace, terms):
    sum_of_many = "+".join("1" * terms)
    change(workspace, "LIMIT = 3", f"LIMIT = {sum_of_many}\ndef deep():\n    return {sum_of_many}")
    try:
        assert "deep" in export.exported(workspace.notebook).names
    except InputError as error:
        assert terms > 900 and str(error) == "cell 5 nests too deeply for Python to read it"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "1 / 0",
            r"^what is to be exported cannot .* ZeroDivisionError: division by zero \(cell 5: 1 / 0\);",
        ),
        ("raise ValueError", r"imported: ValueError \(cell 5: raise ValueError\);"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "status 7"),
        ("import no_such_library", "No module named 'no_such_library'"),
    ],
)
def test_what_cannot_be_imported_is_told_and_the_former_is_kept(workspace, line, words):
    before = export.export(workspace).text
    change(workspace, "LIMIT = 3", f"LIMIT = 3\n{line}")
    with pytest.raises(InputError, match=words) as caught:
        export.export(workspace)
    assert "\n" not in str(caught.value) and str(caught.value).endswith("nothing was changed")
    assert export.file_of(workspace).read_text("utf-8") == before


def test_a_file_that_was_not_exported_is_kept(workspace):
    target = export.file_of(workspace)
    target.parent.mkdir(parents=True)
    target.write_text("my_own = 1\n")
    with pytest.raises(InputError, match=r"kernels\.py was not made by tito export.* move it away"):
        export.export(workspace)
    assert [path.name for path in target.parent.iterdir()] == ["kernels.py"]
    assert target.read_text() == "my_own = 1\n"
    target.unlink()
    assert export.export(workspace) == export.export(workspace)


def test_what_never_ends_is_told(workspace, monkeypatch):
    monkeypatch.setattr(export, "_SECONDS", 0.5)
    change(workspace, "LIMIT = 3", "while True: pass")
    with pytest.raises(InputError, match=r"not end: stopped after 0\.5 s, at cell 5: while True: pass;"):
        export.export(workspace)
    assert not export.file_of(workspace).exists()


def test_nothing_is_written_while_no_exercise_is(workspace):
    body = "    # YOUR CODE HERE\n    raise NotImplementedError()\n"
    change(workspace, "    quantize = n // workers\n    return [quantize]\n", body)
    change(workspace, "    %time y = _helper(x)\n    return _helper(x)\n", body)
    with pytest.raises(InputError, match=r"no exercise of .* is written yet"):
        export.export(workspace)
    assert [path.name for path in workspace.home.iterdir()] == ["kernels.py"]


def test_it_exports_only_to_the_modules_name(workspace):
    change(workspace, "default_exp core.kernels", "default_exp other.place")
    with pytest.raises(InputError, match=r"names other.place; module 13_kernels exports to core.kernels"):
        export.export(workspace)


def test_without_a_workspace_there_is_nowhere_to_write(workspace):
    with pytest.raises(InputError, match="lies in no workspace"):
        export.export(Workspace(workspace.notebook, None))
