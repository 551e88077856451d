"""numkong: products of rows with rows, of a matrix packed ahead; it leaves threads to its caller.

It gets B transposed, as a gift, and packs it in each call, as the product of two new matrices must; what a
call costs once B is packed is shown beside. float32 it sums in float64, which is another operation.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numkong
import numpy as np

from benchmarks.inputs import Arrays, empty
from benchmarks.peers import Contender, NotOfferedError, not_offered
from benchmarks.suites import Case

_threads = [1]
_pool = ThreadPoolExecutor()


def start(threads: int) -> None:
    """Remember how many threads are to share the rows."""
    _threads[0] = threads


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return numkong's calls, the result in float32."""
    if case.operation == "product" and case.dtype == "float32":
        raise NotOfferedError("its product of float32 sums and returns float64")
    if case.operation != "product" or case.dtype != "bfloat16":
        raise not_offered(case.operation, case.dtype)
    a, b = arrays.operands()
    transposed = np.ascontiguousarray(b.T)
    out = numkong.from_dlpack(empty(arrays.out.shape, np.float32))
    multiply = _rows_shared(len(a), a, out)

    def pack() -> Any:
        return numkong.dots_pack(transposed, dtype="bf16")

    packed = pack()
    return {
        "numkong": Contender(lambda: multiply(pack()), returns=True),
        "numkong packed": Contender(lambda: multiply(packed), returns=True, role="shown"),
    }


def _rows_shared(rows: int, a: Any, out: Any) -> Callable[[Any], Any]:
    """Return the product with a packed matrix, its rows shared among the threads."""
    share = -(-rows // _threads[0])
    first, *others = ((start, min(start + share, rows)) for start in range(0, rows, share))

    def part(packed: Any, place: tuple[int, int]) -> None:
        numkong.dots_packed(a, packed, out=out, start_row=place[0], end_row=place[1])

    def multiply(packed: Any) -> Any:
        waiting = [_pool.submit(part, packed, place) for place in others]
        part(packed, first)
        for future in waiting:
            future.result()
        return out

    return multiply
