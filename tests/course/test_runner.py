"""A submission in its process answers as functions of this process do."""

import sys

import numpy as np
import pytest

from tests.course.in_runner import HONEST, IMPORTS
from tinytorch.course.local import Local
from tinytorch.course.running.runner import Runner
from tinytorch.course.subject import (
    Call,
    Mine,
    NotAttemptedError,
    NotRunError,
    Other,
    Probe,
    RaisedError,
    WrongError,
)


@pytest.fixture(scope="module")
def learner():
    with Runner(
        [IMPORTS, HONEST, "def broken(:\n    pass", "raise KeyError('x')\ndef after():\n    pass"]
    ) as one:
        yield one


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    file = tmp_path_factory.mktemp("local") / "cell.py"
    file.write_text(f"{IMPORTS}\n{HONEST}")
    names = {}
    exec(compile(file.read_text(), file, "exec"), names)
    return Local(names)


@pytest.fixture(params=["runner", "local"])
def either(request, learner, local):
    """Both kinds of subject: they behave the same."""
    return learner if request.param == "runner" else local


def test_a_result_comes_back(either):
    x = np.linspace(-1, 1, 11, dtype=np.float32)
    found = either.call("relu", x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.maximum(x, 0))


def test_plain_values_come_back(either):
    one, two, three, four, five = either.call("told")
    assert (one, two, three) == (1, [2.5, None], {"a": "b"})
    assert (four, four.dtype, four.shape) == (3, np.float32, ())
    assert five == Other("set")


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_arrives_in_its_layout(either, order):
    x = np.zeros((3, 4), order=order)
    assert either.call("layout", x) == [order == "C", order == "F"]
    assert either.call("layout", x[:, ::2]) == [False, False]


def test_an_input_that_is_changed_is_told(either):
    x = np.zeros(3)
    with pytest.raises(WrongError, match="changed its input number 1 in place"):
        either.call("fill", x)
    assert x[0] == 0


def test_probes_and_own_functions_are_arguments_and_targets(either):
    x = np.array([-1.0, 2.0])
    np.testing.assert_array_equal(either.call("apply", Mine("relu"), x), [0, 2])
    np.testing.assert_array_equal(either.call("apply", Probe("relu_in_python"), x), [0, 2])
    np.testing.assert_array_equal(either.call(Probe("relu_in_python"), x), [0, 2])
    assert either.call("apply", Probe("sleeping", (0.0,)), 5) == 5


@pytest.mark.parametrize("name", ["nothing", "todo"])
def test_what_is_not_there_is_not_attempted(learner, name):
    with pytest.raises(NotAttemptedError, match=name):
        learner.call(name, np.zeros(3))
    with pytest.raises(NotAttemptedError, match=name):
        learner.uses(name)


def test_what_a_function_raises_is_told_with_its_line(either):
    with pytest.raises(RaisedError, match="ZeroDivisionError") as caught:
        either.call("divide")
    assert "ArithmeticError" in caught.value.kinds


def test_the_line_is_that_of_the_cell(learner):
    with pytest.raises(RaisedError) as caught:
        learner.call("divide")
    number = HONEST.split("\n").index("    return 1 // 0") + 1
    assert caught.value.where == f"line {number}: return 1 // 0"


def test_what_is_no_function_is_told(either):
    with pytest.raises(WrongError, match="number is a int, not a function"):
        either.call("number")


def test_a_cell_that_failed_is_told_of_where_its_function_is_missing(learner):
    with pytest.raises(
        WrongError, match="cell that defines broken raised SyntaxError: invalid syntax"
    ) as caught:
        learner.call("broken")
    assert caught.value.hint == "line 1: def broken(:"
    with pytest.raises(WrongError, match="cell that defines after raised KeyError: 'x'") as caught:
        learner.uses("after")
    assert caught.value.hint == "line 1: raise KeyError('x')"


def test_time_is_told_as_a_ratio(either):
    x = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    found = either.ratio(Call("relu", (x,)), Call(Probe("relu_in_python"), (x,)))
    assert found.value < 0.5
    np.testing.assert_array_equal(found.first, np.maximum(x, 0))
    np.testing.assert_array_equal(found.second, np.maximum(x, 0))


def test_one_thread_is_told_from_several(either):
    x = np.random.default_rng(1).standard_normal(2_000_000)
    assert either.busiest("alone", x, seconds=0.5) > 0.9
    assert either.busiest("threads", x, seconds=0.5) < 0.8


def test_texts_that_cannot_be_read_are_left_out_or_told():
    sums = {
        number: f"def f():\n    return abs(1)\nx = {'+'.join('1' * number)}" for number in (2_000, 20_000)
    }
    with Runner(["def f():\n    return abs(1)", sums[20_000], "x = " + "(" * 500, "\0"]) as learner:
        assert learner.uses("f") == {"abs"}
    with Runner([sums[2_000]]) as learner, pytest.raises(WrongError, match="the text of f cannot be read"):
        learner.uses("f")


def test_compiled_threads_work(learner):
    x = np.random.default_rng(1).standard_normal(10_000)
    np.testing.assert_allclose(learner.call("parallel", x), np.sqrt(np.abs(np.sin(x))))


def test_what_a_function_calls_is_read(either):
    assert {"numpy.sqrt", "numpy.abs", "numpy.sin"} <= either.uses("alone")
    assert "numpy.sqrt" in either.uses("threads")


KERNEL = """
from numba import cuda

@cuda.jit
def add_one(x, n, y):
    i = cuda.grid(1)
    if i < n:
        y[i] = x[i] + 1

@cuda.jit
def endless(x, n, y):
    while x[0] == 0:
        y[0] += 1

def empty(x, n, y):
    raise NotImplementedError()
"""


def test_a_kernel_is_analysed_here():
    pytest.importorskip("numba_cuda")
    x, y = np.zeros(64, np.float32), np.zeros(64, np.float32)
    with Runner([KERNEL]) as learner:
        found = learner.gpu("add_one", 2, 32, x, 64, y)
        assert found.totals.global_loads.requests == found.totals.global_stores.requests == 2
        with pytest.raises(RaisedError, match=r"endless|steps"):
            learner.gpu("endless", 1, 32, x, 64, y)
        with pytest.raises(RaisedError, match="takes 3 arguments"):
            learner.gpu("add_one", 2, 32, x)
        with pytest.raises(NotAttemptedError):
            learner.gpu("empty", 2, 32, x, 64, y)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("('no PTX', ['x', 'n', 'y'])", RaisedError),
        ("('', ['x', 'n', 'y'])", RaisedError),
        ("('.visible .entry e(.param .u64 x)', ['x', 'n', 'y'])", RaisedError),
        ("('.global .b8 big[99999999999];', ['x', 'n', 'y'])", RaisedError),
        ("('', ['x'])", WrongError),
        ("5", WrongError),
        ("('x' * 5_000_000, ['x', 'n', 'y'])", WrongError),
    ],
)
def test_a_forged_kernel_is_an_error(answer, kind):
    pytest.importorskip("numba_cuda")
    forge = "import tinytorch.course.running.cells as s\ns.Cells.do_ptx = lambda self, **_: "
    with Runner([forge + answer]) as learner, pytest.raises(kind):
        learner.gpu("add_one", 1, 32, np.zeros(3, np.float32), 3, np.zeros(3, np.float32))


def test_without_numba_cuda_a_kernel_is_not_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    with Runner(["def kernel(x):\n    pass"]) as learner, pytest.raises(NotRunError, match=r"\[gpu\]"):
        learner.gpu("kernel", 1, 32, np.zeros(3, np.float32))
