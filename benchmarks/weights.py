"""`python -m benchmarks.weights`: one layer, its weight kept in every way we have, against our own float32.

What it answers is which way pays at how many rows: fewer bytes to wait for, or fewer numbers to multiply.
Blocks and single numbers are pruned at random; time does not depend on which are gone.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.suites import parse_shape
from tinytorch import ops
from tinytorch.compress.how import factored, pruned
from tinytorch.measure.timing import compare
from tinytorch.ops.registry import mismatch, product_bound
from tinytorch.runtime.threads import get_num_threads, set_num_threads

Array = np.ndarray[Any, np.dtype[Any]]

FLOAT = "float32"
KINDS: dict[str, Callable[[Array], ops.PackedWeight]] = {
    FLOAT: ops.pack_weight,
    "bfloat16": lambda weight: ops.pack_weight(weight, "bfloat16"),
    "bf16 rows too": lambda weight: ops.pack_weight(weight, "bfloat16", activations="bfloat16"),
    "int8": lambda weight: ops.pack_weight(weight, "int8"),
    "int8 static": lambda weight: ops.pack_weight(weight, "int8", activations=(0.04, 0)),
    "int8 w. only": lambda weight: ops.pack_weight(weight, "int8", weight_only=True),
    "int4 of 32": lambda weight: ops.pack_weight(weight, "int4"),
    "int4 of 128": lambda weight: ops.pack_weight(weight, "int4", group_size=128),
    "blocks 75%": lambda weight: pruned(weight, 0.75),
    "sparse 90%": lambda weight: pruned(weight, 0.9, "unstructured"),
    "rank 1/8": lambda weight: factored(weight, rank=min(weight.shape) // 8),
}
#: Shapes of x and weight, (M, K, N), by rows.
LAYERS = ((768, 768), (768, 3072), (4096, 4096), (4096, 11008))
ROWS = (1, 4, 32, 128)


def measure(layer: tuple[int, int], rows: Sequence[int]) -> list[dict[str, Any]]:
    """Time every kind at each number of rows, each result checked against its own weight in float64."""
    rng = np.random.default_rng(13)
    weight = rng.standard_normal(layer, np.float32)
    if max(layer) > 4096:  # an SVD of minutes
        kinds = {name: make for name, make in KINDS.items() if name != "rank 1/8"}
    else:
        kinds = KINDS
    packed = {name: make(weight) for name, make in kinds.items()}
    found = []
    for count in rows:
        x = rng.standard_normal((count, layer[0]), np.float32)

        def check(name: str, result: Array, x: Array = x) -> str | None:
            return wrong(packed[name], x, result)

        functions = {name: (lambda x, w=w: ops.linear(x, w)) for name, w in packed.items()}
        times = compare(functions, x, check=check, seconds=0.15, rounds=7)
        found.append({"rows": count, "layer": layer, "threads": get_num_threads(),
                      "bytes": {name: w.nbytes for name, w in packed.items()},
                      "seconds": {name: times[name].median for name in times}})  # fmt: skip
    return found


def wrong(weight: ops.PackedWeight, x: Array, result: Array) -> str | None:
    """Say what is wrong with a sample of a result; rows that are rounded may be off by half a step each."""
    some = slice(0, 2), slice(0, 256)
    values = weight.values().astype(np.float64)[:, some[1]]
    exact = x[some[0]].astype(np.float64) @ values
    bound = 40 * product_bound(
        x[some[0]], np.abs(values) + np.abs(values).max(), np.dtype(np.float32), len(values)
    )
    if weight.kind == "int8" or getattr(weight, "rounds", False):
        step = np.abs(x[some[0]]).max() / 100
        bound = bound + 6 * step * np.sqrt(np.square(values).sum(axis=0))
    return mismatch(result[some], exact, bound)


def table(layer: tuple[int, int], threads: int, found: Sequence[dict[str, Any]]) -> Table:
    """Lay out one layer: a line for each kind, a column for each number of rows."""
    title = f"{layer[0]} x {layer[1]}, {threads} thread{'s' * (threads > 1)}: time of float32 by that of each"
    result = Table(title=title, title_justify="left")
    result.add_column("kept as")
    result.add_column("MB", justify="right")
    for row in found:
        result.add_column(f"{row['rows']} row{'s' * (row['rows'] > 1)}", justify="right")
    for name, size in found[0]["bytes"].items():
        ratios = [row["seconds"][FLOAT] / row["seconds"][name] for row in found]
        result.add_row(name, f"{size / 1e6:.1f}", *(f"{ratio:.2f}" for ratio in ratios))
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, get_num_threads()}))
    parser.add_argument("--shapes", type=parse_shape, nargs="+", metavar="MxKxN")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    shapes = options.shapes or [(m, *layer) for layer in LAYERS for m in ROWS]
    console, everything = Console(), list[dict[str, Any]]()
    for threads in options.threads:
        set_num_threads(threads)
        for layer in dict.fromkeys((shape[1], shape[2]) for shape in shapes):
            found = measure(layer, [shape[0] for shape in shapes if shape[1:] == layer])
            everything += found
            console.print(table(layer, threads, found))
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
