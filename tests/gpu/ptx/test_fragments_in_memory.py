"""wmma in kernels that run: tiles from memory and back, what they cost, and what is found wrong."""

import ml_dtypes
import numpy as np
import pytest

from tests.gpu.kernels.wmma_kernels import compiled, staged
from tests.gpu.ptx.programs import launch
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.program import NotCoveredError
from tinytorch.gpu.ptx.run import Run, run

#: A tile of 16 x 16 float32 is loaded from x, where %rd1 points to, and stored to out; %r2 is the warp.
C = "{%f10, %f11, %f12, %f13, %f14, %f15, %f16, %f17}"
BEGIN = """
    mov.u32 %r1, %tid.x; shr.u32 %r2, %r1, 5; mov.u32 %r3, %ctaid.x; mov.u32 %r5, s;
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd0, [out];
"""
SHARED = ".shared .align 128 .b8 s[8192];"


def load(place: str, stride: int | str = 16, space: str = ".global") -> str:
    return f"wmma.load.c.sync.aligned.row.m16n16k16{space}.f32 {C}, [{place}], {stride};"


def store(place: str, stride: int | str = 16, space: str = ".global") -> str:
    return f"wmma.store.d.sync.aligned.row.m16n16k16{space}.f32 [{place}], {C}, {stride};"


def ran(body: str, x=None, block=32, grid=1, **options) -> Run:
    x = np.arange(256, dtype=np.float32) if x is None else x
    out = np.zeros(256 * grid, np.float32)
    return launch(BEGIN + body + "ret;", grid, block, module=SHARED, x=x, out=out, **options)


def kinds(done: Run) -> list[str]:
    return [finding.kind for finding in done.findings]


def test_a_tile_of_a_larger_matrix_and_what_it_costs():
    x = np.arange(64 * 40, dtype=np.float32).reshape(64, 40)
    done = ran("add.u64 %rd1, %rd1, 2624;" + load("%rd1", 40) + store("%rd0"), x)
    np.testing.assert_array_equal(done.arrays["out"].reshape(16, 16), x[16:32, 16:32])
    assert not done.findings
    from_x, to_out = done.accesses
    assert (from_x.kind, from_x.space, dict(from_x.arrays)) == ("fragment load", "global", {"x": 1})
    assert (from_x.requests, from_x.bytes) == (1, 1024)
    # Rows of 64 bytes, 160 apart, which begin at sectors' begins: two for each row.
    assert (from_x.sectors, from_x.ideal_sectors) == (32, 32)
    assert (to_out.kind, to_out.sectors) == ("fragment store", 32)
    # Beginning 16 bytes later, each row touches three.
    off = ran("add.u64 %rd1, %rd1, 16;" + load("%rd1", 40) + store("%rd0"), x)
    assert off.accesses[0].sectors == 48
    assert kinds(off) == ["misaligned"]


def test_without_a_stride_lines_are_side_by_side():
    done = ran(load("%rd1").replace(", 16;", ";") + store("%rd0").replace(", 16;", ";"))
    np.testing.assert_array_equal(done.arrays["out"], np.arange(256))


def test_columns_become_rows_on_the_way():
    done = ran(load("%rd1").replace(".row", ".col") + store("%rd0"))
    np.testing.assert_array_equal(done.arrays["out"].reshape(16, 16), np.arange(256).reshape(16, 16).T)


@pytest.mark.parametrize("space", [".shared", ".shared::cta", ""])
def test_through_shared_memory_by_any_address(space):
    there = "%r5" if space else "%rd5"
    body = "cvt.u64.u32 %rd5, %r5; cvta.shared.u64 %rd5, %rd5;"
    done = ran(
        body + load("%rd1", space=space and ".global") + store(there, 24, space) + "bar.sync 0;"
        # Each element is scaled on the way back.
        + load(there, 24, space) + "".join(f"mul.f32 %f1{i}, %f1{i}, 0f40000000;" for i in range(8))
        + store("%rd0")
    )  # fmt: skip
    assert not done.findings, [str(found) for found in done.findings]
    np.testing.assert_array_equal(done.arrays["out"], 2 * np.arange(256))
    shared = [access for access in done.accesses if access.space == "shared"]
    assert [(a.kind, a.requests, a.wavefronts) for a in shared] == [
        ("fragment store", 1, 0),
        ("fragment load", 1, 0),
    ]


def test_warps_may_point_to_different_memories():
    """The first warp of each block loads from shared memory, the second from x."""
    body = """
        mov.f32 %f1, 0f3F800000; mad.lo.u32 %r6, %r1, 16, %r5;
        st.shared.v4.f32 [%r6], {%f1, %f1, %f1, %f1}; bar.sync 0;
        setp.eq.u32 %p1, %r2, 0; cvt.u64.u32 %rd5, %r5; cvta.shared.u64 %rd5, %rd5;
        selp.b64 %rd6, %rd5, %rd1, %p1; mad.lo.u32 %r7, %r3, 2, %r2; mad.wide.u32 %rd0, %r7, 1024, %rd0;
    """
    x = np.arange(256, dtype=np.float32)
    text = BEGIN + body + load("%rd6", space="") + store("%rd0") + "ret;"
    done = launch(text, 3, 64, module=SHARED, x=x, out=np.zeros((6, 256), np.float32))
    assert not done.findings, [str(found) for found in done.findings]
    np.testing.assert_array_equal(done.arrays["out"], np.stack([np.ones(256), x] * 3))


def test_a_matrix_that_ends_behind_its_array():
    done = ran(load("%rd1", 20) + store("%rd0"))
    (found,) = done.findings
    assert (found.kind, found.lane, found.thread) == ("out of bounds", 0, (0, 0, 0))
    assert "behind" in found.near or "x" in found.near
    rows = done.arrays["out"].reshape(16, 16)
    np.testing.assert_array_equal(rows[:12], np.arange(240).reshape(12, 20)[:, :16])
    np.testing.assert_array_equal(rows[13:], 0)


def test_a_null_pointer():
    done = ran("mov.u64 %rd1, 0;" + load("%rd1", space="") + store("%rd0"))
    assert kinds(done) == ["out of bounds"]


def test_memory_that_was_never_written():
    done = ran(load("%r5", space=".shared") + store("%rd0"))
    assert kinds(done) == ["read before written"]
    assert kinds(ran(load("%rd1") + store("%rd0"), unwritten=["x"])) == ["read before written"]


def test_lines_that_are_not_aligned():
    """A stride of 18 elements puts rows 8 bytes behind a multiple of 16."""
    done = ran(load("%rd1", 18) + store("%rd0"), np.zeros(300, np.float32))
    assert set(kinds(done)) == {"misaligned"}


@pytest.mark.parametrize("barrier", ["bar.sync 0;", ""])
def test_races_with_what_other_warps_store(barrier):
    body = (
        load("%rd1") + "setp.eq.u32 %p1, %r2, 0; @!%p1 bra $L1;" + store("%r5", space=".shared") + "$L1:"
        + barrier + load("%r5", space=".shared")
        + "mad.wide.u32 %rd0, %r2, 1024, %rd0;" + store("%rd0")
    )  # fmt: skip
    done = launch(BEGIN + body + "ret;", 1, 64, module=SHARED, x=np.ones(256, "f4"), out=np.zeros(512, "f4"))
    if barrier:
        np.testing.assert_array_equal(done.arrays["out"], 1)
    assert kinds(done) == ([] if barrier else ["race"])
    assert all(found.lane == 0 for found in done.findings)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("mad.wide.u32 %rd1, %r1, 32, %rd1;" + load("%rd1"), "name different matrices"),
        ("add.u32 %r7, %r1, 16;" + load("%rd1", "%r7"), "name different matrices"),
        ("setp.lt.u32 %p1, %r1, 9; @%p1 " + load("%rd1"), "not all 32 lanes"),
        (load("%rd1").replace(", %f17", ""), "7 registers of 8"),
        (load("%rd1").replace("16;", "16, 16;"), "4 operands"),
        ("mov.u64 %rd7, s; cvta.local.u64 %rd7, %rd7;" + load("%rd7", space=""), "local memory"),
    ],
)
def test_what_no_warp_may_do_stops_the_run(body, told):
    with pytest.raises(NotCoveredError, match=told):
        ran(body)


# As CUDA C++ has them.

PRODUCT = """
#include <mma.h>
#include <cuda_fp16.h>
#include <cuda_bf16.h>
using namespace nvcuda;
extern "C" __global__ void product(const {memory}* a, const {memory}* b, const {sums}* c, {sums}* out) {{
    wmma::fragment<wmma::matrix_a, {m}, {n}, {k}, {kind}, wmma::{by_a}_major> x;
    wmma::fragment<wmma::matrix_b, {m}, {n}, {k}, {kind}, wmma::{by_b}_major> y;
    wmma::fragment<wmma::accumulator, {m}, {n}, {k}, {sums}> sum, addend;
    int row = blockIdx.y * {m}, column = blockIdx.x * {n};
    wmma::fill_fragment(sum, ({sums})0);
    for (int k = 0; k < 64; k += {k}) {{
        wmma::load_matrix_sync(x, a + ({a_by_row} ? row * 64 + k : k * 64 + row), 64);
        wmma::load_matrix_sync(y, b + ({b_by_row} ? k * 64 + column : column * 64 + k), 64);
        {prepare}
        wmma::mma_sync(sum, x, y, sum);
    }}
    wmma::load_matrix_sync(addend, c + column * 64 + row, 64, wmma::mem_col_major);
    for (int i = 0; i < sum.num_elements; ++i) sum.x[i] = ({sums})2 * sum.x[i] + addend.x[i];
    wmma::store_matrix_sync(out + row * 64 + column, sum, 64, wmma::mem_row_major);
}}
"""
CPP = {
    "f16": ("half", "half", np.float16),
    "bf16": ("__nv_bfloat16", "__nv_bfloat16", ml_dtypes.bfloat16),
    "s8": ("signed char", "signed char", np.int8),
    "u8": ("unsigned char", "unsigned char", np.uint8),
    "tf32": ("wmma::precision::tf32", "float", np.float32),
    "f64": ("double", "double", np.float64),
    "f32": ("", "float", np.float32),
    "s32": ("", "int", np.int32),
}
TO_TF32 = """
        for (int i = 0; i < x.num_elements; ++i) x.x[i] = wmma::__float_to_tf32(x.x[i]);
        for (int i = 0; i < y.num_elements; ++i) y.x[i] = wmma::__float_to_tf32(y.x[i]);
"""


def computed(compiled) -> Run:
    done = run(parse(compiled.ptx).kernel(), compiled.grid, compiled.block, compiled.arguments)
    assert not done.findings, [str(found) for found in done.findings]
    return done


@pytest.mark.parametrize(
    ("shape", "kind", "sums", "by_a", "by_b"),
    [
        ((16, 16, 16), "f16", "f32", "row", "row"),
        ((32, 8, 16), "f16", "f16", "col", "row"),
        ((8, 32, 16), "f16", "f32", "row", "col"),
        ((16, 16, 16), "bf16", "f32", "col", "col"),
        ((8, 32, 16), "bf16", "f32", "row", "row"),
        ((16, 16, 16), "s8", "s32", "col", "row"),
        ((32, 8, 16), "u8", "s32", "row", "row"),
        ((16, 16, 8), "tf32", "f32", "row", "col"),
        ((8, 8, 4), "f64", "f64", "col", "row"),
    ],
)
def test_a_product_of_64_in_cuda_cpp(shape, kind, sums, by_a, by_b):
    m, n, k = shape
    name, memory, dtype = CPP[kind]
    rng = np.random.default_rng(8)
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        a, b = (rng.integers(limits.min, limits.max + 1, (64, 64), dtype) for _ in range(2))
        c = rng.integers(-(2**20), 2**20, (64, 64), np.int32)
    else:
        a, b = (rng.standard_normal((64, 64)).astype(dtype) for _ in range(2))
        c = rng.standard_normal((64, 64)).astype(CPP[sums][2])
    text = PRODUCT.format(
        **{"m": m, "n": n, "k": k, "kind": name, "memory": memory, "sums": CPP[sums][1]},
        **{"by_a": by_a, "by_b": by_b, "a_by_row": int(by_a == "row"), "b_by_row": int(by_b == "row")},
        prepare=TO_TF32 if kind == "tf32" else "",
    )
    given = (a if by_a == "row" else a.T.copy(), b if by_b == "row" else b.T.copy(), c.T.copy())
    done = computed(compiled(text, "product", (64 // n, 64 // m), 32, (*given, np.zeros((64, 64), c.dtype))))
    want = 2 * (a.astype("f8") @ b.astype("f8")) + c.astype("f8")
    close = {"f16": 2e-2, "f32": 2e-2 if kind == "tf32" else 1e-5, "f64": 1e-12, "s32": 0}[sums]
    np.testing.assert_allclose(done.arrays["out"], want, rtol=close, atol=close)
    assert sum(matrix.flops for matrix in done.matrices) == 2 * 64**3


def test_four_warps_that_stage_tiles_and_round_what_they_sum():
    kernel = staged()
    a, b = (argument.value for argument in kernel.arguments[:2])
    done = computed(kernel)
    want = (a.astype("f8") @ b.astype("f8")).astype("f4")
    np.testing.assert_allclose(done.arrays["out"].astype("f8"), want, rtol=2**-10, atol=2**-13)
    fragments = [access for access in done.accesses if access.kind.startswith("fragment")]
    loads = sum(access.requests for access in fragments if access.space == "shared")
    assert loads == 4 * 4 * (1 + 4)  # warps, steps of k, one of A and four of B
    assert sum(access.sectors for access in fragments if access.space == "global") == 64 * 64 * 2 // 32
