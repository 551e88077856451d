"""Learners' notebooks and scripts, read without trust."""

import json

import jupytext
import pytest

from tests.course.test_notebook import made
from tinytorch.course import given
from tinytorch.runtime.errors import InputError


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
    found = given.read(write(tmp_path / "a.ipynb", cells))
    assert found == given.Notebook((given.Cell("code", "#| export\nx = 1"), given.Cell("raw", "words")))
    assert given.exported(tmp_path / "a.ipynb") == ("#| export\nx = 1",)


def test_a_script_is_read_as_jupytext_writes_it(tmp_path):
    found = made()
    (tmp_path / "kernels.py").write_text(jupytext.writes(found, fmt="py:percent"), "utf-8")
    again = given.read(tmp_path / "kernels.py")
    assert [cell.source for cell in again.cells if cell.cell_type == "code"] == [
        cell.source for cell in found.cells if cell.cell_type == "code"
    ]
    assert "markdown" in {cell.cell_type for cell in again.cells}
    assert given.exported(again) == given.exported(found)


def test_lines_end_as_python_has_them(tmp_path):
    cells = [code("#| export\rx = 1\r\n%time f()\ny = 2")]
    expected = ("#| export\nx = 1\npass  # %time f()\ny = 2",)
    assert given.exported(write(tmp_path / "a.ipynb", cells)) == expected
    (tmp_path / "a.py").write_bytes(cells[0]["source"].encode())
    assert given.exported(tmp_path / "a.py") == expected


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    (tmp_path / "k.py").write_bytes("\ufeff# %%\r\n#|export\r\nx = 'ä'\r\n\r\n#%%\r\ny = 1\r\n".encode())
    assert given.exported(tmp_path / "k.py") == ("#|export\nx = 'ä'",)


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
    assert given.is_exported(source) is is_exported


def test_lines_for_ipython_go_and_lines_are_as_many_as_before(tmp_path):
    source = (
        "%%time\n#| export\n!pip list\nfor x in y:\n    %timeit f(x)\nnames = !ls\n"
        "t = %timeit -o f()\nf?\n?f\n"
        'text = """\n% of what\n"""'
    )
    (found,) = given.exported(write(tmp_path / "a.ipynb", [code(source)]))
    compile(found, "", "exec")
    assert len(found.split("\n")) == len(source.split("\n"))
    assert found.split("\n")[4] == "    pass  # %timeit f(x)"
    assert found.split("\n")[5] == "names = None  # names = !ls"


def test_python_that_looks_like_a_magic_stays(tmp_path):
    source = "#| export\nz = (x\n  %y)\ntext = '''\n!ls\n%time\n'''"
    assert given.exported(write(tmp_path / "a.ipynb", [code(source)])) == (source,)


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
        given.read(path)
    assert "a.ipynb" in str(caught.value) and "\n" not in str(caught.value)


def test_files_too_large_are_not_read(tmp_path):
    (tmp_path / "large.py").write_bytes(b"#" * 20_000_001)
    with pytest.raises(InputError, match="over 20 MB"):
        given.read(tmp_path / "large.py")
    (tmp_path / "many.py").write_text("# %%\nx\n" * 5001)
    with pytest.raises(InputError, match="5001 cells; 5000 can be read"):
        given.read(tmp_path / "many.py")


def test_other_files_are_told_of(tmp_path):
    (tmp_path / "folder.py").mkdir()
    for name, words in (("a.txt", "no notebook"), ("no.ipynb", "not there"), ("folder.py", "no file")):
        with pytest.raises(InputError, match=words):
            given.read(tmp_path / name)


@pytest.mark.parametrize("source", ["(" * 10_000, "x\0", "-" * 100_000 + "1", "%", "a." * 50_000 + "?!"])
def test_texts_that_break_parsers(tmp_path, source):
    (found,) = given.exported(write(tmp_path / "a.ipynb", [code("#| export\n" + source)]))
    assert found.startswith("#| export\n")


def test_what_default_exp_names(tmp_path):
    path = write(tmp_path / "a.ipynb", [code("x"), code("#| default_exp core.kernels\n1")])
    assert given.default_exp(path) == "core.kernels"
    for source in ("x", "#| default_exp ../up", "#| default_exp"):
        with pytest.raises(InputError, match="no cell names the module"):
            given.default_exp(write(tmp_path / "b.ipynb", [code(source)]))
