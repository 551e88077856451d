"""Ours: what `tinytorch.ops` exports, as a user calls it.

A product of bfloat16 is shown beside the same one in float32, which is what half the bytes should beat.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.inputs import Array, Arrays, empty
from benchmarks.peers import Contender, Kept, not_offered
from benchmarks.suites import Case
from tinytorch import ops
from tinytorch.runtime.threads import set_num_threads

#: A copy kernel of ours, `copy(x, out)`, once there is one: the ReLU suite then measures the bandwidth with
#: it too, beside NumPy's and torch's.
COPY: Callable[[Array, Array], None] | None = None

_pack = Kept(ops.pack_weight)


def start(threads: int) -> None:
    """Set the number of threads."""
    set_num_threads(threads)


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return our calls."""
    out = arrays.out
    match case.operation:
        case "product":
            a, b = arrays.operands()
            contenders = {"tinytorch": Contender(lambda: ops.matmul(a, b, out=out))}
            if case.dtype == "bfloat16":
                wide_a, wide_b = a.astype(np.float32), b.astype(np.float32)
                wide_out = empty(out.shape, np.float32)
                contenders["tinytorch float32"] = Contender(
                    lambda: ops.matmul(wide_a, wide_b, out=wide_out), returns=True, role="shown"
                )
            return contenders
        case "fresh":
            a, b = arrays.operands()
            return {"tinytorch": Contender(lambda: ops.matmul(a, b), returns=True)}
        case "linear":
            x, weight, bias = arrays.layer()
            packed = _pack(weight)
            return {"tinytorch": Contender(lambda: ops.linear(x, packed, bias, activation="relu", out=out))}
        case "relu":
            contenders = {"tinytorch": Contender(lambda: ops.relu(arrays.a, out=out))}
            copy = COPY
            if copy is not None:
                contenders["tinytorch copy"] = Contender(lambda: copy(arrays.a, out), role="copy")
            return contenders
    raise not_offered(case.operation, case.dtype)
