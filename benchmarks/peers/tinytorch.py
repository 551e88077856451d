"""Ours: what `tinytorch.ops` exports, as a user calls it.

A product of bfloat16 is shown beside the same one in float32, which is what half the bytes should beat.
"""

import numpy as np

from benchmarks.inputs import Arrays, empty
from benchmarks.peers import Contender, Kept, not_offered
from benchmarks.suites import Case
from tinytorch import ops
from tinytorch.ops.onepass import copy_pass
from tinytorch.runtime.threads import set_num_threads

_pack, _pack_int8 = Kept(ops.pack_weight), Kept(lambda weight: ops.pack_weight(weight, "int8"))
_pack_codes = Kept(lambda codes: ops.pack_weight(codes, "int8", scales=1.0))


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
        case "int8":
            x, weight, bias = arrays.layer()
            small = _pack_int8(weight)
            return {"tinytorch": Contender(lambda: ops.linear(x, small, bias, activation="relu", out=out))}
        case "integer":
            codes, kept = arrays.a, _pack_codes(arrays.operands()[1])
            return {"tinytorch": Contender(lambda: ops.matmul_integer(codes, kept, out=out))}
        case "relu":
            x, copy = arrays.a, copy_pass[arrays.a.dtype, 1]
            return {
                "tinytorch": Contender(lambda: ops.relu(x, out=out)),
                "tinytorch copy": Contender(lambda: copy(x, x, out), role="copy"),
            }
    raise not_offered(case.operation, case.dtype)
