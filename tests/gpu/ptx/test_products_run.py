"""Products as Triton compiles them: whole layers, with edges, with matrices that lie the other way round."""

import re

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("triton")

from tests.gpu.kernels import triton_kernels
from tinytorch.gpu.frontends.triton import from_triton
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run


def compute(compiled):
    kernel = parse(compiled.ptx).kernel()
    done = run(kernel, compiled.grid, compiled.block, compiled.arguments, shared=compiled.shared)
    assert done.complete
    assert not done.findings, [str(found) for found in done.findings]
    return done


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("tile", [(64, 64, 32), (128, 32, 64)])
def test_a_dense_layer(dtype, arch, tile):
    M, N, K = 128, 64, 128
    BM, BN, BK = tile
    rng = np.random.default_rng(3)
    a, b, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), N))
    out = np.zeros((M, N), dtype)
    meta = {"BM": BM, "BN": BN, "BK": BK, "num_warps": 4}
    compiled = from_triton(
        triton_kernels.dense, (M // BM, N // BN), (a, b, bias, out, N, K), arch=arch, meta=meta
    )
    assert re.search("wgmma.mma_async" if arch == "sm_90" else "mma.sync", compiled.ptx)
    done = compute(compiled)
    found = done.arrays["out"].view(dtype).astype("f8")
    expected = np.maximum(a.astype("f8") @ b.astype("f8") + bias.astype("f8"), 0)
    step = float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=step, atol=step)
    assert sum(matrix.flops for matrix in done.matrices) == 2 * M * N * K


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("turned", ["a", "b", "ab", ""])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_a_product_with_edges(dtype, turned, arch):
    """No side is a multiple of the tile; a matrix may lie transposed in memory."""
    M, N, K = 70, 50, 44
    rng = np.random.default_rng(4)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N)))
    a, b = (np.asfortranarray(x) if name in turned else x for name, x in (("a", a), ("b", b)))
    c = np.zeros((M, N), np.float32)
    strides = [step // each.itemsize for each in (a, b, c) for step in each.strides]
    meta = {"BM": 64, "BN": 32, "BK": 32, "GROUP": 2, "num_stages": 2}
    compiled = from_triton(triton_kernels.matmul, 2 * 2, (a, b, c, M, N, K, *strides), arch=arch, meta=meta)
    found = compute(compiled).arrays["c"]
    expected = a.astype("f8") @ b.astype("f8")
    close = 2e-2 if dtype is np.float32 else 1e-5  # tf32 has 10 bits of fraction
    np.testing.assert_allclose(found, expected, rtol=close, atol=close)
