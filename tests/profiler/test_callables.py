"""Functions and arguments as they stand on a command line."""

import numpy as np
import pytest

from tests.profiler import subjects
from tinytorch.profiler.callables import arguments, array, function

HERE = "tests.profiler.subjects"


def test_functions_by_module_and_by_file(tmp_path):
    assert function(f"{HERE}:product") is subjects.product
    assert function(f"{HERE}:Layer.forward")(2) == 4
    path = tmp_path / "mein Kernel.py"
    path.write_text("import beside\ndef f(x):\n    return beside.g(x)\n")
    (tmp_path / "beside.py").write_text("def g(x):\n    return x + 1\n")
    assert function(f"{path}:f")(1) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "names no function; write package.module:function"),
        (":f", "names no function"),
        ("m:", "names no function"),
        ("no.such.module:f", "there is no module 'no.such.module' here"),
        ("/no/such/file.py:f", "there is no file /no/such/file.py"),
        (f"{HERE}:nothing", "has no 'nothing'; it has "),
        (f"{HERE}:not_callable", "is no function but of <class 'int'>"),
    ],
)
def test_functions_that_are_not_there(text, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        function(text)


def test_a_module_that_misses_another_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        function("needs_more:f")


def test_arrays():
    assert array("3x4").shape == (3, 4)
    assert array("3x4").dtype == np.float32
    assert array("5:float64").dtype == np.float64
    assert str(array("2x2x2:bfloat16").dtype) == "bfloat16"
    assert set(np.unique(array("100:bool"))) == {False, True}
    assert array("0").shape == (0,)
    numbers = array("1000:int8")
    assert numbers.min() >= 0
    assert numbers.max() <= 99
    np.testing.assert_array_equal(array("7"), array("7"))
    assert not np.array_equal(array("7", seed=1), array("7"))
    assert array("10x3", factor=0.25).shape == (2, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3y", "is no array; write its shape and dtype as 512x512:float32"),
        ("", "is no array"),
        ("3x3:float7", "there is no dtype 'float7'; there are float16"),
        ("x3", "is no array"),
        ("3x3:", "is no array"),
        ("-3", "is no array"),
        ("9999999x9999999", "does not fit in memory"),
    ],
)
def test_arrays_that_are_none(text, said):
    with pytest.raises(ValueError, match=said):
        array(text)


def test_inputs_from_a_function():
    args, scaled = arguments((), f"{HERE}:squares")
    assert args[0].shape == (64, 64)
    assert scaled(0.5)[1].shape == (32, 32)
    args, scaled = arguments((), f"{HERE}:way")
    assert args[1] == 20_000
    assert scaled is None  # it takes no factor
    args, scaled = arguments(("4x4", "4:int32"), None)
    assert [a.shape for a in scaled(0.5)] == [(2, 2), (2,)]
    assert arguments((), None) == ((), None)
    with pytest.raises(ValueError, match="not both"):
        arguments(("4",), f"{HERE}:way")
