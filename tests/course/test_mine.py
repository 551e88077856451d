"""A learner's exported kernels in the place of the library's: where they are, and nowhere else."""

import subprocess
import sys
import textwrap

import pytest

from tinytorch.course import mine
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.workspace import EXPORTED, MARKER, VARIABLE

EXPORT = '''\
import numpy as np
from numba import njit


def vectorized_relu(x):
    """Mine."""
    assert type(x) is np.ndarray, type(x)
    return np.maximum(x, 0)


def vectorized_operations(x, y):
    return {"element_wise_add": x + y, "dot_product": float(x @ y), "words": "as they are"}


def quantized_relu(x, scale=1.0):
    return np.float32(x.sum() * scale)


def parallel_batch_processing(batch_data, operation, num_workers=4):
    return [("mine", operation(item)) for item in batch_data]


def time_kernel(func, *args, **kwargs):
    return func(*args, **kwargs), -1.0


@njit
def matmul_loops(A, B):
    return A + B


def product(a, b):
    return "the library's file uses this name itself"


LIMIT = 3
__all__ = ["vectorized_relu", "vectorized_operations", "quantized_relu", "parallel_batch_processing",
           "time_kernel", "matmul_loops", "product", "LIMIT"]
'''


def lay(folder, text=EXPORT):
    (folder / EXPORTED).parent.mkdir(parents=True, exist_ok=True)
    (folder / EXPORTED).write_text(text, "utf-8")
    (folder / MARKER).write_text("{}")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "Übung 1").mkdir()
    return lay(tmp_path / "Übung 1")


def python(code, folder, *before):
    """Run a script of that text in a folder; returns what it printed, and what was warned of."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(code), "utf-8")
    done = subprocess.run(
        [sys.executable, *before, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_in_a_workspace_the_learners_come_first_and_the_librarys_stay(folder):
    told, warned = python(
        """
        import inspect, pickle
        import numpy as np
        from tinytorch.core import kernels
        from tinytorch.core.kernels import *
        from tinytorch.core.tensor import Tensor

        assert vectorized_relu.__doc__ == "Mine." and "Mine." in inspect.getdoc(kernels.vectorized_relu)
        for given in ([-1.0, 2.0], np.array([-1.0, 2.0]), Tensor([-1.0, 2.0]), np.array([-1.0, 2.0], ">f8")):
            result = vectorized_relu(given)
            assert type(result) is Tensor and result.data.tolist() == [0, 2]
        results = vectorized_operations(x=[1.0, 2.0], y=Tensor([3.0, 5.0]))
        assert type(results["element_wise_add"]) is Tensor and results["words"] == "as they are"
        assert type(results["dot_product"]) is Tensor and results["dot_product"].shape == ()
        assert type(quantized_relu([1.0], scale=np.float32(2))) is Tensor
        assert parallel_batch_processing([7], str) == [("mine", "7")]
        assert time_kernel(sum, [1, 2]) == (3, -1.0)
        A = np.ones((2, 2))
        assert type(matmul_loops(A, A)) is np.ndarray  # their own name: as it is
        assert type(vectorized_matmul(A, A)) is Tensor  # ours: `product` is still what it leans on
        assert kernels.cache_friendly_matmul.__doc__.startswith("Return A @ B by compiled loops")
        assert pickle.loads(pickle.dumps(vectorized_relu)) is vectorized_relu
        assert "matmul_loops" in kernels.__all__ and "LIMIT" not in kernels.__all__
        assert kernels.KernelOptimizationProfiler.__name__ == "KernelOptimizationProfiler"
        print(inspect.signature(kernels.vectorized_relu))
        """,
        folder,
    )
    assert (told, warned) == ("(x)\n", "")


SHOW = "from tinytorch.core.kernels import vectorized_relu; print(vectorized_relu.__doc__[:5])"


def test_only_there(folder, tmp_path, monkeypatch):
    (folder / "below").mkdir()
    (tmp_path / "elsewhere").mkdir()
    assert python(SHOW, folder / "below")[0] == "Mine.\n"
    assert python(SHOW, tmp_path / "elsewhere")[0] == "Retur\n"
    monkeypatch.setenv(VARIABLE, str(folder))
    assert python(SHOW, tmp_path / "elsewhere")[0] == "Mine.\n"
    monkeypatch.setenv(VARIABLE, "")
    assert python(SHOW, folder)[0] == "Retur\n"


def test_the_librarys_own_rooms_are_not_touched(folder):
    told, _ = python(
        """
        import numpy as np
        from tinytorch.core import kernels
        from tinytorch.core.activations import ReLU
        from tinytorch import ops
        x = np.array([-1.0, 2.0])
        kernels.vectorized_relu = None
        print(ReLU()(x), ops.relu(x), kernels.parallel_relu(x).data)
        """,
        folder,
    )
    assert told == "Tensor([0., 2.], dtype=float64) [0. 2.] [0. 2.]\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", r"ZeroDivisionError: division by zero (line 1: 1 / 0)"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit", "SystemExit"),
        ("import no_such_library", "No module named 'no_such_library'"),
    ],
)
def test_a_broken_export_is_told_of_once_and_ours_are_used(folder, text, why):
    lay(folder, text)
    told, warned = python(SHOW + "\nimport tinytorch.core.kernels", folder)
    assert told == "Retur\n"
    assert warned.count("UserWarning") == 1 and why in warned and "the library's kernels are used" in warned


def test_a_named_workspace_without_export_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    told, warned = python(SHOW, tmp_path)
    assert told == "Retur\n" and "has no exported kernels; tito export" in warned


def test_an_export_may_import_the_librarys_kernels(folder):
    text = (
        "from tinytorch.core.kernels import vectorized_relu as ours\n"
        "def vectorized_relu(x):\n    'Mine.'\n    return ours(x).data + 1\n__all__ = ['vectorized_relu']\n"
    )
    lay(folder, text)
    code = "from tinytorch.core.kernels import vectorized_relu; print(vectorized_relu([1.0]))"
    assert python(code, folder) == ("Tensor([2.], dtype=float64)\n", "")
    assert python(f"import tinytorch_exports.core.kernels\n{code}", folder) == (
        "Tensor([2.], dtype=float64)\n",
        "",
    )


def test_functions_as_the_learner_wrote_them(folder, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, mine.NAME, raising=False)  # another test's export
    found = mine.functions(folder)
    assert set(found) == {
        "vectorized_relu", "vectorized_operations", "quantized_relu", "parallel_batch_processing",
        "time_kernel", "matmul_loops", "product",
    }  # fmt: skip
    assert found["vectorized_relu"].__doc__ == "Mine."
    assert mine.functions(folder)["vectorized_relu"] is found["vectorized_relu"]  # imported once
    with pytest.raises(InputError, match="no exported kernels; tito export 13_kernels makes them"):
        mine.functions(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match=r"cannot be imported: ZeroDivisionError.*line 1: 1 / 0"):
        mine.functions(lay(other, "1 / 0"))
    assert mine.functions(folder)["vectorized_relu"] is found["vectorized_relu"]
