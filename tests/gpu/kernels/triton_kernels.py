"""Triton kernels: element-wise, reductions, a product in tiles, a lock. Each beside its reference."""

from collections.abc import Mapping

import numpy as np
import triton
import triton.language as tl

from tests.gpu.kernels.case import Array, Case, floats, rng
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.frontends.triton import from_triton

EPSILON = 1e-5


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    tl.store(out + i, tl.load(x + i, inside) + tl.load(y + i, inside), inside)


@triton.jit
def add_strided(x, y, out, n, stride, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    tl.store(out + i, tl.load(x + i * stride, inside) + tl.load(y + i, inside), inside)


@triton.jit
def softmax(x, out, columns, x_stride, out_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    inside = i < columns
    values = tl.load(x + row * x_stride + i, inside, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * out_stride + i, powers / tl.sum(powers, axis=0), inside)


@triton.jit
def matmul(
    a, b, c, M, N, K, a_row, a_column, b_row, b_column, c_row, c_column,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Tiles in groups of GROUP rows, so that the blocks that run together share what lies in L2."""
    tile = tl.program_id(0)
    tiles_m = tl.cdiv(M, BM)
    in_group = GROUP * tl.cdiv(N, BN)
    first = tile // in_group * GROUP
    rows = min(tiles_m - first, GROUP)
    m = (first + tile % in_group % rows) * BM + tl.arange(0, BM)
    n = tile % in_group // rows * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        left = tl.load(
            a + m[:, None] * a_row + k[None, :] * a_column, (m[:, None] < M) & (k[None, :] < K), other=0.0
        )
        right = tl.load(
            b + k[:, None] * b_row + n[None, :] * b_column, (k[:, None] < K) & (n[None, :] < N), other=0.0
        )
        total = tl.dot(left, right, total)
    inside = (m[:, None] < M) & (n[None, :] < N)
    tl.store(c + m[:, None] * c_row + n[None, :] * c_column, total.to(c.dtype.element_ty), inside)


@triton.jit
def dense(a, b, bias, out, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """relu(a @ b + bias) of whole tiles: what tensor cores are for."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        left = tl.load(a + m[:, None] * K + k[None, :])
        right = tl.load(b + k[:, None] * N + n[None, :])
        total = tl.dot(left, right, total)
    total = tl.maximum(total + tl.load(bias + n)[None, :], 0.0)
    tl.store(out + m[:, None] * N + n[None, :], total.to(out.dtype.element_ty))


@triton.jit
def layer_norm(x, out, weight, bias, means, scales, stride, columns, epsilon, BLOCK: tl.constexpr):
    """One row a program; the row is read three times, BLOCK elements at once."""
    row = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x + row * stride + i, i < columns, other=0.0)
    mean = tl.sum(total, axis=0) / columns
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        away = tl.where(i < columns, tl.load(x + row * stride + i, i < columns, other=0.0) - mean, 0.0)
        total += away * away
    scale = 1.0 / tl.sqrt(tl.sum(total, axis=0) / columns + epsilon)
    tl.store(means + row, mean)
    tl.store(scales + row, scale)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        inside = i < columns
        normal = (tl.load(x + row * stride + i, inside, other=0.0) - mean) * scale
        tl.store(
            out + row * stride + i, normal * tl.load(weight + i, inside) + tl.load(bias + i, inside), inside
        )


@triton.jit
def layer_norm_backward(
    dx, dy, dweights, dbiases, x, weight, means, scales, locks, stride, columns,
    GROUPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dx of one row a program; its part of dweight and dbias goes to one of GROUPS sums, under a lock."""
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    inside = i < columns
    mean = tl.load(means + row)
    scale = tl.load(scales + row)
    normal = tl.where(inside, (tl.load(x + row * stride + i, inside, other=0.0) - mean) * scale, 0.0)
    slope = tl.load(dy + row * stride + i, inside, other=0.0)
    weighted = tl.load(weight + i, inside, other=0.0) * slope
    along = tl.sum(normal * weighted, axis=0) / columns
    level = tl.sum(weighted, axis=0) / columns
    tl.store(dx + row * stride + i, (weighted - normal * along - level) * scale, inside)
    group = row % GROUPS
    lock = locks + group
    sums = group * columns + i
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    used = tl.load(locks + GROUPS + group)
    dweight = slope * normal
    dbias = slope
    if used == 0:
        tl.atomic_xchg(locks + GROUPS + group, 1)
    else:
        dweight += tl.load(dweights + sums, inside)
        dbias += tl.load(dbiases + sums, inside)
    tl.store(dweights + sums, dweight, inside)
    tl.store(dbiases + sums, dbias, inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def column_sums(parts, out, rows, columns, BLOCK_ROWS: tl.constexpr, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK_ROWS, BLOCK), tl.float32)
    for start in range(0, rows, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        inside = (row[:, None] < rows) & (column[None, :] < columns)
        total += tl.load(parts + row[:, None] * columns + column[None, :], inside, other=0.0)
    tl.store(out + column, tl.sum(total, axis=0), column < columns)


@triton.jit
def copy_boxes(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A copy of 64 columns by tensor maps that the kernel makes."""
    of = tl.make_tensor_descriptor(x, [64, 64], [64, 1], [ROWS, COLUMNS])
    to = tl.make_tensor_descriptor(out, [64, 64], [64, 1], [ROWS, COLUMNS])
    for column in range(0, 64, COLUMNS):
        to.store([tl.program_id(0) * ROWS, column], of.load([tl.program_id(0) * ROWS, column]))


def _add(n: int, arch: str = "sm_90") -> Compiled:
    x, y = floats(2, n)
    out = np.zeros(n, np.float32)
    return from_triton(
        add,
        lambda given: (triton.cdiv(given["n"], given["BLOCK"]),),
        (x, y, out, n),
        arch=arch,
        meta={"BLOCK": 256},
    )


def _add_strided(arch: str = "sm_90") -> Compiled:
    n, stride = 1000, 2
    x, y = floats(n * stride), floats(n)
    meta = {"BLOCK": 256}
    return from_triton(add_strided, 4, (x, y, np.zeros(n, np.float32), n, stride), arch=arch, meta=meta)


def _softmax(arch: str = "sm_90") -> Compiled:
    x = floats(7, 100) * 10
    meta = {"BLOCK": 128, "num_warps": 2}
    return from_triton(softmax, 7, (x, np.zeros_like(x), 100, 100, 100), arch=arch, meta=meta)


def _softmax_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    powers = np.exp(given["x"] - given["x"].max(1, keepdims=True))
    return {"out": powers / powers.sum(1, keepdims=True)}


def _matmul(dtype: type, arch: str = "sm_90") -> Compiled:
    M, N, K = 80, 100, 72
    a, b = floats(M, K).astype(dtype), floats(K, N).astype(dtype)
    c = np.zeros((M, N), np.float32)
    strides = [step // each.itemsize for each in (a, b, c) for step in each.strides]
    meta = {"BM": 32, "BN": 32, "BK": 32, "GROUP": 2, "num_stages": 2}
    return from_triton(matmul, 3 * 4, (a, b, c, M, N, K, *strides), arch=arch, meta=meta)


def _matmul_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"c": given["a"].astype(np.float64) @ given["b"].astype(np.float64)}


def dense_bfloat16(arch: str = "sm_90", side: int = 256) -> Compiled:
    """A product in bfloat16 of tiles of 128 x 128 x 64 with bias and ReLU."""
    import ml_dtypes

    a, b, out = (np.zeros((side, side), ml_dtypes.bfloat16) for _ in range(3))
    meta = {"BM": 128, "BN": 128, "BK": 64, "num_warps": 4}
    return from_triton(dense, (side // 128, side // 128), (a, b, a[0], out, side, side), arch=arch, meta=meta)


def _layer_norm(arch: str = "sm_90") -> Compiled:
    rows, columns = 5, 150
    x, (weight, bias) = floats(rows, columns), floats(2, columns)
    means, scales = np.zeros((2, rows), np.float32)
    values = (x, np.zeros_like(x), weight, bias, means, scales, columns, columns, EPSILON)
    return from_triton(layer_norm, rows, values, arch=arch, meta={"BLOCK": 64, "num_warps": 2})


def _statistics(x: Array) -> tuple[Array, Array]:
    x = x.astype(np.float64)
    return x.mean(1), 1 / np.sqrt(x.var(1) + EPSILON)


def _layer_norm_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    mean, scale = _statistics(given["x"])
    normal = (given["x"] - mean[:, None]) * scale[:, None]
    return {"out": normal * given["weight"] + given["bias"], "means": mean, "scales": scale}


def _layer_norm_backward(arch: str = "sm_90") -> Compiled:
    rows, columns, groups = 6, 100, 2
    x = floats(rows, columns)
    dy = rng().uniform(-1, 1, x.shape).astype(np.float32)
    mean, scale = (each.astype(np.float32) for each in _statistics(x))
    sums, more = np.zeros((2, groups, columns), np.float32)
    locks = np.zeros(2 * groups, np.int32)
    values = (np.zeros_like(x), dy, sums, more, x, floats(columns), mean, scale, locks, columns, columns)
    meta = {"GROUPS": groups, "BLOCK": 128, "num_warps": 2}
    return from_triton(layer_norm_backward, rows, values, arch=arch, meta=meta)


def _layer_norm_backward_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    x, dy = given["x"].astype(np.float64), given["dy"].astype(np.float64)
    normal = (x - given["means"][:, None]) * given["scales"][:, None]
    weighted = given["weight"] * dy
    along, level = (normal * weighted).mean(1, keepdims=True), weighted.mean(1, keepdims=True)
    groups = len(given["dweights"])
    return {
        "dx": (weighted - normal * along - level) * given["scales"][:, None],
        "dweights": np.stack([(dy * normal)[g::groups].sum(0) for g in range(groups)]),
        "dbiases": np.stack([dy[g::groups].sum(0) for g in range(groups)]),
        "locks": np.repeat(np.array([0, 1], np.int32), groups),
    }


def _column_sums(arch: str = "sm_90") -> Compiled:
    parts = floats(10, 70)
    values = (parts, np.zeros(70, np.float32), 10, 70)
    return from_triton(column_sums, 2, values, arch=arch, meta={"BLOCK_ROWS": 8, "BLOCK": 64})


CASES = (
    Case("triton add, n divisible by 16", lambda **k: _add(1024, **k), lambda g: {"out": g["x"] + g["y"]}),
    Case("triton add, n not divisible", lambda **k: _add(1000, **k), lambda g: {"out": g["x"] + g["y"]}),
    Case("triton strided add", _add_strided, lambda g: {"out": g["x"][::2] + g["y"]}),
    Case("triton softmax", _softmax, _softmax_expected, 1e-6),
    Case("triton matmul, float16", lambda **k: _matmul(np.float16, **k), _matmul_expected, 1e-2),
    Case("triton matmul, float32", lambda **k: _matmul(np.float32, **k), _matmul_expected, 3e-2),  # tf32
    Case("triton layer norm", _layer_norm, _layer_norm_expected, 1e-5),
    Case("triton layer norm, backward", _layer_norm_backward, _layer_norm_backward_expected, 1e-5),
    Case("triton column sums", _column_sums, lambda g: {"out": g["parts"].sum(0, dtype=np.float64)}, 1e-5),
)
