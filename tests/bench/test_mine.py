"""`tito bench --mine`: a learner's kernels on the ladders; what is wrong with them; their earlier best."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from tests.roofs import made
from tinytorch.bench import answers, earlier, ladder, mine, report, run, trial
from tinytorch.bench.earlier import FILE, SCHEMA, Earlier
from tinytorch.bench.ladder import Step
from tinytorch.bench.mine import Mine
from tinytorch.bench.trial import LeftOut, attempt
from tinytorch.cli import main
from tinytorch.course import notebook
from tinytorch.course.exercises import exercises
from tinytorch.course.export import exported
from tinytorch.course.local import Local
from tinytorch.course.subject import WrongError
from tinytorch.measure import timing
from tinytorch.measure.measurement import Measurement
from tinytorch.ops.quantize import reference_codes
from tinytorch.ops.registry import mismatch, operations
from tinytorch.runtime.errors import InputError

EFFORT = {"seconds": 0.001, "rounds": 3}
SMALL = (
    ("matmul", (256, 256, 256), (12, 13, 14), True),
    ("linear", (64, 768, 3072), (4, 20, 30), False),
    ("relu", (1_000_000,), (100,), True),
    ("vectorized_operations", (1_000_000,), (100,), True),
    ("quantize", (1_000_000,), (100,), True),
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(timing, "REST_SECONDS", 0)
    monkeypatch.setattr(run, "limits", lambda tell: made())
    monkeypatch.setattr(run, "QUICK", EFFORT)
    monkeypatch.setattr(ladder, "CASES", SMALL)


def product(A, B):
    return A @ B


def relu(x):
    return np.maximum(x, 0)


def codes(x, scale):
    return np.clip(np.rint(x / np.float64(scale)), -128, 127).astype(np.int8)


def quantized_product(A, B, scale_A=1.0, scale_B=1.0):
    left, right = codes(A, scale_A).astype(np.int32), codes(B, scale_B).astype(np.int32)
    return ((left @ right) * (scale_A * scale_B)).astype(np.float32)


def quantized_relu(x, scale=1.0):
    return np.maximum(codes(x, scale), 0).astype(np.float32) * np.float32(scale)


def five(x, y):
    p, q = x.astype(np.float64), y.astype(np.float64)
    return {
        "element_wise_multiply": x * y,
        "element_wise_add": x + y,
        "squared_difference": (x - y) ** 2,
        "euclidean_distance": float(np.sqrt(np.sum((p - q) ** 2))),
        "dot_product": np.float64(p @ q),
    }


RIGHT = {
    "matmul_loops": product,
    "cache_friendly_matmul": lambda A, B, block_size=32: A @ B,
    "quantized_matmul": quantized_product,
    "vectorized_relu": relu,
    "parallel_relu": lambda x, num_workers=4: relu(x),
    "quantized_relu": quantized_relu,
    "vectorized_operations": five,
    "quantize": codes,
}


def climbed(functions, folder):
    """Climb quickly; returns what it was done with, the ladders, and what was said."""
    said = []
    found = Mine(functions, folder)
    ladders = list(found.climb(True, EFFORT, made(), lambda _: None, said.append))
    assert said == found.remarks
    return found, ladders, said


def one(name, function, folder):
    """Climb with one function that is not shown; returns the line about it."""
    found, ladders, (line,) = climbed({name: function}, folder)
    assert ladders == []
    assert found.any_wrong
    assert "\n" not in line
    return line


def test_every_answer_is_an_exercise():
    assert set(RIGHT) == set(answers.ANSWERS)
    assert set(answers.ANSWERS) <= set(exercises())
    assert {answer.operation for answer in answers.ANSWERS.values()} <= set(operations())


def test_right_ones_are_on_the_ladder(tmp_path):
    found, ladders, said = climbed(RIGHT, tmp_path)
    assert said == []
    assert not found.any_wrong
    names = {each.operation.name: [step.rung.name for step in each.steps] for each in ladders}
    assert names == {
        "matmul": [
            "numpy", "blocked", "vectorized", "parallel", "quantized",
            "yours: matmul_loops", "yours: cache_friendly_matmul", "yours: quantized_matmul",
        ],
        "relu": [
            "numpy", "vectorized", "parallel", "quantized",
            "yours: vectorized_relu", "yours: parallel_relu", "yours: quantized_relu",
        ],
        "vectorized_operations": ["numpy", "vectorized", "parallel", "yours: vectorized_operations"],
        "quantize": ["numpy", "vectorized", "parallel", "yours: quantize"],
    }  # fmt: skip
    for each in ladders:
        for step in each.steps:
            assert step.rung.mine == step.rung.name.startswith("yours: ")
            assert step.against_earlier is None
    matmul = ladders[0]
    assert {step.rung.name: str(step.dtype) for step in matmul.steps if step.rung.mine} == {
        "yours: matmul_loops": "float32",
        "yours: cache_friendly_matmul": "float32",
        "yours: quantized_matmul": "int8",
    }


def test_only_what_is_theirs_is_climbed(tmp_path):
    _, ladders, _ = climbed({"quantize": codes, "time_kernel": print}, tmp_path)
    assert [each.operation.name for each in ladders] == ["quantize"]


def test_codes_near_a_tie_may_round_either_way():
    """0.35 / 0.1 is 3.5 in float32, and below it in float64."""
    x, scale = np.array([0.35, 0.36], np.float32), 0.1
    operation = operations()["quantize"]
    rung = answers.rung("quantize", codes, operation)
    assert reference_codes(x, scale).tolist() != codes(x, scale).tolist()
    assert rung.bound(x, scale).tolist() == [1, 0]


def test_sums_may_be_kept_in_float32():
    operation = operations()["vectorized_operations"]
    x, y = operation.inputs(np.random.default_rng(1), (100_000,), np.dtype(np.float32))
    rung = answers.rung("vectorized_operations", five, operation)
    exact, bound = rung.reference(x, y), rung.bound(x, y)
    found = five(x, y) | {
        "euclidean_distance": np.sqrt(np.cumsum((x - y) ** 2)[-1]),  # one after the other
        "dot_product": np.cumsum(x * y)[-1],
    }
    assert mismatch(found, exact, operation.bound(x, y)) is not None
    assert mismatch(found, exact, bound) is None
    twice = found | {"euclidean_distance": 2 * found["euclidean_distance"]}
    assert "euclidean_distance" in mismatch(twice, exact, bound)
    assert "element_wise_add" in mismatch(found | {"element_wise_add": x - y}, exact, bound)


def test_the_solutions_of_the_course_are_right(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("jupytext")
    path = tmp_path / "kernels.ipynb"
    nbformat.write(notebook.made(notebook.MODULE), path)
    functions = {}
    exec(exported(path).text, functions)
    for name, answer in answers.ANSWERS.items():
        operation = operations()[answer.operation]
        (shape,) = [small for each, _, small, _ in SMALL if each == answer.operation]
        rung = answers.rung(name, functions[name], operation)
        tried = attempt(name, rung, operation, shape, Local(functions))
        assert not isinstance(tried.found, LeftOut), (name, tried)


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        ("matmul_loops", lambda A, B: (A @ B) * 2, "3 of 3 elements are wrong; at (0, 0)"),
        ("matmul_loops", lambda A, B: (A @ B).astype(np.float64), "the result is float64, not float32"),
        ("matmul_loops", lambda A, B: None, "it returned None, not an array"),
        ("matmul_loops", lambda A, B: (A @ B).tolist(), "it returned a list, not an array"),
        ("matmul_loops", lambda A, B: (A @ B).T.copy(), "shape (3, 1) instead of (1, 3)"),
        ("vectorized_relu", lambda x: x, "of 7 elements are wrong"),
        ("parallel_relu", relu, "it raised TypeError"),
        ("quantize", lambda x, scale: (x / scale).astype(np.int8), "elements are wrong"),
        ("quantize", lambda x, scale: np.rint(x / scale), "the result is float32, not int8"),
        ("vectorized_operations", lambda x, y: x + y, "it returned a ndarray, not a dict"),
        ("vectorized_operations", lambda x, y: {"sum": x + y}, "element_wise_multiply: it returned None"),
        (
            "vectorized_operations",
            lambda x, y: {**five(x, y), "dot_product": 0.5},
            "dot_product: 1 of 1 elements are wrong",
        ),
    ],
)  # fmt: skip
def test_a_wrong_one_is_left_out(name, wrong, text, tmp_path):
    line = one(name, wrong, tmp_path)
    assert line.startswith(f"yours: {name} is left out of ")
    assert text in line


def test_one_that_raises_is_left_out(tmp_path):
    def raising(x):
        raise ValueError("x\nis nothing")

    assert "it raised ValueError: x is nothing (line" in one("vectorized_relu", raising, tmp_path)


def test_one_that_changes_its_input_is_left_out(tmp_path):
    def changing(x):
        x[x < 0] = 0
        return x.copy()

    assert "it changed its input number 1 in place" in one("vectorized_relu", changing, tmp_path)


def test_the_rest_goes_on(tmp_path):
    found, (matmul, relus), said = climbed(
        {"matmul_loops": lambda A, B: A, "cache_friendly_matmul": product, "vectorized_relu": relu}, tmp_path
    )
    assert len(said) == 1
    assert found.any_wrong
    assert [step.rung.name for step in matmul.steps if step.rung.mine] == ["yours: cache_friendly_matmul"]
    assert relus.steps[-1].rung.name == "yours: vectorized_relu"


@pytest.mark.parametrize("end", ["raises", "is wrong"])
def test_right_at_first_and_not_when_timed(end, tmp_path):
    calls = []

    def lucky(x):
        calls.append(x)
        if len(calls) <= 4:  # as often as it is tried
            return relu(x)
        if end == "raises":
            raise SystemExit(3)
        return x

    found, (relus,), (line,) = climbed(
        {"vectorized_relu": lucky, "parallel_relu": RIGHT["parallel_relu"]}, tmp_path
    )
    assert found.any_wrong
    assert line.startswith("yours: vectorized_relu is left out of relu 100: ")
    assert ("it raised SystemExit" if end == "raises" else "elements are wrong") in line
    assert [step.rung.name for step in relus.steps if step.rung.mine] == ["yours: parallel_relu"]


def test_one_that_prints_is_told_of_and_shown(tmp_path, capsys):
    def printing(x):
        print("here I am")
        return relu(x)

    found, (relus,), (line,) = climbed({"vectorized_relu": printing}, tmp_path)
    assert line == "yours: vectorized_relu prints; that is not shown here, and takes part of its time"
    assert relus.steps[-1].rung.name == "yours: vectorized_relu"
    assert not found.any_wrong
    assert "here I am" not in capsys.readouterr().out


def test_one_that_would_take_minutes_is_not_begun(tmp_path, monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock, seen = Clock(), []

    def slow(A, B):
        seen.append(A.shape)
        clock.now += 1e-3 * A.size * B.shape[1]
        return A @ B

    monkeypatch.setattr(trial, "time", clock)
    monkeypatch.setattr(ladder, "CASES", (("matmul", (48, 48, 48), (48, 48, 48), True),))
    found, ladders, (line,) = climbed({"matmul_loops": slow}, tmp_path)
    assert ladders == []
    assert not found.any_wrong
    assert "left out of matmul 48 x 48 x 48: a call takes about 111 s, and more than 5 s" in line
    assert seen == [(4, 5), (4, 5), (13, 14)]


def test_it_is_tried_apart_first(tmp_path, monkeypatch):
    asked = []

    class Apart:
        def __init__(self, cells, confined):
            asked.append((cells, confined))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            asked.append("closed")

        def call(self, name, *args, **kwargs):
            raise WrongError("the process ended")

    def never(x):
        raise AssertionError("called here")

    monkeypatch.setattr(mine, "Runner", Apart)
    found = Mine({"vectorized_relu": never}, tmp_path, "the text")
    assert list(found.climb(True, EFFORT, made(), lambda _: None, lambda _: None)) == []
    assert found.remarks == ["yours: vectorized_relu is left out of relu 100: at 7, the process ended"]
    assert asked == [(["the text"], False), "closed"]


def test_a_crash_is_no_end_of_the_bench(tmp_path):
    text = (
        "import os\ndef quantize(x, scale):\n    os._exit(3)\ndef vectorized_relu(x):\n    return x.clip(0)\n"
    )
    here = {}
    exec(text, here)
    found = Mine({name: here[name] for name in ("quantize", "vectorized_relu")}, tmp_path, text)
    ladders = list(found.climb(True, EFFORT, made(), lambda _: None, lambda _: None))
    assert [each.operation.name for each in ladders] == ["relu"]
    assert len(found.remarks) == 1
    assert "quantize is left out of quantize 100: at 7, the process ended" in found.remarks[0]


def test_placeholders_are_not_shown(tmp_path):
    def nothing(x):
        raise NotImplementedError

    said = []
    found = Mine({"vectorized_relu": nothing}, tmp_path)
    assert list(found.climb(True, EFFORT, made(), lambda _: None, said.append)) == []
    assert said == ["none of your kernels is written yet"]


def test_nothing_on_a_ladder(tmp_path):
    with pytest.raises(InputError, match=r"on a ladder.*tito export 13_kernels"):
        Mine({"time_kernel": print}, tmp_path)


# Their earlier best


def step(ratio, samples=(1e-3,) * 9, rung=None):
    """Return what is known of a measured rung."""
    return Step(rung, Measurement("", samples, 1), 1.0, 1.0, ratio, None, None, None)


def test_a_best_is_kept(tmp_path):
    path = tmp_path / FILE
    bests = Earlier(path, "here")
    assert bests.best("relu 9", "yours: x") is None
    assert bests.take("relu 9", "yours: x", step(0.5), step(1.0))
    assert bests.write() is None
    elsewhere = Earlier(path, "elsewhere")
    assert elsewhere.best("relu 9", "yours: x") is None
    assert elsewhere.take("relu 9", "yours: x", step(0.1), step(1.0))
    assert elsewhere.write() is None
    again = Earlier(path, "here")
    assert again.problem == ""
    assert again.best("relu 9", "yours: x").against_numpy == 0.5
    assert again.best("relu 9", "yours: x").seconds == 1e-3
    assert again.best("relu 10", "yours: x") is None
    assert not again.take("relu 9", "yours: x", step(0.4), step(1.0))
    assert again.take("relu 9", "yours: x", step(0.6), step(1.0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_best_that_is_not_stable_is_not_kept(tmp_path):
    bests = Earlier(tmp_path / FILE, "here")
    wild = (1e-3, 2e-3, 3e-3) * 3
    assert not bests.take("relu 9", "yours: x", step(2.0, wild), step(1.0))
    assert not bests.take("relu 9", "yours: x", step(2.0, (1e-3,) * 4), step(1.0))
    assert bests.take("relu 9", "yours: x", step(2.0, wild), step(1.0, wild))  # disturbed together
    assert bests.best("relu 9", "yours: x").against_numpy == 2.0


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "null", '{"schema": 99, "machines": {}}',
        '{"schema": 1, "machines": {"m": {"l": {"r": {}}}}}',
        '{"schema": 1, "machines": {"m": {"l": {"r": {"against_numpy": NaN, "seconds": 1, "time": ""}}}}}',
    ],
)  # fmt: skip
def test_a_broken_file_is_set_aside(content, tmp_path):
    path = tmp_path / FILE
    for count in (1, 2):
        path.write_text(content)
        bests = Earlier(path, "here")
        assert "could not be understood" in bests.problem
        assert "\n" not in bests.problem
        assert not path.exists()
        assert len(list(tmp_path.iterdir())) == count
    assert all(each.read_text() == content for each in tmp_path.iterdir())


def test_against_their_earlier_best(tmp_path, monkeypatch):
    monkeypatch.setattr(mine, "BUSY", 1e9)
    monkeypatch.setattr(earlier, "stable", lambda *_: True)
    _, (first,), _ = climbed({"vectorized_relu": relu}, tmp_path)
    assert first.steps[-1].against_earlier is None
    kept = json.loads((tmp_path / FILE).read_text())
    assert kept["schema"] == SCHEMA
    ((machine, ladders),) = kept["machines"].items()
    best = ladders["relu 100"]["yours: vectorized_relu"]
    assert best["against_numpy"] == first.steps[-1].against_numpy
    assert best["seconds"] == first.steps[-1].measurement.median
    _, (second,), _ = climbed({"vectorized_relu": relu}, tmp_path)
    last = second.steps[-1]
    assert last.against_earlier == pytest.approx(last.against_numpy / best["against_numpy"])
    assert [each.against_earlier for each in second.steps[:-1]] == [None] * 4
    for each, count in ((first, 1), (second, 0)):
        console = Console(width=80, record=True, file=io.StringIO())
        report.show_ladder(console, each)
        assert console.export_text().count("none yet") == count
    again = json.loads((tmp_path / FILE).read_text())["machines"][machine]["relu 100"][
        "yours: vectorized_relu"
    ]
    assert again["against_numpy"] == max(best["against_numpy"], last.against_numpy)


def test_nothing_is_kept_of_a_busy_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(mine, "BUSY", -1)
    monkeypatch.setattr(earlier, "stable", lambda *_: True)
    climbed({"vectorized_relu": relu}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(mine, "BUSY", 1e9)
    monkeypatch.setattr(Earlier, "take", lambda *_: True)
    monkeypatch.setattr(Earlier, "write", lambda _: "the folder is read-only")
    _, ladders, said = climbed({"vectorized_relu": relu}, tmp_path)
    assert len(ladders) == 1
    assert said == ["what you reached is not kept: the folder is read-only"]


# The command


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Be in a workspace whose path has a space and a letter that is not ASCII."""
    folder = tmp_path / "a wörkspace"
    (folder / "tinytorch_exports" / "core").mkdir(parents=True)
    (folder / ".tinytorch.json").write_text('{"module": "13_kernels", "notebook": "kernels.py"}')
    (folder / "kernels.py").touch()
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    return folder


KERNELS = """\
import numpy as np

print("loading")


def vectorized_relu(x):
    return np.maximum(x, 0)


def quantized_relu(x, scale=1.0):
    return x


def matmul_loops(A, B):
    print("multiplying")
    return A @ B


__all__ = ["matmul_loops", "quantized_relu", "vectorized_relu"]
"""


def test_the_command(workspace, capsys, tmp_path):
    (workspace / "tinytorch_exports/core/kernels.py").write_text(KERNELS)
    written, page, folder = tmp_path / "x.json", tmp_path / "x.html", tmp_path / "figures"
    folder.mkdir()
    to = ["--json", str(written), "--html", str(page), "--figures", str(folder)]
    assert main(["bench", "--mine", "--quick", *to]) == 1  # one is wrong
    out = capsys.readouterr().out
    assert "yours: vectorized_relu" in out
    assert "yours: quantized_relu is left out of relu 100: at 7, " in out
    assert "yours: matmul_loops prints" in out
    assert "x earlier" in out
    assert "none yet" in out
    for text in ("multiplying", "loading", "digits", "x bottom", "linear"):
        assert text not in out.replace(str(tmp_path), "")
    content = json.loads(written.read_text())
    assert [each["operation"] for each in content["ladders"]] == ["matmul", "relu"]
    mines = [rung for each in content["ladders"] for rung in each["rungs"] if rung.get("mine")]
    assert [rung["name"] for rung in mines] == ["yours: matmul_loops", "yours: vectorized_relu"]
    assert all(rung["against_earlier"] is None and rung["samples_s"] for rung in mines)
    assert content["digits"] == []
    assert len(content["remarks"]) == 2
    text = page.read_text()
    assert "Your kernels" in text
    assert "relu 100, yours: vectorized_relu" in text  # a point of the roofline
    assert "is left out of relu 100" in text
    assert "Handwritten digits" not in text
    assert "yours: vectorized_relu" in (folder / "roofline-float32.svg").read_text()
    assert "yours: matmul_loops" in (folder / "ladder-matmul-12-x-13-x-14.svg").read_text()


def test_no_workspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--mine"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "tito start 13_kernels" in told.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "tito export 13_kernels"),
        ("__all__ = ['time_kernel']\ntime_kernel = print\n", "none of the kernels"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_nothing_to_climb_with(text, said, workspace, capsys):
    if text is not None:
        (workspace / "tinytorch_exports/core/kernels.py").write_text(text)
    assert main(["bench", "--mine", "--quick"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert said in told.err


def test_tables_fit_80_columns(tmp_path):
    console = Console(width=80, record=True, file=io.StringIO())
    _, ladders, _ = climbed(RIGHT, tmp_path)
    for each in ladders:
        report.show_ladder(console, each)
    text = console.export_text()
    assert "cache_friendly_matmul" in text
    assert "…" not in text
