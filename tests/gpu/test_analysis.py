"""The analysis of a kernel: what it says of kernels whose answer is known by counting on one's fingers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tinytorch.gpu import analyze
from tinytorch.gpu.analysis.result import Analysis
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.launch import Argument
from tinytorch.runtime.errors import InputError

SPREAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry spread(.param .u64 x, .param .u32 step)
{
    .reg .pred %p<2>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [x];
    ld.param.u32 %r3, [step];
    mov.u32 %r1, %tid.x;
    mul.lo.u32 %r2, %r1, %r3;
    mul.wide.u32 %rd2, %r2, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r4, [%rd3];
    and.b32 %r5, %r1, 1;
    setp.eq.u32 %p1, %r5, 0;
    @%p1 bra DONE;
    st.global.u32 [%rd3], %r4;
DONE:
    ret;
}"""


def spread(step, threads=64, size=4096, grid=1, ptx=SPREAD):
    x = np.zeros(size, np.int32)
    arguments = (Argument("x", x), Argument("step", np.uint32(step)))
    return Compiled(
        "PTX", "PTX", "spread", "sm_80", ptx, None, (grid, 1, 1), (threads, 1, 1), 0, arguments, {}
    )


def line(found: Analysis, text: str):
    return next(one for one in found.lines if text in one.text)


def access(found: Analysis, text: str, kind: str, space: str = "global"):
    return next(a for a in line(found, text).accesses if (a.kind, a.space) == (kind, space))


def mentions(found: Analysis, *words: str):
    return [text for text in found.recommendations if all(word in text for word in words)]


@pytest.mark.parametrize(("step", "sectors"), [(1, 4), (2, 8), (4, 16), (8, 32), (16, 32)])
def test_sectors_of_a_stride(step, sectors):
    found = analyze(spread(step))
    load = access(found, "ld.global", "load")
    assert (load.requests, load.sectors, load.ideal_sectors) == (2, 2 * sectors, 8)
    assert load.arrays == ("x",)
    assert load.gap == 4 * step
    assert found.totals.global_loads.efficiency == 4 / sectors
    told = mentions(found, "x is read", f"{step} elements apart")
    assert bool(told) == (step > 1)


def test_threads_along_the_wrong_axis():
    """Blocks of 16 x 16 threads, x[threadIdx.x, threadIdx.y]: two lanes of a warp lie in each row."""
    columns = (
        "and.b32 %r2, %r1, 15;\n    mul.lo.u32 %r2, %r2, %r3;\n    shr.u32 %r5, %r1, 4;\n"
        "    add.u32 %r2, %r2, %r5;"
    )
    found = analyze(spread(64, ptx=SPREAD.replace("mul.lo.u32 %r2, %r1, %r3;", columns)))
    assert access(found, "ld.global", "load").gap is None
    assert mentions(found, "x is read with 16 sectors", "neighbouring lanes lie 64 elements apart")


def test_the_worst_request_is_told_lane_by_lane():
    worst = access(analyze(spread(2)), "ld.global", "load").worst
    addresses = np.array(worst.addresses)
    assert (np.diff(addresses) == 8).all()
    assert (worst.block, worst.warp, worst.cost) == (0, 0, 8)


def test_lanes_that_part():
    """Every second lane goes on to the store, over a branch at which every warp parts."""
    found = analyze(spread(1))
    assert line(found, "st.global").active_threads == 16
    branch = line(found, "bra")
    assert (branch.branches, branch.divergent_branches) == (2, 2)
    assert found.totals.branch_efficiency == 0
    assert found.totals.active_threads < 32


def test_lanes_that_are_scattered_as_others_are_idle():
    (told,) = mentions(analyze(spread(1)), "x is written")
    assert "lanes go to neighbouring places, and those in between are idle" in told


def test_warps_that_are_not_full():
    found = analyze(spread(1, threads=8))
    assert line(found, "ld.global").active_threads == 8
    assert mentions(found, "of 32 lanes are active")


def test_what_is_wrong_is_found_with_its_line():
    found = analyze(spread(1, size=60))
    assert found.findings[0].kind == "out of bounds"
    assert found.findings[0].thread == (60, 0, 0)
    assert "ld.global" in SPREAD.splitlines()[found.findings[0].line - 1]


def test_a_sample_that_agrees_is_extrapolated_and_one_that_does_not_is_not():
    found = analyze(spread(1, grid=10), blocks=2)
    assert (found.blocks, found.blocks_run, found.scale) == (10, 2, 5)
    assert any("times 5" in note for note in found.notes)
    assert analyze(spread(1, grid=10), blocks=1).scale is None  # one agrees with nobody
    differs = SPREAD.replace("and.b32 %r5, %r1, 1;", "mov.u32 %r5, %ctaid.x;")
    found = analyze(spread(1, grid=10, ptx=differs), blocks=2, product="A100")
    assert found.scale is None
    assert found.bound is None
    assert any("nothing is extrapolated" in note for note in found.notes)


def test_what_is_not_covered_is_not_run_and_said():
    strange = SPREAD.replace("and.b32 %r5, %r1, 1;", "unknown.b32 %r5, %r1, 1;")
    found = analyze(spread(1, ptx=strange))
    assert found.totals is None
    assert found.lines == ()
    assert any("unknown.b32 is not covered" in note for note in found.notes)


def test_limits_and_launches_that_cannot_be():
    with pytest.raises(InputError, match="steps"):
        analyze(spread(1, ptx=SPREAD.replace("DONE:\n", "DONE:\n bra DONE;\n")), steps=1000)
    with pytest.raises(InputError, match="grid"):
        analyze("kernel.ptx")
    with pytest.raises(InputError, match="known are"):
        analyze(spread(1), product="Voodoo 2")


def test_json_holds_everything_but_the_arrays():
    found = analyze(spread(2), product="A100")
    told = json.loads(json.dumps(found.as_dict()))
    assert told["schema"] == 1
    assert told["totals"]["global_loads"] == {"requests": 2, "cost": 16, "ideal": 8, "efficiency": 0.5}
    assert told["bound"]["by"] == "memory"
    assert told["provenance"]["hardware"] == "nothing here was measured on a GPU"
    assert "arrays" not in told
    assert found.arrays["x"].shape == (4096,)


@pytest.fixture(scope="module")
def analyses():
    pytest.importorskip("cuda.bindings.nvrtc")
    from tests.gpu.kernels.cuda_kernels import transpose

    return {pitch: analyze(transpose(pitch), product="H100 SXM") for pitch in (32, 33)}


@pytest.fixture(scope="module")
def kernels():
    pytest.importorskip("triton")
    from tests.gpu.kernels import triton_kernels

    return triton_kernels


@pytest.fixture(scope="module")
def anything(analyses, kernels):
    """Analyses of kernels of several kinds."""
    return [
        analyze(spread(3, threads=50)),
        *analyses.values(),
        *map(analyze, (c.compile() for c in kernels.CASES)),
    ]


def test_lines_add_up_to_the_totals(anything):
    for found in anything:
        accesses = [access for one in found.lines for access in one.accesses]

        def total(what, space, *kinds, some=accesses):
            return sum(getattr(one, what) for one in some if one.space == space and one.kind in kinds)

        totals = found.totals
        assert sum(one.warp_instructions for one in found.lines) == totals.warp_instructions
        assert sum(one.divergent_branches for one in found.lines) == totals.divergent_branches
        assert total("sectors", "global", "load") == totals.global_loads.cost
        assert total("sectors", "global", "store", "atomic") == totals.global_stores.cost
        assert total("wavefronts", "shared", "load", "store", "atomic") == totals.shared.cost
        lanes = sum(one.active_threads * one.warp_instructions for one in found.lines)
        assert lanes / totals.warp_instructions == pytest.approx(totals.active_threads)


def test_every_line_of_a_library_is_told_where_the_user_calls_it(anything):
    for found in anything:
        assert not [one.file for one in found.lines if "site-packages" in one.file]
        assert all(one.text for one in found.lines if one.line)


def test_a_line_of_source_is_shown_as_it_stands():
    from tinytorch.profiler.gpu_report import text

    ptx = SPREAD.replace("ld.global.u32 %r4, [%rd3];", "ld.global.u32 %r4, [%rd3]; // [red]x[/]")
    assert "[red]x[/]" in text(analyze(spread(1, ptx=ptx)).as_dict(), 200)


class TestCudaTranspose:
    """The classic: columns of a tile in shared memory lie in one bank, unless its rows are a word longer."""

    def test_wavefronts(self, analyses):
        for pitch, wavefronts in ((32, 32), (33, 1)):
            read = access(analyses[pitch], "tile[threadIdx.x][i]", "load", "shared")
            assert read.worst.cost == wavefronts
            assert read.ideal_wavefronts == read.requests
        assert analyses[33].totals.bank_conflicts == 0
        assert analyses[32].totals.bank_conflicts > 1000

    def test_advice(self, analyses):
        assert mentions(analyses[32], "32 words apart", "by 1 word")[0] == analyses[32].recommendations[0]
        assert not mentions(analyses[33], "bank")

    def test_arrays_and_machine_code(self, analyses):
        found = analyses[33]
        assert access(found, "out[column", "store").arrays == ("out",)
        assert found.machine_code.static_shared == 32 * 33 * 4
        assert found.occupancy.blocks_per_sm == 8
        assert found.occupancy.waves.slots == 8 * 132
        assert found.tensor_cores.used is False
        assert found.tensor_cores.falls_off is None


UNROLLED = """
extern "C" __global__ void columns(const float* x, float* out) {
    __shared__ float s[32][PITCH];
    int tx = threadIdx.x, ty = threadIdx.y;
    for (int j = 0; j < 32; j += 8) s[ty + j][tx] = x[(ty + j) * 32 + tx];
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 32; j += 8) out[(ty + j) * 32 + tx] = s[tx][ty + j];
}
"""


@pytest.mark.parametrize(
    ("pitch", "cost", "told"),
    [
        (32, 32, "32 words apart, all in the same bank of 32: make each row longer by 1 word"),
        (36, 4, "36 words apart, so that some share a bank of 32: make each row longer by 1 word"),
        (33, 1, None),
    ],
)
def test_lanes_of_one_request_share_banks_and_not_those_of_an_unrolled_loop(pitch, cost, told):
    pytest.importorskip("cuda.bindings.nvrtc")
    from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

    x = np.arange(1024, dtype=np.float32)
    source = UNROLLED.replace("PITCH", str(pitch))
    found = analyze(from_cuda_cpp(source, "columns", 1, (32, 8), (x, np.zeros_like(x))))
    read = access(found, "s[tx][ty + j]", "load", "shared")
    assert (read.instructions, read.worst.cost, read.gap) == (4, cost, 4 * pitch)
    advice = [text.partition("lanes go to places ")[2] for text in mentions(found, "bank")]
    assert advice == ([told] if told else [])


def test_the_file_of_a_line_can_be_opened_whatever_its_name(tmp_path):
    pytest.importorskip("cuda.bindings.nvrtc")
    from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp
    from tinytorch.gpu.sass.opcodes import code

    path = tmp_path / "Übung 1" / "k.cu"
    path.parent.mkdir()
    path.write_text('extern "C" __global__ void k(float* x) {\n    x[threadIdx.x] += 1;\n}\n')
    made = from_cuda_cpp(path, "k", 1, 64, (np.zeros(32, np.float32),))
    found = analyze(made)
    assert set(made.sources) == {str(path)}
    assert {one.file for one in found.findings} == {one.file for one in found.lines} == {str(path)}
    assert access(found, "x[threadIdx.x] += 1;", "store").requests == 1  # that of the warp within bounds
    stores = [i for i in code(made.cubin)["k"].instructions if i.base == "STG"]
    assert {(store.file, store.line) for store in stores} == {(str(path), 2)}


def test_the_file_of_a_triton_kernel_can_be_opened_whatever_its_name(tmp_path):
    pytest.importorskip("triton")
    path = tmp_path / "Übung 1" / "k.py"
    path.parent.mkdir()
    path.write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef ones(x):\n"
        "    tl.store(x + tl.arange(0, 64), 1.0)\n"
    )
    found = analyze(f"{path}:ones", 1, (np.zeros(32, np.float32),))
    assert {one.file for one in found.findings} == {str(path)}
    assert access(found, "tl.store(", "store").requests


STRUCTURES = """
__device__ float dot(float3 a, float3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
extern "C" __global__ void lengths(const float3* x, float* out) {
    float3 v = x[threadIdx.x];
    out[threadIdx.x] = dot(v, v);
}
extern "C" __global__ void stencil(const float* x, float* out) {
    int i = threadIdx.x;
    out[i] = x[i] + x[i + 1] + x[i + 2];
}
extern "C" __global__ void pairs(const float* x, float* out) {
    int i = 2 * threadIdx.x;
    out[threadIdx.x] = x[i] + x[i + 1];
}
"""


class TestCuda:
    """What is advised of accesses to neighbours."""

    def of(self, name, x):
        pytest.importorskip("cuda.bindings.nvrtc")
        from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

        return analyze(from_cuda_cpp(STRUCTURES, name, 1, 32, (x, np.zeros(32, np.float32))))

    def test_no_access_is_as_wide_as_three_floats(self):
        found = self.of("lengths", np.zeros(96, np.float32))
        (told,) = mentions(found, "x is read")
        assert "to 3 neighbours, 32 bits at a time, and lanes lie 12 bytes apart, which no wider" in told
        assert found.tensor_cores.asked_at == ()  # `dot` is a function as any other

    def test_a_block_that_fits_nowhere(self):
        pytest.importorskip("cuda.bindings.nvrtc")
        from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

        source = 'extern "C" __global__ void one(float* x) { extern __shared__ float s[]; *x = s[0] = 1; }'
        x = np.zeros(1, np.float32)
        made = from_cuda_cpp(source, "one", 1, 1, (x,), arch="sm_86", shared=200_000)
        told = analyze(made).recommendations[0]
        assert "does not fit in an SM at all, by its shared memory: at most 101,376 shared bytes" in told

    def test_spills_of_a_thread_that_may_not_have_more_registers(self):
        pytest.importorskip("cuda.bindings.nvrtc")
        from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

        source = """
        extern "C" __global__ void __launch_bounds__(1024, 2) turned(float* x) {
            float a[80];
            #pragma unroll
            for (int k = 0; k < 80; k++) a[k] = x[k * 32 + threadIdx.x];
            __syncthreads();
            #pragma unroll
            for (int k = 0; k < 80; k++) x[k * 32 + threadIdx.x] = a[k * 7 % 80] + a[79 - k];
        }
        """
        found = analyze(from_cuda_cpp(source, "turned", 1, 32, (np.zeros(2560, np.float32),)))
        assert found.machine_code.registers == 32
        assert mentions(found, "did not fit in 32 registers", "looser bounds")

    def test_recursion_is_not_run_and_keeps_no_other_kernel_from_it(self):
        pytest.importorskip("cuda.bindings.nvrtc")
        from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp

        source = """
        __noinline__ __device__ float sum(float x, int n) { return n ? sum(x * 1.1f, n - 1) + x : x; }
        extern "C" __global__ void sums(float* x, int n) { x[threadIdx.x] = sum(x[threadIdx.x], n); }
        extern "C" __global__ void one(float* x, int n) { x[threadIdx.x] = n; }
        """
        made = {
            name: analyze(from_cuda_cpp(source, name, 1, 32, (np.zeros(32, np.float32), 1)))
            for name in ("sums", "one")
        }
        assert made["one"].totals is not None
        assert made["sums"].totals is None
        assert made["sums"].occupancy is not None
        assert "recursion is not covered" in made["sums"].notes[-1]

    def test_fragments_of_wmma_are_told_apart(self):
        from tests.gpu.kernels.wmma_kernels import staged
        from tinytorch.profiler.gpu_report import text

        found = analyze(staged())
        totals = found.totals
        assert (totals.fragment_loads.requests, totals.fragment_stores.requests) == (0, 16)
        assert totals.fragment_stores.cost == totals.fragment_stores.ideal == 256
        assert totals.bytes_moved == 32 * (512 + 256)  # two matrices by lanes, one by fragments
        assert totals.operations == {"fp16": 2 * 64**3}
        assert found.tensor_cores.by == "mma.sync"
        shared = [a for line in found.lines for a in line.accesses if a.space == "shared"]
        assert {a.kind: a.cost_known for a in shared} == {"store": True, "fragment load": False}
        shown = " ".join(text(found.as_dict()).split())
        assert "fragment load shared, 128 bits 64 22 " in shown  # requests alone
        assert "fragment stores 256 sectors" in shown

    def test_lines_of_fragments_that_are_half_a_sector(self):
        from tests.gpu.kernels.wmma_kernels import compiled

        source = """
        #include <mma.h>
        using namespace nvcuda::wmma;
        extern "C" __global__ void product(const signed char* a, const signed char* b, int* c) {
            fragment<matrix_a, 16, 16, 16, signed char, row_major> x;
            fragment<matrix_b, 16, 16, 16, signed char, col_major> y;
            fragment<accumulator, 16, 16, 16, int> sum;
            fill_fragment(sum, 0);
            load_matrix_sync(x, a, 64);
            load_matrix_sync(y, b, 16);
            mma_sync(sum, x, y, sum);
            store_matrix_sync(c, sum, 16, mem_row_major);
        }
        """
        rng = np.random.default_rng(0)
        a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((16, 64), (16, 16)))
        found = analyze(compiled(source, "product", 1, 32, (a, b, np.zeros((16, 16), np.int32))))
        np.testing.assert_array_equal(found.arrays["c"], a[:, :16].astype("i4") @ b.T.astype("i4"))
        (told,) = mentions(found, "lines of its fragment begin or end within a sector")
        assert "a is read with 16 sectors a request where 8 would do" in told

    def test_neighbours_of_a_stencil(self):
        (told,) = mentions(self.of("stencil", np.zeros(34, np.float32)), "x is read")
        assert "with 4.67 sectors a request where 4 would do: of its 3 accesses some begin 4 bytes" in told

    def test_what_is_not_aligned_cannot_be_wider(self):
        x = np.zeros(65, np.float32)
        (told,) = mentions(self.of("pairs", x[:64]), "x is read")
        assert told.endswith("one access of 64 bits would do for 2 of them")
        (told,) = mentions(self.of("pairs", x[1:]), "x is read")
        assert told.endswith("if it were aligned, but x begins 4 bytes behind a multiple of 8")


def test_units_that_work_side_by_side_are_not_added_up():
    """Another instruction in fp64 beside one in fp32 takes no longer than the longer of them."""
    bounds = {}
    for kinds in (("f64",), ("f32",), ("f32", "f64")):
        lines = [f".reg .{kind} %{kind};\nadd.{kind} %{kind}, %{kind}, %{kind};" for kind in kinds]
        ptx = SPREAD.replace("and.b32 %r5", "\n".join(lines) + "\nand.b32 %r5")
        bounds[kinds] = analyze(spread(1, ptx=ptx), product="A100").bound.compute_seconds
    assert bounds["f32", "f64"] == max(bounds["f64",], bounds["f32",]) > 0


class TestTriton:
    """Kernels from Triton, compiled on no GPU."""

    def test_a_stride_of_two_takes_twice_the_ideal_or_more(self, kernels):
        n = 1024
        x, y, out = np.ones(2 * n, np.float32), np.ones(n, np.float32), np.zeros(n, np.float32)
        found = analyze(kernels.add_strided, 4, (x, y, out, n, 2), meta={"BLOCK": 256})
        load = next(a for a in line(found, "i * stride").accesses if a.arrays == ("x",))
        assert load.sectors >= 2 * load.ideal_sectors
        assert mentions(found, "x is read", "2 elements apart")
        np.testing.assert_array_equal(found.arrays["out"], 2)

    def test_a_count_that_is_not_divisible_by_16_makes_accesses_narrow(self, kernels):
        found = {}
        for n in (4096, 4095):
            x, y, out = (np.ones(4096, np.float32) for _ in range(3))
            found[n] = analyze(kernels.add, 4, (x, y, out, n), meta={"BLOCK": 1024})
        bits = {n: {a.bits for one in f.lines for a in one.accesses} for n, f in found.items()}
        assert bits == {4096: {128}, 4095: {32}}
        assert set(found[4095].machine_code.widths["LDG"]) == {32}
        assert mentions(found[4095], "n = 4095 is not divisible by 16", "128 bits")
        assert not mentions(found[4096], "divisible")

    def test_bfloat16_falls_off_the_tensor_cores_of_turing(self, kernels):
        pytest.importorskip("ml_dtypes")
        found = analyze(kernels.dense_bfloat16("sm_75", side=128), blocks=1)
        assert found.tensor_cores.used is False
        assert found.tensor_cores.falls_off.endswith("sm_75: bfloat16 is not supported below sm_80")
        assert found.machine_code.spilled > 10_000
        assert "falls off" in found.recommendations[0]
        assert f"{found.machine_code.spilled:,} bytes" in found.recommendations[0]

    def test_triton_uses_no_tensor_cores_of_turing_whatever_the_dtype(self, kernels):
        a, out = np.zeros((64, 64), np.float16), np.zeros((64, 64), np.float32)
        meta = {"BM": 64, "BN": 64, "BK": 64}
        found = analyze(kernels.dense, (1, 1), (a, a, a[0], out, 64, 64), arch="sm_75", meta=meta)
        assert (
            "tensor cores on sm_75: Triton uses them from sm_80 on: use a newer" in found.recommendations[0]
        )

    def test_an_array_that_begins_within_16_bytes_makes_accesses_narrow(self, kernels):
        x, y, out = (np.zeros(4097, np.float32) for _ in range(3))
        found = analyze(kernels.add, 4, (x[1:], y[:-1], out, 4096), meta={"BLOCK": 1024})
        (told,) = mentions(found, "x is read")
        assert "128 bits would do for 4 of them if it were aligned, but x begins 4 bytes behind" in told

    @pytest.mark.parametrize(
        ("arch", "by", "instruction"), [("sm_80", "mma.sync", "HMMA"), ("sm_90", "wgmma", "HGMMA")]
    )
    def test_bfloat16_on_tensor_cores(self, kernels, arch, by, instruction):
        pytest.importorskip("ml_dtypes")
        found = analyze(
            kernels.dense_bfloat16(arch, side=128), product="H100 SXM" if arch == "sm_90" else None
        )
        assert found.tensor_cores.by == by
        assert found.tensor_cores.instructions[instruction] > 0
        assert found.tensor_cores.falls_off is None
        assert found.machine_code.spilled == 0
        assert found.totals.operations["bf16"] == 2 * 128**3
        assert line(found, "tl.dot").matrix_operations == 2 * 128**3
        held = found.occupancy
        assert held.blocks_per_sm >= 1
        assert "registers" in held.limiters or "shared memory" in held.limiters
        assert f"occupancy {held.share:.1%}" in held.words

    def test_copies_of_boxes_are_told_apart(self, kernels):
        from tinytorch.profiler.gpu_report import text

        x, out = np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32)
        for columns, copies in ((64, 4), (4, 32)):  # a row of a box has 128 bytes at most
            found = analyze(kernels.copy_boxes, 2, (x, out), meta={"ROWS": 32, "COLUMNS": columns})
            totals = found.totals
            assert (totals.bulk_loads.requests, totals.bulk_stores.ideal) == (copies, 512)
            used = 1 if columns == 64 else 0.5  # rows of 16 bytes are half a sector
            assert totals.bulk_loads.efficiency == totals.bulk_stores.efficiency == used
            assert totals.bytes_moved >= 2 * x.nbytes / used
            assert bool(mentions(found, "a copy where", "whole multiples of 32 bytes")) == (used < 1)
            assert f"bulk loads {512 / used:,.0f} sectors" in " ".join(text(found.as_dict()).split())
            np.testing.assert_array_equal(found.arrays["out"], 1)


class TestNumba:
    def test_lanes_that_leave_a_loop_at_different_times(self):
        pytest.importorskip("numba_cuda")
        from tests.gpu.kernels.numba_kernels import collatz

        x = np.arange(1, 65, dtype=np.int32)
        found = analyze(collatz, 1, (x, np.zeros_like(x)), block=64)
        assert found.totals.divergent_branches > 0
        assert found.totals.active_threads < 20
        assert mentions(found, "lanes are active", "let the lanes of a warp agree")
        assert any("n % 2 == 0" in one.text for one in found.lines)


def test_importing_takes_numpy_alone():
    code = (
        "import sys\n"
        "for name in 'triton numba torch cuda rich altair ml_dtypes'.split(): sys.modules[name] = None\n"
        "from tinytorch.gpu import analyze"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_cubin_is_read_and_not_run(tmp_path):
    pytest.importorskip("triton")
    from tinytorch.gpu.sass.assemble import assemble

    path = tmp_path / "spread.cubin"
    path.write_bytes(assemble(SPREAD, "sm_80"))
    found = analyze(path, 1)
    assert found.totals is None
    assert found.machine_code.registers > 0
    assert found.occupancy is None
    assert any("give block=" in note for note in found.notes)
    assert analyze(path, 1, block=64).occupancy.share > 0.5
