"""`python -m benchmarks.gpu.emulator`: how many warp instructions a second the emulator runs, on one core.

Kernels of the tests, on more data; of each the median of five runs. It asserts nothing.
"""

import statistics
from collections.abc import Callable

import numpy as np

from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp
from tinytorch.gpu.frontends.triton import from_triton
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run

_SCALE = """
extern "C" __global__ void scale(float* x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        x[i] = 2.0f * x[i] + 1.0f;
}
"""
_HASH = """
extern "C" __global__ void hash(unsigned* x) {
    unsigned h = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = 0; i < 200; ++i) { h ^= h << 13; h ^= h >> 17; h ^= h << 5; h += i; }
    x[blockIdx.x * blockDim.x + threadIdx.x] = h;
}
"""
_COLLATZ = """
extern "C" __global__ void collatz(int* steps) {
    unsigned n = blockIdx.x * blockDim.x + threadIdx.x + 1, k = 0;
    while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; ++k; }
    steps[blockIdx.x * blockDim.x + threadIdx.x] = k;
}
"""
_TRANSPOSE = """
extern "C" __global__ void transpose(const float* x, float* y, int n) {
    __shared__ float s[32][33];
    int r = threadIdx.x / 32, c = threadIdx.x % 32;
    for (int j = r; j < 32; j += 4) s[j][c] = x[(blockIdx.y * 32 + j) * n + blockIdx.x * 32 + c];
    __syncthreads();
    for (int j = r; j < 32; j += 4) y[(blockIdx.x * 32 + j) * n + blockIdx.y * 32 + c] = s[c][j];
}
"""


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _product(arch: str) -> Compiled:
    from tests.gpu.kernels.triton_kernels import dense

    side = 512
    a, b = _floats(side, side).astype(np.float16), _floats(side, side).astype(np.float16)
    meta = {"BM": 128, "BN": 128, "BK": 64, "num_warps": 4, "num_stages": 3}
    args = (a, b, _floats(side), np.zeros((side, side), np.float32), side, side)
    return from_triton(dense, (side // 128, side // 128), args, arch=arch, meta=meta)


def _softmax() -> Compiled:
    from tests.gpu.kernels.triton_kernels import softmax

    x = _floats(512, 1000)
    return from_triton(softmax, 512, (x, np.zeros_like(x), 1000, 1000, 1000), meta={"BLOCK": 1024})


def _cuda(text: str, name: str, grid: object, block: int, *args: object) -> Compiled:
    return from_cuda_cpp(text, name, grid, block, args, arch="sm_90")


KERNELS: dict[str, Callable[[], Compiled]] = {
    "integers in a loop": lambda: _cuda(_HASH, "hash", 64, 256, np.zeros(64 * 256, np.uint32)),
    "branches, every lane its own way": lambda: _cuda(_COLLATZ, "collatz", 16, 256, np.zeros(4096, np.int32)),
    "elementwise": lambda: _cuda(_SCALE, "scale", 64, 256, _floats(1 << 20), 1 << 20),
    "transpose through shared memory": lambda: _cuda(
        _TRANSPOSE, "transpose", (16, 16), 128, _floats(512, 512), _floats(512, 512), 512
    ),
    "softmax (Triton)": _softmax,
    "float16 product, mma.sync (Triton)": lambda: _product("sm_80"),
    "float16 product, wgmma (Triton)": lambda: _product("sm_90"),
}


def main() -> None:
    """Print a line for each kernel."""
    for name, make in KERNELS.items():
        compiled = make()
        kernel = parse(compiled.ptx).kernel(compiled.entry)
        rates, done = [], None
        for _ in range(5):
            done = run(kernel, compiled.grid, compiled.block, compiled.arguments, shared=compiled.shared)
            rates.append(done.warp_instructions / done.seconds)
        flops = sum(matrix.flops for matrix in done.matrices) / done.seconds
        tensor = f", {flops / 1e9:.2f} GFLOP/s of the tensor cores" if flops else ""
        median = statistics.median(rates) / 1e6
        print(f"{name:36} {median:6.2f} million a second, {done.warp_instructions:,} in all{tensor}")


if __name__ == "__main__":
    main()
