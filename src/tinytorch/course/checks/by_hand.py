"""What a kernel that is to be written by hand may not call: someone else's product, or a library's.

It is read from the source (`Subject.uses`). A learner's own function may have any name; only names that come
from elsewhere are refused, and ways to call what is not named.
"""

import sys
from collections.abc import Collection

from tinytorch.course.reading import PRODUCT
from tinytorch.course.subject import Subject, WrongError

#: Products of NumPy's, by the last part of their names: BLAS, or a loop that is not the learner's.
PRODUCTS = frozenset(
    {
        "dot",
        "matmul",
        "einsum",
        "c_einsum",
        "tensordot",
        "inner",
        "outer",
        "vdot",
        "vecdot",
        "matvec",
        "vecmat",
    }
    | {"multi_dot", "matrix_power", "convolve", "correlate", "kron"}
    | {"imatmul", "__matmul__", "__rmatmul__", "__imatmul__"}
)
#: ReLU by functions of NumPy's, likewise.
RELUS = frozenset(
    {"maximum", "minimum", "fmax", "where", "clip", "choose", "select"}
    | {"putmask", "copyto", "place", "heaviside"}
)
#: Parts of the library that the course has learners build on; the rest is what their kernels stand for.
TO_BUILD_ON = frozenset({"tinytorch.core.networks.Sequential", "tinytorch.core.tensor.Tensor"})
#: Ways to call something without naming it.
HIDDEN = frozenset(
    {"getattr", "setattr", "delattr", "eval", "exec", "globals", "locals", "vars"}
    | {"attrgetter", "methodcaller", "get_objects", "get_referrers", "get_referents"}
    | {"__import__", "__dict__", "__globals__", "__getattribute__", "__builtins__", "__setattr__"}
    | {"__code__", "__subclasses__", "__closure__", "_getframe", "_current_frames", "setprofile", "settrace"}
)
#: What compiles a loop.
_COMPILERS = frozenset({"njit", "jit", "vectorize", "guvectorize"})
_OTHERS = {"ctypes", "importlib", "builtins", "unittest"}
_LIBRARIES = (sys.stdlib_module_names | {"numpy", "numba"}) - _OTHERS


def loops(learner: Subject, name: str, also: Collection[str] = ()) -> None:
    """Require compiled loops that are the learner's own; `also` are last parts of more names refused."""
    found = learner.uses(name)
    refused = PRODUCTS | set(also)
    for used in sorted(found):
        last = used.rpartition(".")[2]
        if used == PRODUCT:
            raise WrongError(f"{name} uses the operator @, which is NumPy's product", _WRITE)
        if last in HIDDEN or used in ("compile", "sys.modules"):
            raise WrongError(f"{name} uses {used}, which hides what is called", "Call by name what you need.")
        if "." not in used:  # the learner's own, or Python's
            continue
        if last in refused:
            hint = _WRITE if last in PRODUCTS else f"{_WRITE} {_ONE}"
            raise WrongError(f"{name} uses {used}, which is someone else's loop", hint)
        if used[0] != "." and used.partition(".")[0] not in _LIBRARIES:
            raise WrongError(f"{name} uses {used}, which is another library's", _WRITE)
    if not any(used.startswith("numba.") and used.rpartition(".")[2] in _COMPILERS for used in found):
        raise WrongError(
            f"nothing that {name} calls is compiled",
            "Put the loops into a function under @njit, and call that.",
        )


_ONE = "For a single element, too: `if` and `else`, or + - * of two numbers, say what it does."
_WRITE = "This exercise is the loop itself: write it out, over the elements, in a function under @njit."
