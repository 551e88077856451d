"""`tito grade` from its command: what it writes, refuses, keeps, and goes on with."""

import csv
import json
import os
import shutil
import subprocess
import sys
from html import unescape

import psutil
import pytest

from tests.course.handed_in import handed_in, write
from tinytorch import cli
from tinytorch.course.exercises import exercises
from tinytorch.course.grading import feedback, pool
from tinytorch.course.grading import run as grade
from tinytorch.course.grading.cpus import hold
from tinytorch.course.grading.pool import Graders
from tinytorch.course.grading.submissions import find
from tinytorch.runtime.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three submissions and what is none."""
    folder = tmp_path_factory.mktemp("course") / "handed in, 提出"
    write(handed_in(["split"]), folder / "anna.ipynb")
    write(
        handed_in(["ring_seconds"], {"split": "def split(n, workers):\n    return [(0, n)]"}),
        folder / "ben.py",
    )
    write(handed_in(), folder / "zoë" / "13_kernels" / "kernels.ipynb")
    (folder / "list.txt").write_text("anna, ben, zoë")
    return folder


@pytest.fixture(scope="module")
def graded(folder, tmp_path_factory):
    """The same with their grades in a folder of the test's own: (submissions, output, exit status)."""
    out = tmp_path_factory.mktemp("output") / "made by it"
    return folder, out, cli.main(["grade", str(folder), "--out", str(out), "--seed", "3", "--jobs", "2"])


def _content(out):
    return json.loads((out / "grades.json").read_text("utf-8"))


def _outcomes(out):
    return {each["student"]: each["outcomes"] for each in _content(out)["students"]}


def test_points_are_told_in_csv_json_and_pages(graded):
    _, out, status = graded
    assert status == 0
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        totals = {row["student"]: row["total"] for row in csv.DictReader(file)}
    assert totals == {"anna": "3", "ben": "2", "zoë": "0"}
    assert [each["student"] for each in _content(out)["students"]] == ["anna", "ben", "zoë"]
    for student, points in totals.items():
        page = (out / "feedback" / f"{student}.html").read_text("utf-8")
        assert f"{points} of 100 points" in page
    assert "split" in unescape((out / "feedback" / "ben.html").read_text("utf-8"))


def test_everything_is_kept(graded):
    content = _content(graded[1])
    assert content["complete"] is True
    assert content["seed"] == 3
    assert content["jobs"] == 2
    assert content["machine"]["versions"]["numba"]
    for each in content["students"]:
        assert [outcome["exercise"] for outcome in each["outcomes"]] == list(exercises())
        assert "audit" in each["confinement"]
        assert len(each["digest"]) == 64
    seeds = [outcome["seed"] for each in content["students"] for outcome in each["outcomes"]]
    assert len(set(seeds)) == len(seeds)


def test_the_student_is_told_what_is_wrong(graded):
    (found,) = [each for each in _outcomes(graded[1])["ben"] if each["exercise"] == "split"]
    assert found["state"] == "failed"
    assert found["message"]
    assert found["message"] in unescape((graded[1] / "feedback" / "ben.html").read_text("utf-8"))


def test_what_was_not_attempted_says_so(graded):
    for outcome in _outcomes(graded[1])["zoë"]:
        assert outcome["state"] == "not attempted", outcome
        assert outcome["message"]


def test_results_do_not_depend_on_how_many_are_graded_at_a_time(graded, tmp_path):
    folder, out, _ = graded
    assert cli.main(["grade", str(folder), "--out", str(tmp_path), "--seed", "3", "--jobs", "1"]) == 0
    assert _outcomes(tmp_path) == _outcomes(out)


def test_nothing_is_written_among_the_submissions(graded, tmp_path, capsys):
    folder, *_ = graded
    assert {path.name for path in folder.iterdir()} == {"anna.ipynb", "ben.py", "zoë", "list.txt"}
    for option in ("--out", "--csv", "--json", "--feedback"):
        assert cli.main(["grade", str(folder), option, str(folder / "x")]) == 1
        assert "among the submissions" in capsys.readouterr().err
    assert not (folder / "x").exists()
    assert not folder.with_name(f"{folder.name}-graded").exists()


def test_grades_that_are_there_are_not_lost(graded, capsys):
    folder, out, _ = graded
    before = (out / "grades.json").read_bytes()
    assert cli.main(["grade", str(folder), "--out", str(out)]) == 1
    assert "--continue" in capsys.readouterr().err
    assert (out / "grades.json").read_bytes() == before


def test_continue_grades_what_is_new_or_changed(graded, tmp_path, capsys):
    folder, out, _ = graded
    later, new = tmp_path / folder.name, tmp_path / "out"
    shutil.copytree(folder, later)
    shutil.copytree(out, new)
    write(handed_in(["split"]), later / "ben.py")
    write(handed_in(["ring_seconds"]), later / "carl.ipynb")
    assert cli.main(["grade", str(later), "--out", str(new), "--continue"]) == 0
    assert "2 graded before" in capsys.readouterr().out
    content = _content(new)
    assert content["seed"] == 3
    assert {each["student"]: each["points"] for each in content["students"]} == {
        "anna": 3,
        "ben": 3,
        "carl": 2,
        "zoë": 0,
    }
    assert _outcomes(new)["anna"] == _outcomes(out)["anna"]


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(folder, tmp_path, monkeypatch, capsys):
    page = feedback.page

    def interrupted(given):
        if given.student == "ben":
            raise KeyboardInterrupt
        return page(given)

    command = ["grade", str(folder), "--out", str(tmp_path), "--jobs", "1"]
    with monkeypatch.context() as patched:
        patched.setattr(feedback, "page", interrupted)
        assert cli.main(command) == 130
    assert "2 of 3 are graded; --continue" in capsys.readouterr().out
    half = _content(tmp_path)
    assert half["complete"] is False
    assert [each["student"] for each in half["students"]] == ["anna", "ben"]
    assert not (tmp_path / "grades.csv").exists()
    assert cli.main([*command, "--continue"]) == 0
    assert _content(tmp_path)["seed"] == half["seed"]
    assert _content(tmp_path)["students"][:2] == half["students"]
    assert _content(tmp_path)["complete"] is True


def test_what_cannot_be_graded_gets_0_a_reason_and_harms_no_other(tmp_path, capsys):
    folder = tmp_path / "in"
    write(handed_in(["split"]), folder / "anna.ipynb")
    (folder / "bad.ipynb").write_text("{")
    (folder / "empty").mkdir()
    (folder / "deep.ipynb").write_text('{"cells":' + "[" * 100_000)
    (folder / "binary.py").write_bytes(b"\xff\x00")
    assert cli.main(["grade", str(folder)]) == 1
    said = capsys.readouterr().out
    students = {each["student"]: each for each in _content(tmp_path / "in-graded")["students"]}
    assert students.pop("anna")["points"] == 3
    for name, each in students.items():
        assert each["points"] == 0
        assert each["problem"]
        assert str(folder) not in each["problem"]  # a student is not told the instructor's folders
        assert f"{name}: {each['problem']}" in said
        page = (tmp_path / "in-graded" / "feedback" / f"{name}.html").read_text("utf-8")
        assert each["problem"] in unescape(page)
        assert "0 of 100 points" in page


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_name_that_the_output_has_no_letters_for(tmp_path, encoding):
    (tmp_path / "in" / "李 明").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch.cli", "grade", str(tmp_path / "in")],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b"" and done.returncode == 0  # nothing handed in is no failure of the grader
    assert b"? ?: " in done.stdout and b"written: " in done.stdout
    assert "李 明,0" in (tmp_path / "in-graded" / "grades.csv").read_text("utf-8")


def test_a_grader_that_crashes_harms_no_other(folder):
    killed = []

    def tell(student, exercise):
        if student == "ben" and exercise == "matmul_loops":
            for child in psutil.Process().children():
                if "tinytorch.course.grading.judge" in child.cmdline():
                    child.kill()
                    killed.append(child)

    graders = Graders(3, jobs=1)
    graders.tell = tell
    found = {each.student: each for each in graders.grade(find(folder).submissions)}
    assert killed
    assert found["anna"].points == 3
    assert found["anna"].graded
    assert found["zoë"].graded
    assert not found["ben"].graded
    assert "its grader ended" in found["ben"].problem
    assert [each.exercise for each in found["ben"].outcomes] == list(exercises())
    assert found["ben"].outcomes[-1].state == "not run"


def test_whoever_goes_away_leaves_no_grader_behind(folder):
    some = Graders(3, jobs=2).grade(find(folder).submissions)
    next(some)
    some.close()
    assert [
        child
        for child in psutil.Process().children(recursive=True)
        if "tinytorch.course" in str(child.cmdline())
    ] == []


def test_each_grader_has_cpus_of_its_own(folder, monkeypatch):
    monkeypatch.setattr(pool, "affinity", lambda: (0, 1, 2, 3, 4))
    held = []
    monkeypatch.setattr(pool, "hold", lambda pid, cpus: held.append(cpus))
    assert len(list(Graders(3, jobs=2).grade(find(folder).submissions))) == 3
    assert sorted(set(held)) == [(0, 2, 4), (1, 3)]
    assert len(held) == 3  # the third has those of the first to end


def test_what_a_held_process_starts_is_held_too():
    if not hasattr(psutil.Process, "cpu_affinity"):
        pytest.skip("this system holds no process to CPUs")
    asked = "import psutil, subprocess, sys; input(); " + (
        "print(subprocess.check_output([sys.executable, '-c', "
        "'import psutil; print(psutil.Process().cpu_affinity())'], text=True))"
    )
    one = psutil.Process().cpu_affinity()[-1]
    with subprocess.Popen(
        [sys.executable, "-c", asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        hold(process.pid, [one])
        assert process.communicate("\n", timeout=120)[0].strip() == str([one])
    hold(process.pid, [one])  # it has ended, which is no error


def test_where_a_process_cannot_be_held_grading_goes_on(folder, monkeypatch):
    if not hasattr(psutil.Process, "cpu_affinity"):
        pytest.skip("this system holds no process to CPUs")
    gone = tuple(range(10**5, 10**5 + 4))
    monkeypatch.setattr(pool, "affinity", lambda: gone)
    grades = list(Graders(3, jobs=2).grade(find(folder).submissions))
    assert [grade.problem for grade in grades if grade.outcomes] == [""] * 3


def test_time_is_up(tmp_path):
    folder = tmp_path / "in"
    endless = "def split(n, workers):\n    while True:\n        pass"
    write(handed_in(["ring_seconds"], {"split": endless}), folder / "x.ipynb")
    assert cli.main(["grade", str(folder), "--timeout", "5"]) == 0
    (found,) = _content(tmp_path / "in-graded")["students"]
    states = {each["exercise"]: (each["state"], each["message"]) for each in found["outcomes"]}
    assert states["split"][0] == "failed"
    assert "took more than" in states["split"][1]
    assert states["ring_seconds"][0] == "failed"
    assert "time is up" in states["ring_seconds"][1]


def test_a_submission_called_as_a_module_is_not_imported(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    mark = tmp_path / "imported"
    spy = f"#| export\nimport pathlib\npathlib.Path({str(mark)!r}).write_text('by')"
    for name in ("json.py", "psutil.py", "tinytorch.py", "nbformat.py"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"# %%\n{spy}\n")
    monkeypatch.chdir(folder)
    cli.main(["grade", ".", "--without-gpu"])
    assert not mark.exists()
    assert len(_content(tmp_path / "in-graded")["students"]) == 4


def test_without_numba_cuda_it_says_so_before_it_starts(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grade.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["grade", str(folder), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "numba-cuda" in said
    assert "--without-gpu" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["--jobs", "0"], ["--jobs", "x"], ["--timeout", "0"], ["--continue", "--force"]]
)
def test_what_makes_no_sense_is_refused(folder, arguments, capsys):
    with pytest.raises(SystemExit):
        cli.main(["grade", str(folder), *arguments])
    assert "error" in capsys.readouterr().err


def test_continue_keeps_its_seed(graded, capsys):
    folder, out, _ = graded
    assert cli.main(["grade", str(folder), "--out", str(out), "--continue", "--seed", "4"]) == 1
    assert "seed 3" in capsys.readouterr().err


def test_nothing_is_left_of_graders_that_were_ended(folder, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    some = Graders(3, jobs=1)
    under_way = []

    def tell(student, exercise):
        if exercise == "split":
            under_way.extend(temporary.rglob("cell_*"))
            raise KeyboardInterrupt

    some.tell = tell
    with pytest.raises(KeyboardInterrupt):
        list(some.grade(find(folder).submissions))
    assert under_way
    assert list(temporary.iterdir()) == []


def test_the_size_of_the_code_is_looked_at_before_it_is_parsed(tmp_path, monkeypatch):
    from tinytorch.course.grading import judge

    monkeypatch.setattr(judge, "LARGEST", 10)
    monkeypatch.setattr(judge, "exported", lambda given: pytest.fail("it was parsed"))
    (tmp_path / "a.py").write_text("# %%\n#| export\nx = [1, 2, 3]\n")
    with pytest.raises(InputError, match="hold 23 characters of code; 10 are read"):
        list(judge._graded({"path": str(tmp_path / "a.py"), "seconds": 1}))
