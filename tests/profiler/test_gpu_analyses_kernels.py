"""The GPU analyses of real kernels: what emulator and machine code say comes through to their keys."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from tinytorch import gpu
from tinytorch.machine.info import describe
from tinytorch.profiler import optimization
from tinytorch.profiler.optimization import KernelOptimizationProfiler
from tinytorch.runtime.errors import InputError

COPY = """
extern "C" __global__ void copy(const float* x, float* out, int stride, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i * stride];
}
"""
BRANCHY = """
extern "C" __global__ void branchy(float* x, int ways) {
    float v = x[threadIdx.x];
    for (int i = 0; i < (int)(threadIdx.x % ways) * 8; ++i) v = v * v + 1.0f;
    x[threadIdx.x] = v;
}
"""


@pytest.fixture
def profiler(monkeypatch):
    """Be a machine without a GPU, whichever this one is."""
    here = replace(describe(), gpus=())
    monkeypatch.setattr(optimization, "describe", lambda: here)
    return KernelOptimizationProfiler()


@pytest.fixture(scope="module")
def cuda():
    pytest.importorskip("cuda.bindings.nvrtc")
    from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

    def compiled(source, name, grid, block, *args, arch="sm_90"):
        return from_cuda_cpp(source, name, grid, block, args, arch=arch)

    return compiled


def copy(cuda, stride, blocks=4):
    x, out = np.arange(1 << 14, dtype=np.float32), np.zeros(128 * blocks, np.float32)
    return cuda(COPY, "copy", blocks, 128, x, out, np.int32(stride), np.int32(128 * blocks))


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8)])
def test_coalescing_is_what_the_kernel_asks_for(profiler, cuda, stride, sectors):
    found = profiler.analyze_memory_coalescing(kernel=copy(cuda, stride))
    load, store = found["accesses"]
    assert (load["arrays"], load["sectors_per_request"], load["ideal_sectors_per_request"]) == (
        ["x"],
        sectors,
        4,
    )
    assert (store["arrays"], store["sectors_per_request"]) == (["out"], 4)
    assert load["text"] == "if (i < n) out[i] = x[i * stride];"
    assert found["memory_transactions"] == 16 * (sectors + 4)
    assert found["coalescing_efficiency"] == pytest.approx(8 / (sectors + 4))
    assert bool(found["recommendations"]) == (stride > 1)
    assert found["provenance"]["memory_transactions"].startswith("PTX: copy was run")
    assert found["access_pattern"] == "copy"
    json.dumps(found)


def test_the_kernel_may_stand_in_the_place_of_the_pattern(profiler, cuda):
    found = profiler.analyze_memory_coalescing(copy(cuda, 2), (512,))
    assert (found["sectors_per_request"], found["data_shape"]) == (6, [512])
    assert profiler.profile_results["memory_coalescing"] is found


def test_a_kernel_is_called_what_its_author_calls_it(profiler):
    pytest.importorskip("numba_cuda")
    from tests.gpu.kernels.numba_kernels import increment

    found = profiler.analyze_memory_coalescing(increment, grid=1, block=32, args=(np.zeros(32, np.float32),))
    assert found["access_pattern"] == "increment"  # numba's entry has types in its name
    assert found["provenance"]["memory_transactions"].startswith("PTX: increment was run")


def test_sampled_blocks_stand_for_the_grid_if_they_agree(profiler, cuda):
    kernel = copy(cuda, 2, 32)
    every = profiler.analyze_memory_coalescing(kernel=kernel)
    some = profiler.analyze_memory_coalescing(kernel=kernel, blocks=4)
    assert some["memory_transactions"] == every["memory_transactions"]
    assert "4 of 32 blocks, which agree" in some["provenance"]["memory_transactions"]


def test_divergence_is_what_the_warps_do(profiler, cuda):
    x = np.ones(128, np.float32)
    same = profiler.analyze_warp_divergence(kernel=cuda(BRANCHY, "branchy", 1, 128, x, np.int32(1)))
    assert (same["divergence_ratio"], same["efficiency_loss"]) == (0, 0)
    assert same["recommendations"] == []
    parted = profiler.analyze_warp_divergence(kernel=cuda(BRANCHY, "branchy", 1, 128, x, np.int32(8)))
    assert parted["conditional_operations"] > 0
    assert parted["divergence_ratio"] == pytest.approx(
        parted["conditional_operations"] / parted["total_operations"]
    )
    assert parted["warp_efficiency"] < 0.75
    assert parted["efficiency_loss"] == pytest.approx(1 - parted["warp_efficiency"])
    assert any(line["divergent_branches"] for line in parted["lines"])
    assert "lanes part at" in parted["recommendations"][0]
    assert "branches part them" in profiler.generate_optimization_report()


@pytest.mark.parametrize(("pitch", "wavefronts"), [(32, 32), (33, 1)])
def test_bank_conflicts_of_a_transpose(profiler, cuda, pitch, wavefronts):
    source = f"""
    extern "C" __global__ void transpose(const float* x, float* out) {{
        __shared__ float tile[32][{pitch}];
        tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
        __syncthreads();
        out[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
    }}
    """
    x = np.arange(1024, dtype=np.float32).reshape(32, 32)
    kernel = cuda(source, "transpose", 1, (32, 32), x, np.zeros_like(x))
    found = profiler.analyze_shared_memory_usage(kernel=kernel)
    assert found["data_size_bytes"] == 4 * 32 * pitch
    assert found["reuse_factor"] == 1
    assert [one["wavefronts_per_request"] for one in found["accesses"]] == [1, wavefronts]
    assert found["bank_conflicts"] == (wavefronts - 1) / 2  # of 64 requests, 32 are loads
    assert any("make each row longer by 1 word" in text for text in found["recommendations"]) == (pitch == 32)


def test_fragments_in_shared_memory_are_no_known_reuse_of_it(profiler):
    from tests.gpu.kernels.wmma_kernels import staged

    found = profiler.analyze_shared_memory_usage(kernel=staged())
    assert (found["reuse_factor"], found["wavefronts_per_request"]) == (None, 1)
    assert {one["kind"] for one in found["accesses"]} == {"store"}
    moved = profiler.analyze_memory_coalescing(kernel=staged())
    assert moved["requests"] == 256 + 16  # of warps for a and b, of fragments for what they make
    assert moved["memory_transactions"] == 512 + 256


def test_a_kernel_without_shared_memory_has_no_conflicts(profiler, cuda):
    found = profiler.analyze_shared_memory_usage(kernel=copy(cuda, 1))
    assert (found["data_size_bytes"], found["bank_conflicts"], found["accesses"]) == (0, 0, [])
    assert (found["reuse_factor"], found["performance_gain"]) == (None, None)
    held = gpu.analyze(copy(cuda, 1)).occupancy
    assert found["blocks_per_sm"] == held.blocks_per_sm <= 32
    assert f"limited by {held.limiters[0]}" in found["provenance"]["blocks_per_sm"]
    assert "left out" not in found["provenance"]["blocks_per_sm"]
    assert "Shared memory" in profiler.generate_optimization_report()


def test_blocks_of_a_kernel_whose_machine_code_is_not_known(profiler, cuda):
    kernel = replace(copy(cuda, 1), cubin=None)
    found = profiler.analyze_shared_memory_usage(kernel=kernel)
    assert found["blocks_per_sm"] == 16  # of 4 warps, of 64
    told = "blocks that an SM holds, limited by warps; registers are not known"
    assert told in found["provenance"]["blocks_per_sm"]


def test_errors_of_a_launch(profiler, cuda):
    with pytest.raises(InputError, match="how many blocks the grid has"):
        profiler.analyze_memory_coalescing(kernel="nowhere.py:add")
    with pytest.raises(InputError, match=r"there is no file nowhere\.py"):
        profiler.analyze_memory_coalescing(kernel="nowhere.py:add", grid=1)
    with pytest.raises(InputError, match="give kernel=, or conditional_operations and total_operations"):
        profiler.analyze_warp_divergence(1, 2, kernel=copy(cuda, 1))
    with pytest.raises(InputError, match=r"the kernel is for sm_90a?, and T4 is sm_75"):
        profiler.analyze_shared_memory_usage(kernel=copy(cuda, 1), device="T4")
    assert profiler.profile_results == {}


triton = pytest.importorskip("triton") if sys.platform == "linux" else None


def tile_product(arch):
    """Compile a product of one tile of 64 x 64 x 64 in bfloat16."""
    import ml_dtypes

    from tests.gpu.kernels.triton_kernels import dense
    from tinytorch.gpu.frontends.triton import from_triton

    a, b, out = (np.zeros((64, 64), ml_dtypes.bfloat16) for _ in range(3))
    meta = {"BM": 64, "BN": 64, "BK": 64, "num_warps": 4}
    return from_triton(dense, (1, 1), (a, b, a[0], out, 64, 64), arch=arch, meta=meta)


@pytest.mark.skipif(triton is None, reason="Triton is for Linux")
class TestTriton:
    """Kernels that Triton compiles."""

    def test_a_product_on_the_tensor_cores_and_one_that_falls_off(self, profiler):
        kernel = tile_product("sm_90")
        on = profiler.analyze_tensor_core_utilization(kernel=kernel, shape=(64, 64, 64))
        assert on["tensor_core_compatible"]
        assert (on["instruction"], on["data_types"]) == ("wgmma", ["bf16"])
        assert on["instructions"]["HGMMA"] > 0
        assert on["tile_efficiency"] == 1
        assert on["actual_utilization"] == on["wave_efficiency"]
        assert on["theoretical_speedup"] == pytest.approx(14.8, rel=0.01)
        assert on["performance_gain"] > 1
        assert on["provenance"]["tensor_core_compatible"].startswith("SASS")
        with pytest.raises(InputError, match="does too few operations for a product"):
            profiler.analyze_tensor_core_utilization(kernel=kernel, shape=(128, 64, 64))
        off = profiler.analyze_tensor_core_utilization(kernel=tile_product("sm_75"))
        assert not off["tensor_core_compatible"]
        assert off["registers"] > 0
        assert "T4 (assumed: the first of the table that is sm_75)" in off["provenance"]["wave_efficiency"]
        assert "falls off the tensor cores on sm_75" in off["optimization_requirements"][0]
        json.dumps([on, off])
        assert "does not run on tensor cores of T4" in profiler.generate_optimization_report()

    def test_what_tensor_cores_and_copies_do_themselves_is_no_reuse_of_shared_memory(self, profiler):
        from tests.gpu.kernels.triton_kernels import copy_boxes

        product = profiler.analyze_shared_memory_usage(kernel=tile_product("sm_90"))
        x = np.ones((64, 64), np.float32)
        launch = {"kernel": copy_boxes, "grid": 2, "args": (x, x), "meta": {"ROWS": 32, "COLUMNS": 64}}
        for found in (product, profiler.analyze_shared_memory_usage(**launch)):
            assert (found["reuse_factor"], found["performance_gain"]) == (None, None)
            assert found["provenance"]["reuse_factor"].startswith("unknown")
        moved = profiler.analyze_memory_coalescing(**launch)
        assert (moved["memory_transactions"], moved["coalescing_efficiency"]) == (1024, 1)
        assert moved["sectors_per_request"] == 1024 / moved["requests"]

    def test_a_kernel_with_its_grid_and_args(self, profiler):
        from tests.gpu.kernels.triton_kernels import add_strided

        x, y, out = (np.zeros(4096, np.float32) for _ in range(3))
        found = profiler.analyze_memory_coalescing(
            add_strided, grid=4, args=(x, y, out, 2048, 2), meta={"BLOCK": 512}, arch="sm_80"
        )
        assert found["device"].startswith("A100")
        by_array = {one["arrays"][0]: one for one in found["accesses"]}
        strided, plain = by_array["x"], by_array["y"]
        assert strided["sectors_per_request"] >= 2 * strided["ideal_sectors_per_request"]
        assert plain["sectors_per_request"] == plain["ideal_sectors_per_request"]
        assert any("x is read with" in text for text in found["recommendations"])
        assert found["optimization_potential"] > 1.5
