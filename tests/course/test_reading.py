"""What a learner's kernel calls is seen, however it is called; what is the learner's own is left alone."""

import linecache
from typing import Any

import numpy as np
import pytest

from tinytorch.course import reading
from tinytorch.course.checks import by_hand
from tinytorch.course.local import Local
from tinytorch.course.subject import NotAttemptedError, WrongError

IMPORTS = "import numpy as np\nfrom numba import njit\n"

#: Texts whose function `kernel` calls someone else's product, each in its own way.
DISGUISES = {
    "call": "def kernel(a): return np.dot(a, a)",
    "operator": "def kernel(a): return a @ a",
    "operator in place": "def kernel(a):\n    a @= a\n    return a",
    "operator under njit": "@njit\ndef kernel(a): return a @ a",
    "dot under njit": "@njit\ndef kernel(a): return np.dot(a, a)",
    "method": "def kernel(a): return a.dot(a)",
    "method of a result": "def kernel(a): return np.asarray(a).dot(a)",
    "special method": "def kernel(a): return a.__matmul__(a)",
    "other module name": "import numpy as N\ndef kernel(a): return N.dot(a, a)",
    "module under two names": "M = N = np\ndef kernel(a): return M.dot(a, a)",
    "chain of names": "a = np\nb = a\nc = b\ndef kernel(x): return c.matmul(x, x)",
    "name imported": "from numpy import dot as add\ndef kernel(a): return add(a, a)",
    "submodule": "import numpy.linalg as la\ndef kernel(a): return la.multi_dot([a, a])",
    "everything imported": "from numpy import *\ndef kernel(a): return inner(a, a)",
    "imported within": "def kernel(a):\n    from numpy import vdot as f\n    return f(a, a)",
    "module imported within": "def kernel(a):\n    import numpy as q\n    return q.einsum('ij,jk', a, a)",
    "function assigned": "times = np.tensordot\ndef kernel(a): return times(a, a)",
    "assigned within": "def kernel(a):\n    f = np.dot\n    return f(a, a)",
    "default": "def kernel(a, f=np.dot): return f(a, a)",
    "table": "ways = {'fast': np.dot}\ndef kernel(a): return ways['fast'](a, a)",
    "nested table": "ways = [[np.dot]]\ndef kernel(a): return ways[0][0](a, a)",
    "lambda": "f = lambda a: np.dot(a, a)\ndef kernel(a): return f(a)",
    "lambda within": "def kernel(a): return (lambda x: np.dot(x, x))(a)",
    "nested function": "def kernel(a):\n    def inside(): return np.dot(a, a)\n    return inside()",
    "helper": "def helper(a): return np.dot(a, a)\ndef kernel(a): return helper(a)",
    "helper of a helper": "@njit\ndef one(a): return a @ a\n@njit\ndef two(a): return one(a)\n"
    "def kernel(a): return two(a)",
    "njit called": "def helper(a): return a @ a\nfast = njit(helper)\ndef kernel(a): return fast(a)",
    "itself compiled by call": "def kernel(a): return a @ a\nkernel = njit(kernel)",
    "lambda compiled": "fast = njit(lambda a: a @ a)\ndef kernel(a): return fast(a)",
    "decorator": "def fast(f):\n    def inside(a): return np.dot(a, a)\n    return inside\n"
    "@fast\ndef kernel(a): return a",
    "wrapping decorator": "import functools\ndef fast(f):\n    @functools.wraps(f)\n"
    "    def inside(a): return np.dot(a, a)\n    return inside\n@fast\ndef kernel(a): return a",
    "made by a function": "def make():\n    f = np.dot\n    def kernel(a): return f(a, a)\n"
    "    return kernel\n"
    "kernel = make()",
    "partial": "from functools import partial\nf = partial(np.tensordot, axes=1)\n"
    "def kernel(a): return f(a, a)",
    "object": "class Product:\n    def __call__(self, a): return np.inner(a, a)\np = Product()\n"
    "def kernel(a): return p(a)",
    "object that holds it": "class Holder:\n    def __init__(self): self.f = np.dot\nh = Holder()\n"
    "def kernel(a): return h.f(a, a)",
    "method of an object": "class P:\n    def go(self, a): return np.dot(a, a)\ngo = P().go\n"
    "def kernel(a): return go(a)",
    "class method": "class P:\n    @staticmethod\n    def go(a): return np.dot(a, a)\n"
    "def kernel(a): return P.go(a)",
    "bound method": "f = np.eye(3).dot\ndef kernel(a): return f(a)",
    "map": "def kernel(a): return list(map(np.dot, [a], [a]))[0]",
    "comprehension": "def kernel(a): return [f(a, a) for f in (np.dot,)][0]",
    "assigned in an expression": "def kernel(a): return (f := np.dot)(a, a)",
    "under a condition": "if True:\n    f = np.dot\nelse:\n    f = None\ndef kernel(a): return f(a, a)",
    "tried": "try:\n    from numpy import dot as f\nexcept ImportError:\n    f = None\n"
    "def kernel(a): return f(a, a)",
    "library": "from tinytorch.core import kernels\ndef kernel(a): return kernels.matmul_baseline(a, a)",
    "library within": "def kernel(a):\n    import tinytorch.ops as o\n    return o.matmul(a, a)",
    "operator module": "import operator\ndef kernel(a): return operator.matmul(a, a)",
    "by its name": "def kernel(a): return getattr(np, 'dot')(a, a)",
    "by its dictionary": "def kernel(a): return np.__dict__['dot'](a, a)",
    "evaluated": "def kernel(a): return eval('a @ a')",
    "imported by name": "import importlib\ndef kernel(a): return importlib.import_module('numpy').dot(a, a)",
    "imported by a function": "def kernel(a): return __import__('numpy').dot(a, a)",
    "by the table of modules": "import sys\ndef kernel(a): return sys.modules['numpy'].dot(a, a)",
    "by foreign code": "import ctypes\ndef kernel(a): return ctypes.CDLL(None).cblas_dgemm(a)",
    "correlated": "def kernel(a): return np.correlate(a, a)",
    "nothing compiled": "def kernel(a): return a * a",
}

#: Texts that are loops of one's own, whatever their functions are called.
HONEST = {
    "njit": "@njit\ndef kernel(a):\n    for i in range(a.size): a[i] += 1",
    "njit with options": "@njit(fastmath=True, nogil=True)\ndef kernel(a): return a[0]",
    "helper called dot": "@njit\ndef dot(a, b): return a * b\ndef kernel(a): return dot(a, a)",
    "variable called inner": "from numpy import *\n@njit\ndef kernel(a):\n    inner = a.shape[0]\n"
    "    return inner",
    "compiled by call": "def loop(a): return a[0]\nfast = njit(loop)\ndef kernel(a): return fast(a)",
    "module of numba": "import numba as nb\n@nb.njit(parallel=True)\ndef kernel(a): return a[0]",
    "jit": "from numba import jit\n@jit(nopython=True)\ndef kernel(a): return a[0]",
    "ufunc": "from numba import vectorize\n@vectorize\ndef one(v): return v + v\n"
    "def kernel(a): return one(a)",
    "table of own functions": "@njit\ndef one(a): return a[0]\nways = [one]\n"
    "def kernel(a): return ways[0](a)",
    "helper defined later": "def kernel(a): return later(a)\n@njit\ndef later(a): return a[0]",
    "methods of arrays": "@njit\ndef one(a): return a[0]\ndef kernel(a): return one(a.reshape(-1).copy())",
    "standard library": "import math, functools\n@njit\ndef kernel(a): return math.sqrt(a[0])",
}


class OfText:
    """The subject that knows no more than a text: what is read where code is not trusted."""

    def __init__(self, text: str) -> None:
        self._text = text

    def uses(self, name: str) -> frozenset[str]:
        return reading.uses(self._text, name)


def local(text: str) -> Local:
    functions: dict[str, Any] = {"__name__": "__main__"}
    file = f"<cell {hash(text)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), functions)
    return Local(functions)


@pytest.mark.parametrize("subject", [OfText, local], ids=["text", "notebook"])
@pytest.mark.parametrize("way", DISGUISES)
def test_someone_else_s_product_is_seen(way: str, subject: Any) -> None:
    with pytest.raises(WrongError):
        by_hand.loops(subject(IMPORTS + DISGUISES[way]), "kernel")


@pytest.mark.parametrize("subject", [OfText, local], ids=["text", "notebook"])
@pytest.mark.parametrize("way", HONEST)
def test_loops_of_one_s_own_pass(way: str, subject: Any) -> None:
    by_hand.loops(subject(IMPORTS + HONEST[way]), "kernel")


def test_only_what_the_function_reaches_counts() -> None:
    text = IMPORTS + "def reference(a): return a @ a\n@njit\ndef kernel(a): return a[0]"
    assert "@" not in reading.uses(text, "kernel")
    assert "@" in reading.uses(text, "reference")


def test_names_are_told_in_full() -> None:
    text = "import numpy as n\nfrom time import perf_counter as now\ndef f(x): return n.sum(x.copy()), now()"
    assert {"numpy.sum", ".copy", "time.perf_counter"} <= reading.uses(text, "f")


def test_functions_that_call_each_other_end() -> None:
    assert "f" in reading.uses("def f(x): return g(x)\ndef g(x): return f(x)", "g")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(x):\n    raise NotImplementedError()", True),
        ("def f(x):\n    '''What it does.'''\n    # YOUR CODE HERE\n    raise NotImplementedError", True),
        ("@njit\ndef f(x):\n    raise NotImplementedError()", True),
        ("def g(x): return x", True),
        ("def f(x):\n    if x is None:\n        raise NotImplementedError()\n    return x", False),
        ("def f(x): raise ValueError('NotImplemented')", False),
        ("f = lambda x: x", False),
    ],
)
def test_a_placeholder_is_told_from_an_answer(text: str, expected: bool) -> None:
    assert reading.is_placeholder(text, "f") is expected


def test_a_placeholder_in_a_helper_is_not_attempted() -> None:
    text = (
        IMPORTS + "@njit\ndef help(x):\n    raise NotImplementedError()\n\ndef kernel(x):\n    return help(x)"
    )
    with pytest.raises(NotAttemptedError):
        local(text).call("kernel", np.zeros(2))


def test_a_function_whose_text_cannot_be_read_is_not_trusted() -> None:
    functions: dict[str, Any] = {}
    exec("def kernel(a): return a @ a", functions)
    with pytest.raises(WrongError, match="cannot be read"):
        Local(functions).uses("kernel")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import numpy as np\nsetattr(np, 'negative', np.matmul)", "setattr"),
        ("import numpy\nnumpy.negative = numpy.matmul", "setattr"),
        ("import numpy as np\nm = np\nfor m.negative in [np.matmul]: pass", "setattr"),
        ("import numpy as np\nnp.lib.table['x'] = 1", "setattr"),
        ("import tinytorch.course.probes", "tinytorch.course.probes"),
        ("from tinytorch.course import calling as c", "tinytorch.course.calling"),
        ("def f():\n    from ctypes import CDLL", "ctypes.CDLL"),
        ("import sys\ng = sys._getframe", "sys._getframe"),
        ("def f(): pass\nf.__globals__", ".__globals__"),
        ("globals().update(f=1)", "globals"),
        ("import gc\ngc.get_objects()", "gc.get_objects"),
    ],
)
def test_what_could_change_what_is_not_ones_own_is_seen_wherever_it_stands(text, found):
    assert found in reading.reaches(text)
    assert found in reading.uses(f"{text}\ndef own(x): return x", "own")


@pytest.mark.parametrize(
    "text",
    [
        "from tinytorch.course import check, predict, reveal",
        "import numba\nnumba.config.THREADING_LAYER = 'omp'",
        "import os\nos.environ['X'] = '1'",
        "import gc\ngc.disable()",
        "class A:\n    def __init__(self): self.x = {}; self.x[0] = 1",
        "import numpy as np\nx = np.zeros(3)\nx[0] = 1\nx.flat[1] = 2",
        "import re\nre.compile('x')",
    ],
)
def test_what_is_no_such_thing_is_not(text):
    assert reading.reaches(text) == frozenset()


def test_a_text_made_to_take_long_does_not():
    count = 20_000
    chain = "\n".join(f"a{number} = a{number + 1}" for number in range(count))
    assert "numpy.dot" in reading.uses(
        f"import numpy\n{chain}\na{count} = numpy\ndef f(x): return a0.dot(x)", "f"
    )
    imports = "\n".join(f"import m{number} as b" for number in range(count))
    with pytest.raises(SyntaxError, match="too many"):
        reading.uses(f"{imports}\nb = b.x\ndef f(x): return b.dot(x)", "f")
    nested = f"{'a = ' * 1000}{[0] * 1000}\ndef f(x): return a"
    assert reading.uses(nested, "f") == {"a"}
