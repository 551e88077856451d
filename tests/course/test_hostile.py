"""Forty submissions in one command, a quarter of them hostile: honest points for all, and no harm done.

What each hostile one tries is in hostile.py; beside it, it has solved `split`, for which it gets its points.
"""

import csv
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.course.handed_in import handed_in, write
from tests.course.hostile import ANSWERS, CELLS, text_of
from tinytorch.course.exercises import exercises
from tinytorch.runtime import folders

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere no layer keeps files from being read"
)

#: Right, compiled, and too slow: called for each element.
_SLOW = """
@njit
def of_one(value):
    return 0 if value < 0 else value


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    for place in range(x.size):
        at = np.unravel_index(place, x.shape)
        result[at] = of_one(x[at])
    return result
"""
_WRONG = {
    "roofline": "def roofline(operations, bytes_moved, peak, bandwidth):\n    return peak, 'compute'",
    "split": "def split(n, workers):\n    return [(0, n)]",
    "ring_seconds": "def ring_seconds(nbytes, gpus, bandwidth, latency):\n    return nbytes / bandwidth",
    "quantize": "def quantize(x, scale):\n    return (x / scale).astype(np.int8)",
    "vectorized_relu": "def vectorized_relu(x):\n    return np.maximum(x, 0)",
    "simd_registers": "def simd_registers(assembly):\n    return {'xmm': 0, 'ymm': 0, 'zmm': 0, 'neon': 0}",
    "random_cycle": "def random_cycle(n, rng):\n    return rng.permutation(n)",
    "time_kernel": "def time_kernel(func, *args, **kwargs):\n    return func(*args, **kwargs), 1.0",
    "transpose": "@cuda.jit\ndef transpose(x, y):\n    y[0, 0] = x[0, 0]",
    "matmul_loops": "def matmul_loops(A, B):\n    return A @ B",
}
#: File, what is solved, what is answered wrongly.
_HONEST = (
    ("Ada Lovelace/13_kernels/kernels.ipynb", tuple(exercises()), ()),
    ("Zoë O'Neill.py", tuple(exercises()), ()),
    ("untouched.ipynb", (), ()),
    ("王 小明/kernels.ipynb", ("split",), ()),
    ("<b>Bob</b> & co.ipynb", ("roofline",), ()),
    ("=1+1.ipynb", ("ring_seconds", "split"), ()),
    ("Čapek/my work.ipynb", ("random_cycle", "chase"), ()),
    ("a.py", ("quantize",), ()),
    ("b.py", ("quantize", "quantized_relu"), ()),
    ("c.ipynb", ("vectorized_relu",), ()),
    ("d.ipynb", ("simd_registers",), ()),
    ("e.ipynb", ("time_kernel",), ()),
    ("f.ipynb", ("verdict",), ()),
    ("g.ipynb", ("sample_times", "interleaved"), ()),
    ("h.ipynb", ("branch_free",), ()),
    ("i.ipynb", ("scale_rows", "ring_seconds"), ()),
    ("j.ipynb", ("roofline", "ring_seconds"), ("split",)),
    ("k.ipynb", ("split",), ("roofline",)),
    ("l.ipynb", ("split",), ("vectorized_relu", "ring_seconds")),
    ("m/kernels.ipynb", ("simd_registers",), ("random_cycle",)),
    ("n/kernels.ipynb", ("bias_relu",), ("transpose",)),
    ("o/kernels.ipynb", (), ("quantize",)),
    ("p/kernels.py", (), ("matmul_loops", "time_kernel")),
    ("q/kernels.py", (), tuple(_WRONG)),
    ("r.ipynb", ("matmul_loops",), ()),
    ("s.ipynb", ("split", "parallel_relu"), ()),
)
_HOSTILE = (*CELLS, *ANSWERS)
_READS = "reads another's"


def _processes(mark):
    """Return what runs with the mark in its command line or environment."""
    found = []
    for each in psutil.process_iter():
        try:
            if mark in " ".join(each.cmdline()) or mark in each.environ().values():
                found.append(each.cmdline())
        except psutil.Error:
            continue
    return found


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _points(names):
    by_step = dict.fromkeys(map(str, range(1, 9)), 0)
    for name in names:
        by_step[str(exercises()[name].step)] += exercises()[name].points
    return by_step


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Forty submissions, graded by the command; what was there before, and what is expected."""
    top = tmp_path_factory.mktemp("a course")
    folder, outside, temporary = top / "handed in", top / "outside", top / "tmp"
    for each in (folder, outside, temporary):
        each.mkdir()
    (outside / "victim.txt").write_text("untouched")
    secret, mark = f"secret {secrets.token_hex(16)}", f"4321.{secrets.randbelow(10**9):09}"
    expected = {}
    for file, solved, wrong in _HONEST:
        answers = {name: _WRONG[name] for name in wrong}
        write(handed_in(solved, answers, remark=secret), folder / file)
        student = file.partition("/")[0].removesuffix(".ipynb").removesuffix(".py")
        expected[student] = _points(solved)
    others = [str(folder / "c.ipynb"), str(folder / "m" / "kernels.ipynb")]
    values = {
        "targets": [str(place / "written.txt") for place in (outside, folder, folder / "m", top, temporary)]
        + [str(Path.home() / "tinytorch-was-written.txt"), str(folders.cache() / "written.txt")],
        "victims": [str(outside / "victim.txt"), *others],
        "others": others,
        "sleep": mark,
    }
    for number, kind in enumerate(_HOSTILE):
        student = f"hostile {number}, {kind}"
        before = [text_of(CELLS[kind], **values)] if kind in CELLS else []
        answers = {"roofline": text_of(ANSWERS[kind], **values)} if kind in ANSWERS else {}
        if kind == "patches timer and NumPy":
            answers["vectorized_relu"] = _SLOW
        write(handed_in(["split"], answers, before, secret), folder / f"{student}.ipynb")
        expected[student] = _points(["split"])
    before = _digests(folder)
    command = ["grade", str(folder), "--out", str(top / "out"), "--seed", "7"]
    command += ["--jobs", "2"]  # at the least: some do nothing until their time is up
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch", *command],
        cwd=top,
        env=os.environ | {"TMPDIR": str(temporary), "TINYTORCH_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    print(f"{len(expected)} submissions were graded in {time.monotonic() - start:.0f} s")
    return {
        "top": top,
        "done": done,
        "before": before,
        "expected": expected,
        "secret": secret,
        "mark": mark,
        "targets": values["targets"],
    }


def _students(graded):
    content = json.loads((graded["top"] / "out" / "grades.json").read_text())
    return {each["student"]: each for each in content["students"]}


def test_there_are_forty_and_a_quarter_are_hostile(graded):
    assert len(graded["expected"]) == 40
    assert len(_HOSTILE) >= 10


def test_all_of_them_get_the_points_they_have_earned(graded):
    done = graded["done"]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = {name: each["steps"] for name, each in _students(graded).items()}
    wrong = {name: found.get(name) for name, steps in graded["expected"].items() if found.get(name) != steps}
    assert wrong == {}, {
        name: [
            f"{each['exercise']}: {each['state']} {each['message']} {each['hint']}"
            for each in _students(graded)[name]["outcomes"]
            if each["state"] != "not attempted"
        ]
        for name in wrong
    }


def test_the_table_says_the_same(graded):
    with (graded["top"] / "out" / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"].removeprefix("'"): row for row in csv.DictReader(file)}
    for student, steps in graded["expected"].items():
        row = rows[student]
        assert {step: int(row[f"step {step}"]) for step in steps} == steps
        assert int(row["total"]) == sum(steps.values())


def test_nothing_was_written_outside_and_nothing_spoilt(graded):
    for target in graded["targets"]:
        assert not os.path.lexists(target), target
    top = graded["top"]
    assert (top / "outside" / "victim.txt").read_text() == "untouched"
    assert _digests(top / "handed in") == graded["before"]
    assert {path.name for path in top.iterdir()} == {"handed in", "outside", "tmp", "out"}


def test_nothing_of_anothers_was_read(graded):
    for path in (graded["top"] / "out").rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            assert graded["secret"] not in text, path
    stolen = _students(graded)[f"hostile {_HOSTILE.index(_READS)}, {_READS}"]
    said = [each["message"] for each in stolen["outcomes"] if "STOLEN" in each["message"]]
    assert said
    assert all("#| export" not in text and ".ipynb" not in text for text in said)


def test_no_process_is_left(graded):
    assert _processes(graded["mark"]) == []


def test_the_disk_is_left_as_it_was(graded):
    top = graded["top"]
    assert list((top / "tmp").iterdir()) == []
    assert sum(path.stat().st_size for path in (top / "out").rglob("*")) < 20_000_000
    assert len(graded["done"].stdout) < 100_000
    assert graded["done"].stderr == ""


def test_each_is_told_what_was_wrong(graded):
    told = {
        "loops": "a loop that does not end",
        "eats memory": "memory",
        "crashes": "crash",
        "leaves": "exit",
    }
    for kind, words in told.items():
        student = _students(graded)[f"hostile {_HOSTILE.index(kind)}, {kind}"]
        (found,) = [each for each in student["outcomes"] if each["exercise"] == "roofline"]
        assert found["state"] == "failed"
        assert words in f"{found['message']} {found['hint']}".lower(), (kind, found)


def test_every_layer_that_this_system_has_was_in_force(graded):
    for student in _students(graded).values():
        assert "limits" in student["confinement"]
