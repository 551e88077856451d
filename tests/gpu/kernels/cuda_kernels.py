"""CUDA C++ kernels about shared memory: a transpose, reductions with shuffles, a histogram."""

from collections.abc import Mapping

import numpy as np

from tests.gpu.kernels.case import Array, Case, floats, rng
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

TRANSPOSE = r"""
// A tile of 32 x 32 goes through shared memory; PITCH is the length of its rows there.
template <int PITCH>
__global__ void transpose(const float* __restrict__ x, float* __restrict__ out, int rows, int columns) {
    __shared__ float tile[32][PITCH];
    int column = blockIdx.x * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += blockDim.y) {
        int row = blockIdx.y * 32 + i;
        if (row < rows && column < columns)
            tile[i][threadIdx.x] = x[row * columns + column];
    }
    __syncthreads();
    int row = blockIdx.y * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += blockDim.y) {
        column = blockIdx.x * 32 + i;
        if (row < rows && column < columns)
            out[column * rows + row] = tile[threadIdx.x][i];
    }
}
"""

SUM = r"""
// Each warp adds its values by shuffles, then the first warp adds the warps' sums.
extern "C" __global__ void sum(const float* x, float* out, unsigned n) {
    __shared__ float sums[32];
    float total = 0;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        total += x[i];
    for (int away = 16; away; away /= 2)
        total += __shfl_down_sync(0xffffffff, total, away);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0)
        sums[warp] = total;
    __syncthreads();
    if (warp == 0) {
        total = lane < blockDim.x / 32 ? sums[lane] : 0;
        for (int away = 16; away; away /= 2)
            total += __shfl_xor_sync(0xffffffff, total, away);
        if (lane == 0)
            atomicAdd(out, total);
    }
}
"""

HISTOGRAM = r"""
// Counts in shared memory first, whose size the launch gives.
extern "C" __global__ void histogram(const unsigned char* x, unsigned* counts, int n, int bins) {
    extern __shared__ unsigned here[];
    for (int i = threadIdx.x; i < bins; i += blockDim.x)
        here[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&here[x[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < bins; i += blockDim.x)
        atomicAdd(&counts[i], here[i]);
}
"""

SCALE = r"""
struct Affine {
    float scale;
    double shift;
};
// Four values a thread, and a struct by value.
extern "C" __global__ void affine(float4* x, Affine by, int quarters) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= quarters)
        return;
    float4 four = x[i];
    four.x = four.x * by.scale + (float)by.shift;
    four.y = four.y * by.scale + (float)by.shift;
    four.z = four.z * by.scale + (float)by.shift;
    four.w = four.w * by.scale + (float)by.shift;
    x[i] = four;
}
"""


def transpose(pitch: int, arch: str = "sm_90") -> Compiled:
    rows, columns = 64, 50
    values = (floats(rows, columns), np.zeros((columns, rows), np.float32), rows, columns)
    return from_cuda_cpp(TRANSPOSE, f"transpose<{pitch}>", (2, 2), (32, 8), values, arch=arch)


def _sum(arch: str = "sm_90") -> Compiled:
    return from_cuda_cpp(SUM, "sum", 3, 96, (floats(1000), np.zeros(1, np.float32), 1000), arch=arch)


def _histogram(arch: str = "sm_90") -> Compiled:
    values = (rng().integers(0, 50, 2000, dtype=np.uint8), np.zeros(50, np.uint32), 2000, 50)
    return from_cuda_cpp(HISTOGRAM, "histogram", 2, 64, values, arch=arch, shared=50 * 4)


def _histogram_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"counts": np.bincount(given["x"], minlength=50).astype(np.uint32)}


def _affine(arch: str = "sm_90") -> Compiled:
    by = np.array((2.0, -1.5), np.dtype([("scale", "f4"), ("shift", "f8")], align=True))
    return from_cuda_cpp(SCALE, "affine", 2, 32, (floats(4 * 50), by.tobytes(), 50), arch=arch)


CASES = (
    Case("CUDA transpose, rows of 32", lambda **k: transpose(32, **k), lambda g: {"out": g["x"].T}),
    Case("CUDA transpose, rows of 33", lambda **k: transpose(33, **k), lambda g: {"out": g["x"].T}),
    Case("CUDA sum", _sum, lambda g: {"out": g["x"].sum(keepdims=True, dtype=np.float64)}, 1e-4),
    Case("CUDA histogram", _histogram, _histogram_expected),
    Case("CUDA affine", _affine, lambda g: {"x": g["x"] * np.float32(2) - np.float32(1.5)}, 1e-6),
)
