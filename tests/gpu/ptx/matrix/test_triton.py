"""Products that Triton compiles to tensor cores, through the emulator: PTX of a compiler, results of NumPy.

Every layout has its part in one: fragments in mma and ldmatrix, descriptors and swizzles in wgmma.
"""

import re
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest

from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from tinytorch.gpu.frontends.triton import from_triton  # noqa: E402


@triton.jit
def product(
    a, b, c, N, K, a_row, a_column, b_row, b_column, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    """c = a @ b of whole tiles, summed in what c holds."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), c.dtype.element_ty)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        left = tl.load(a + m[:, None] * a_row + k[None, :] * a_column)
        right = tl.load(b + k[:, None] * b_row + n[None, :] * b_column)
        total = tl.dot(left, right, total, out_dtype=c.dtype.element_ty)
    tl.store(c + m[:, None] * N + n[None, :], total)


@dataclass(frozen=True)
class Kind:
    arch: str
    instruction: str  # a pattern
    dtype: type
    sums: type = np.float32
    turned_a: bool = False  # columns of A are contiguous
    turned_b: bool = False  # columns of B are
    tile: tuple[int, int, int] = (64, 64, 32)
    warps: int = 4


F16, BF16, E4M3, E5M2 = np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
KINDS = [
    Kind("sm_80", r"mma\S+m16n8k16\S+f16", F16),
    Kind("sm_80", r"mma\S+m16n8k16\S+f16", F16, turned_a=True),
    Kind("sm_80", r"mma\S+m16n8k16\S+bf16", BF16, turned_b=True),
    Kind("sm_80", r"mma\S+m16n8k16\S+f16\.f16\.f16\.f16", F16, sums=F16),
    Kind("sm_80", r"mma\S+m16n8k8\S+tf32", np.float32),
    Kind("sm_80", r"mma\S+m16n8k32\S+s8", np.int8, sums=np.int32, turned_b=True),
    Kind("sm_89", r"mma\S+m16n8k32\S+e4m3", E4M3, turned_b=True),
    Kind("sm_90", r"wgmma\S+m64n64k16\.f32\.f16\.f16", F16),
    Kind("sm_90", r"wgmma\S+m64n64k16\.f32\.f16\.f16", F16, turned_a=True),
    Kind("sm_90", r"wgmma\S+m64n64k16\.f32\.f16\.f16", F16, turned_b=True, tile=(64, 64, 16)),
    Kind("sm_90", r"wgmma\S+m64n128k16\.f32\.bf16", BF16, turned_a=True, tile=(128, 128, 32), warps=8),
    Kind("sm_90", r"wgmma\S+m64n128k16\.f32\.bf16", BF16, turned_b=True, tile=(128, 128, 64)),
    Kind("sm_90", r"wgmma\S+m64n16k16\.f16\.f16", F16, sums=F16, tile=(64, 16, 32)),
    Kind("sm_90", r"wgmma\S+m64n32k16\.f32\.f16", F16, tile=(64, 32, 16)),
    Kind("sm_90", r"wgmma\S+m64n64k8\.f32\.tf32", np.float32, turned_b=True),
    Kind("sm_90", r"wgmma\S+m64n64k32\.f32\.e5m2", E5M2, turned_b=True),
    Kind("sm_90", r"wgmma\S+m64n64k32\.f32\.e4m3", E4M3, tile=(64, 64, 64)),
    Kind("sm_90", r"wgmma\S+m64n64k32\.s32\.s8", np.int8, sums=np.int32, turned_b=True),
]


@pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: f"{kind.arch} {kind.instruction} {kind.turned_a:d}{kind.turned_b:d}"
)
def test_a_product_is_numpys(kind: Kind) -> None:
    rng = np.random.default_rng(5)
    M, N, K = 128, 128, 128
    BM, BN, BK = kind.tile

    def matrix(rows: int, columns: int, turned: bool) -> np.ndarray:
        shape = (columns, rows) if turned else (rows, columns)
        drawn = rng.integers(-128, 128, shape) if kind.dtype is np.int8 else rng.standard_normal(shape)
        made = drawn.astype(kind.dtype)
        return made.T if turned else made

    A, B = matrix(M, K, kind.turned_a), matrix(K, N, kind.turned_b)
    strides = [stride // A.itemsize for stride in (*A.strides, *B.strides)]
    compiled = from_triton(
        product,
        (M // BM, N // BN),
        (A, B, np.zeros((M, N), kind.sums), N, K, *strides),
        arch=kind.arch,
        meta={"BM": BM, "BN": BN, "BK": BK, "num_warps": kind.warps},
    )
    assert re.search(kind.instruction, compiled.ptx)
    done = run(
        parse(compiled.ptx).kernel(),
        compiled.grid,
        compiled.block,
        compiled.arguments,
        shared=compiled.shared,
    )
    assert done.complete and not done.findings, [str(found) for found in done.findings]
    want = A.astype("f8") @ B.astype("f8")
    # tf32 leaves the low 13 bits of the elements out; sums in float16 are rounded once per instruction.
    small = {np.float32: 2e-3 if kind.dtype is np.float32 else 1e-6, F16: 5e-3, np.int32: 0}[kind.sums]
    np.testing.assert_allclose(done.arrays["c"], want, rtol=small, atol=small * np.abs(want).max())


@triton.jit
def chain(a, b, c, out, BM: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr):
    """(a @ b) @ c in one tile: the first product stays in registers, as in attention."""
    m, k, n = tl.arange(0, BM), tl.arange(0, BK), tl.arange(0, BN)
    first = tl.dot(tl.load(a + m[:, None] * BK + k[None, :]), tl.load(b + k[:, None] * BK + k[None, :]))
    second = tl.dot(first.to(a.dtype.element_ty), tl.load(c + k[:, None] * BN + n[None, :]))
    tl.store(out + m[:, None] * BN + n[None, :], second)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_a_product_of_registers_and_memory(arch: str) -> None:
    rng = np.random.default_rng(6)
    A, B, C = (rng.standard_normal(shape).astype(F16) for shape in ((64, 64), (64, 64), (64, 32)))
    out = np.zeros((64, 32), "f4")
    compiled = from_triton(chain, (1,), (A, B, C, out), arch=arch, meta={"BM": 64, "BK": 64, "BN": 32})
    if arch == "sm_90":
        assert re.search(r"wgmma\S+m64n32k16\S+ \{[^}]*\}, \{", compiled.ptx), (
            "A does not come from registers"
        )
    done = run(
        parse(compiled.ptx).kernel(),
        compiled.grid,
        compiled.block,
        compiled.arguments,
        shared=compiled.shared,
    )
    assert done.complete and not done.findings, [str(found) for found in done.findings]
    first = (A.astype("f8") @ B.astype("f8")).astype(F16)
    np.testing.assert_allclose(done.arrays["out"], first.astype("f8") @ C.astype("f8"), rtol=2e-2, atol=5e-2)
