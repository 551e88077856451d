"""Micro-kernels in Triton: what its compiler makes of strides, of tiles, and of what it knows of an argument.

Every source line holds at most one access. Triton may split that into several instructions, all of that line.
"""

# Triton compiles these functions; NumPy's and Python's rules for them do not hold.
# mypy: ignore-errors
import triton
import triton.language as tl


@triton.jit
def copy(x, y, n, BLOCK: tl.constexpr):
    """y = x; with n known to be divisible by 16 the accesses are wide."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, mask=i < n)
    tl.store(y + i, value, mask=i < n)


@triton.jit
def strided(x, y, stride, BLOCK: tl.constexpr):
    """y[i] = x[i * stride]."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i * stride)
    tl.store(y + i, value)


@triton.jit
def gathered(index, x, y, BLOCK: tl.constexpr):
    """y[i] = x[index[i]]."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    where = tl.load(index + i)
    value = tl.load(x + where)
    tl.store(y + i, value)


@triton.jit
def transposed(x, y, SIZE: tl.constexpr):
    """y = xᵀ, one tile; the tile turns in shared memory."""
    row = tl.arange(0, SIZE)
    tile = tl.load(x + row[:, None] * SIZE + row[None, :])
    tl.store(y + row[:, None] * SIZE + row[None, :], tl.trans(tile))


@triton.jit
def row_sum(x, y, columns, BLOCK: tl.constexpr):
    """y[row] = the sum of a row that is shorter than BLOCK."""
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    value = tl.load(x + row * columns + i, mask=i < columns, other=0)
    tl.store(y + row, tl.sum(value, axis=0))


@triton.jit
def below_maximum(x, y, columns, BLOCK: tl.constexpr):
    """y = x less the maximum of its row, as softmax begins."""
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    value = tl.load(x + row * columns + i, mask=i < columns, other=0)
    tl.store(y + row * columns + i, value - tl.max(value, axis=0), mask=i < columns)


#: By the name of the module: the function, its run-time arguments, its constants, and which arguments are
#: known to be divisible by 16.
MODULES = {
    "triton_copy_16": (copy, {"x": "*i32", "y": "*i32", "n": "i32"}, {"BLOCK": 512}, "xyn"),
    "triton_copy_any": (copy, {"x": "*i32", "y": "*i32", "n": "i32"}, {"BLOCK": 512}, "xy"),
    "triton_strided": (strided, {"x": "*i32", "y": "*i32", "stride": "i32"}, {"BLOCK": 128}, "xy"),
    "triton_gathered": (
        gathered,
        {"index": "*i32", "x": "*i32", "y": "*i32"},
        {"BLOCK": 256},
        ("index", "x", "y"),
    ),
    "triton_transposed": (transposed, {"x": "*i32", "y": "*i32"}, {"SIZE": 32}, "xy"),
    "triton_row_sum": (row_sum, {"x": "*i32", "y": "*i32", "columns": "i32"}, {"BLOCK": 512}, "xy"),
    "triton_below_maximum": (
        below_maximum,
        {"x": "*i32", "y": "*i32", "columns": "i32"},
        {"BLOCK": 512},
        "xy",
    ),
}
