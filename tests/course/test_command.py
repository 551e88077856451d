"""`tito start`, `test`, `export`, `status` and `notebook`, as a learner goes: one clear line if not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tinytorch.cli import main
from tinytorch.course import notebook

STEP = '''\
# %%
#| default_exp core.kernels

# %%
#| export
import numpy as np

# %% exercise="split"
#| export
def split(n, workers):
    """Return ranges that share 0 to n."""
    ### BEGIN SOLUTION
    workers = min(n, workers)
    ends = [(n * number) // max(workers, 1) for number in range(workers + 1)]
    return [(start, stop) for start, stop in zip(ends, ends[1:])]
    ### END SOLUTION

# %% check="split"
check(split)

# %% exercise="roofline"
#| export
def roofline(operations, bytes_moved, peak, bandwidth):
    """Return what the roof allows, and what bounds it."""
    ### BEGIN SOLUTION
    of_memory = operations / bytes_moved * bandwidth
    return (peak, "compute") if of_memory >= peak else (of_memory, "memory")
    ### END SOLUTION

# %% check="roofline"
check(roofline)
'''


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Give the module two exercises, and work in a folder with a space and letters of no ASCII."""
    small = notebook.put_together({"1_step": STEP}, {"split": 3, "roofline": 3})
    monkeypatch.setattr(notebook, "made", lambda module="": small)
    (tmp_path / "Übung 1").mkdir()
    monkeypatch.chdir(tmp_path / "Übung 1")
    return tmp_path / "Übung 1"


@pytest.fixture
def tito(capsys, monkeypatch):
    """Run a command; its status, what it printed, and what it said of errors, spaces made one."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        status = main([*map(str, arguments)])
        told = capsys.readouterr()
        return status, " ".join(told.out.split()), told.err

    return run


def fill(path, name, body):
    """Write an answer into the cell of an exercise."""
    given = nbformat.read(path, 4)
    (cell,) = [cell for cell in given.cells if f"def {name}(" in cell.source]
    lines = cell.source.split("\n")
    start = next(place for place, line in enumerate(lines) if '"""' in line)
    cell.source = "\n".join([*lines[: start + 1], *(f"    {line}" for line in body.split("\n"))])
    nbformat.write(given, path)


RIGHT = """\
workers = min(n, workers)
ends = [n * number // max(workers, 1) for number in range(workers + 1)]
return list(zip(ends, ends[1:]))"""


def test_a_learners_way(tito, home):
    status, out, _ = tito("start", "13_kernels")
    assert status == 0 and "cd 13_kernels, then tito test 13_kernels" in out
    path = home / "13_kernels" / "kernels.ipynb"

    status, out, _ = tito("test", "13_kernels", "--exercise", "split", "--exercise", "roofline")
    assert status == 1 and "0 of 6 points: 2 not attempted" in out and "Step 4" in out

    fill(path, "split", "return [(0, n)]")
    status, out, _ = tito("test", "13_kernels", "--step", 4, "--seed", 7)
    assert status == 1 and "split failed 0 of 3" in out and "Hint:" in out and "--seed 7" in out

    fill(path, "split", RIGHT)
    _, out, _ = tito("status")
    assert "split failed changed since 0 of 3" in out and "nothing is exported yet" in out
    status, out, _ = tito("test", "13_kernels", "--exercise", "split")
    assert status == 0 and "3 of 3 points: 1 passed" in out, out

    status, out, _ = tito("export", "13_kernels")
    assert status == 0 and "exported: split left out, still to be written: roofline" in out
    _, out, _ = tito("status", "13_kernels")
    assert "split passed exported 3 of 3" in out and "3 of 100 points" in out
    assert "exported: 1 of 25 functions, as they are now" in out
    code = "from tinytorch.core.kernels import split; print(split(5, 2))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=path.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[(0, 2), (2, 5)]\n", done.stderr

    fill(path, "roofline", "return 1")
    _, out, _ = tito("status")
    assert "roofline not attempted changed since" in out and "split passed exported" in out
    assert "the export is older than the notebook: tito export" in out
    fill(path, "roofline", "return ((")
    _, out, _ = tito("status")
    assert "older than the notebook, and cell 5, line 4: '(' was never closed" in out

    status, _, err = tito("start", "13_kernels")
    assert status == 1 and "is there already, and is kept as it is" in err
    assert "return ((" in path.read_text("utf-8")


def test_whoever_starts_here_has_nowhere_to_go(tito):
    status, out, _ = tito("start", "13_kernels", ".")
    assert status == 0 and "check what you have: tito test 13_kernels" in out


def test_everything_as_json(tito, home):
    tito("start", "13_kernels", home, "--script")
    text = (home / "kernels.py").read_text("utf-8").replace("raise NotImplementedError()", "return None")
    (home / "kernels.py").write_text(text, "utf-8")
    status, out, _ = tito("test", "--exercise", "split", "--json")
    found = json.loads(out)
    assert (status, found["passed"], found["points"], found["of"]) == (1, False, 0, 3)
    (one,) = found["outcomes"]
    assert (one["exercise"], one["state"], one["seed"]) == ("split", "failed", found["seed"])
    assert one["message"]
    status, *_ = tito("export", "--json", home / "export.json")
    assert status == 0
    written = json.loads((home / "export.json").read_text())
    assert written == {
        "file": str(home / "tinytorch_exports" / "core" / "kernels.py"),
        "exported": ["roofline", "split"],
        "left_out": {},
    }
    _, out, _ = tito("status", "--json")
    found = json.loads(out)
    assert (found["of"], found["export"], len(found["exercises"])) == (100, "current", 25)
    assert {one["name"] for one in found["exercises"] if one["exported"]} == {"split", "roofline"}
    assert [one["state"] for one in found["exercises"] if one["name"] == "split"] == ["failed"]


def test_the_same_seed_gives_the_same_inputs(tito, home):
    tito("start", "13_kernels", home)
    fill(home / "kernels.ipynb", "roofline", "return operations + bytes_moved, 'compute'")
    told = [tito("test", "--exercise", "roofline", "--seed", seed)[1] for seed in (5, 5, 6)]
    assert told[0] == told[1] != told[2]


def test_what_cannot_be_kept_is_shown_all_the_same(tito, home):
    tito("start", "13_kernels", home)
    (home / ".tinytorch-tested.json").mkdir()
    status, out, _ = tito("test", "--exercise", "split")
    assert status == 1 and "0 of 3 points: 1 not attempted" in out
    assert f"what was found is not kept: {home / '.tinytorch-tested.json'}: Is a directory" in out


def test_a_cell_that_lost_its_mark_and_one_that_leans_on_nothing(tito, home):
    (home / "kernels.py").write_text(
        "# %%\ndef split(n, workers):\n    return []\n\n# %%\n#| export\ndef ready():\n"
        "    raise NotImplementedError()\n\ndef roofline(*args):\n    return ready()\n",
        "utf-8",
    )
    status, out, _ = tito("test", "kernels.py", "--exercise", "split", "--exercise", "roofline")
    assert status == 1
    assert "cell 1 holds split and is not checked: its first line is to be #| export" in out
    assert "roofline is written, but calls what still raises NotImplementedError" in out
    assert [path.name for path in home.iterdir()] == ["kernels.py"]  # no workspace: nothing is kept


_DONE = "#| export\ndef split(n, workers):\n    return []\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"# %%\n{_DONE}\n# %%\n{_DONE.replace('return []', 'raise NotImplementedError')}",
         "cells 1 and 2 define split; the last one counts"),
        (f"# %%\n{_DONE.replace('split', 'splitt')}", "no exported cell defines split (is it splitt?)"),
        (f"# %%\n{_DONE.replace('split', 'other')}", "no exported cell defines split"),
        ("# %%\n#| export\nx = 1\n\n# %% [raw]\n" + _DONE,
         "cell 2 holds split and is not checked: it is to be a cell of code"),
    ],
)  # fmt: skip
def test_why_what_is_written_is_not_attempted(tito, home, text, words):
    (home / "kernels.py").write_text(text, "utf-8")
    status, out, _ = tito("test", "kernels.py", "--exercise", "split", "--json", "found.json")
    assert status == 1 and "1 not attempted" in out and words in out
    assert json.loads((home / "found.json").read_text())["remarks"] == [words]


def test_an_index_out_of_range_is_found_as_the_message_says(tito, home):
    tito("start", "13_kernels", home, "--script")
    path = home / "kernels.py"
    text = path.read_text("utf-8")
    crash = "import numba\n\n@numba.njit\ndef at(array, place):\n    return array[place]\n"
    text = text.replace("import numpy as np\n", f"import numpy as np\n{crash}")
    path.write_text(text.replace("raise NotImplementedError()", "return at(np.empty(1), 2**40)", 1), "utf-8")
    _, out, _ = tito("test", "--exercise", "split")
    line = re.search(r"index out of range.* write `(import numba; .*)` in the first exported cell", out)[1]
    path.write_text(path.read_text("utf-8").replace("import numba\n", f"{line}\n"), "utf-8")
    _, out, _ = tito("test", "--exercise", "split")
    assert "raised IndexError: index is out of bounds" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("start", "12_x"), "no module '12_x'; there is 13_kernels"),
        (("start", "13_kernels", "file.txt"), "is a file; name a folder"),
        (("test",), "no workspace is here, above, or in 13_kernels; tito start 13_kernels lays one"),
        (("test", "12_x"), "no module '12_x'; there is 13_kernels"),
        (("test", "no.ipynb"), "no.ipynb is not there"),
        (("test", "13_kernels", "no.ipynb"), "no.ipynb is not there"),
        (("test", "file.txt"), "file.txt is no notebook"),
        (("test", "empty.py"), "no cell of empty.py begins with #| export"),
        (("test", "wrong.ipynb"), "wrong.ipynb is no notebook (JSONDecodeError: "),
        (("test", "wrong.ipynb"), "; take the last good copy (Jupyter keeps one in .ipynb_checkpoints)"),
        (("test", "empty.py", "--step", "9"), "no step 9; steps are 1 to 8"),
        (("test", "empty.py", "--exercise", "x"), "no exercise 'x'; those of each step are 1: time_kernel"),
        (("test", "empty.py", "--json", "no/file"), "the folder of --json no/file does not exist"),
        (("export", "named.py"), "named.py lies in no workspace"),
        (("status", "empty.py"), "empty.py lies in no workspace"),
        (("notebook",), "no workspace is here"),
    ],
)
def test_errors_are_one_line(tito, home, arguments, words):
    (home / "file.txt").write_text("")
    (home / "empty.py").write_text("x = 1")
    (home / "named.py").write_text("#| default_exp core.kernels\n")
    (home / "wrong.ipynb").write_text("{")
    status, out, err = tito(*arguments)
    assert status == 1 and out == ""
    assert err.startswith(f"tito {arguments[0]}: ") and err.count("\n") == 1
    assert words in err


def refuse(path, *_, **__):
    raise PermissionError(13, "Permission denied", str(path))


def test_a_folder_that_is_not_to_be_written_is_told_of_by_its_name(tito, home, monkeypatch):
    tito("start", "13_kernels", home)
    fill(home / "kernels.ipynb", "split", RIGHT)
    (home / "tinytorch_exports" / "core").mkdir(parents=True)
    words = "Permission denied; name another place, or make this one yours to write\n"
    monkeypatch.setattr(Path, "open", refuse)
    assert tito("start", "13_kernels", "new")[2] == f"tito start: new/README.md: {words}"
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert tito("start", "13_kernels", "other")[2] == f"tito start: other: {words}"


def test_a_folder_within_a_file_and_one_that_is_gone(tito, home, monkeypatch):
    (home / "file").write_text("")
    status, _, err = tito("start", "13_kernels", "file/below")
    assert status == 1
    assert err == "tito start: file/below: Not a directory; a file is where a folder is to be\n"
    (home / "gone").mkdir()
    monkeypatch.chdir(home / "gone")
    (home / "gone").rmdir()
    for command in (("status",), ("test",), ("start", "13_kernels")):
        status, _, err = tito(*command)
        assert status == 1, err
        assert err == f"tito {command[0]}: the folder that this runs in is no more; change to another\n"


def test_a_missing_extra_is_told_of(tito, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    status, _, err = tito("start", "13_kernels")
    assert status == 1
    assert err == "tito start: notebooks need `pip install 'tinytorch-kernels[course]'`\n"
    assert list(home.iterdir()) == []


def test_jupyterlab_is_opened_where_it_is(tito, home, monkeypatch):
    tito("start", "13_kernels", home)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, err = tito("notebook")
    assert status == 1 and "pip install jupyterlab" in err and "kernels.ipynb" in err
    commands = []

    def run(command, cwd, check):
        commands.append((command, cwd))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "run", run)
    assert tito("notebook", home)[0] == 0
    ((command, cwd),) = commands
    assert command == [sys.executable, "-m", "jupyterlab", str(home / "kernels.ipynb")] and cwd == home


def test_a_student_without_answers_gains_nothing_and_hears_of_every_step(tito, home):
    tito("start", "13_kernels", home)
    status, out, _ = tito("test", "13_kernels")
    assert status == 1 and "0 of 100 points: 25 not attempted" in out
    assert all(f"Step {step}:" in out for step in range(1, 9))
