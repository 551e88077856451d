"""CUDA C++ kernels on nvcuda::wmma, which need NVIDIA's header mma.h."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.kernels.case import rng
from tinytorch.gpu.frontends.compiled import Compiled

STAGED = """
#include <mma.h>
#include <cuda_fp16.h>
using namespace nvcuda;
extern "C" __global__ void staged(const half* a, const half* b, half* out) {
    __shared__ __align__(32) half rows[64][24], columns[16][72];
    int warp = threadIdx.x / 32;
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> x;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> y;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums[4];
    wmma::fragment<wmma::accumulator, 16, 16, 16, half> rounded;
    for (int j = 0; j < 4; ++j) wmma::fill_fragment(sums[j], 0.0f);
    for (int k = 0; k < 64; k += 16) {
        for (int i = threadIdx.x; i < 1024; i += blockDim.x) {
            rows[i / 16][i % 16] = a[i / 16 * 64 + k + i % 16];
            columns[i / 64][i % 64] = b[(k + i / 64) * 64 + i % 64];
        }
        __syncthreads();
        wmma::load_matrix_sync(x, &rows[16 * warp][0], 24);
        for (int j = 0; j < 4; ++j) {
            wmma::load_matrix_sync(y, &columns[0][16 * j], 72);
            wmma::mma_sync(sums[j], x, y, sums[j]);
        }
        __syncthreads();
    }
    for (int j = 0; j < 4; ++j) {
        for (int i = 0; i < rounded.num_elements; ++i) rounded.x[i] = __float2half(sums[j].x[i]);
        wmma::store_matrix_sync(out + 16 * warp * 64 + 16 * j, rounded, 64, wmma::mem_row_major);
    }
}
"""


def compiled(text: str, kernel: str, grid, block: int, args: tuple) -> Compiled:
    """Compile a kernel, or skip the test where NVRTC or the header is missing."""
    pytest.importorskip("cuda.bindings.nvrtc")
    found = importlib.util.find_spec("nvidia")
    places = list(found.submodule_search_locations or ()) if found else []
    if not any(list(Path(place).glob("cu*/include/crt/mma.h")) for place in places):
        pytest.skip("mma.h is not there: pip install nvidia-cuda-crt")
    from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

    return from_cuda_cpp(text, kernel, grid, block, args)


def staged() -> Compiled:
    """A product of 64 x 64 matrices by four warps, whose tiles go through shared memory."""
    given = rng()
    a, b = (given.standard_normal((64, 64)).astype(np.float16) for _ in range(2))
    return compiled(STAGED, "staged", 1, 128, (a, b, np.zeros_like(a)))
