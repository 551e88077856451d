"""Bulk tensor copies and mbarriers through the emulator: Triton's tensor maps, and warps by hand."""

import numpy as np
import pytest

from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run

triton = pytest.importorskip("triton")
torch = pytest.importorskip("torch")
import triton.language as tl  # noqa: E402
from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: E402

from tinytorch.gpu.frontends.triton import from_triton  # noqa: E402


@triton.jit
def product(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m, n = tl.program_id(0) * BM, tl.program_id(1) * BN
    total = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        total = tl.dot(a.load([m, k]), b.load([k, n]), total)
    c.store([m, n], total.to(tl.float16))


@triton.jit
def doubled(x, out, M, N, BM: tl.constexpr, BN: tl.constexpr):
    """Descriptors made by the kernel itself."""
    of = tl.make_tensor_descriptor(x, [M, N], [N, 1], [BM, BN])
    to = tl.make_tensor_descriptor(out, [M, N], [N, 1], [BM, BN])
    row = tl.program_id(0) * BM
    to.store([row, 0], of.load([row, 0]) * 2)


def emulate(compiled):
    kernel = parse(compiled.ptx).kernel(compiled.entry)
    done = run(kernel, compiled.grid, compiled.block, compiled.arguments, shared=compiled.shared)
    assert done.complete and not done.findings, [str(found) for found in done.findings]
    return done


@pytest.mark.parametrize("tile", [(64, 64, 32), (64, 32, 64), (128, 128, 16)])
@pytest.mark.parametrize("shape", [(128, 128, 96), (120, 136, 72)])
def test_a_product_by_tensor_maps(shape, tile):
    (M, N, K), (BM, BN, BK) = shape, tile
    rng = np.random.default_rng(2)
    A, B = (rng.standard_normal(s).astype(np.float16) for s in ((M, K), (K, N)))
    arrays = {"a": (A, (BM, BK)), "b": (B, (BK, BN)), "c": (np.zeros((M, N), np.float16), (BM, BN))}
    described = [
        TensorDescriptor.from_tensor(torch.from_numpy(array), list(box)) for array, box in arrays.values()
    ]
    grid = (-(-M // BM), -(-N // BN))
    compiled = from_triton(
        product, grid, (*described, K), meta={"BM": BM, "BN": BN, "BK": BK, "num_stages": 2}
    )
    assert "cp.async.bulk.tensor" in compiled.ptx and "wgmma" in compiled.ptx
    done = emulate(compiled)
    want = A.astype(np.float64) @ B.astype(np.float64)
    np.testing.assert_allclose(done.arrays["c"], want, rtol=1e-3, atol=2e-2)
    (stored,) = [access for access in done.accesses if access.kind == "bulk store"]
    assert stored.bytes == M * N * 2
    assert set(stored.arrays) == {"c"}
    rounded = grid[0] * BM * grid[1] * BN * -(-K // BK) * BK
    assert sum(matrix.flops for matrix in done.matrices) == 2 * rounded


def test_a_product_by_descriptors_where_there_are_no_tensor_maps():
    rng = np.random.default_rng(2)
    A, B, C = (torch.from_numpy(rng.standard_normal((72, 72)).astype(np.float16)) for _ in range(3))
    described = [TensorDescriptor.from_tensor(each, [32, 32]) for each in (A, B, C)]
    compiled = from_triton(
        product, (3, 3), (*described, 72), arch="sm_80", meta={"BM": 32, "BN": 32, "BK": 32}
    )
    assert "cp.async.bulk" not in compiled.ptx
    want = (A.double() @ B.double()).numpy()
    np.testing.assert_allclose(emulate(compiled).arrays["c"], want, rtol=1e-3, atol=2e-2)


def test_a_kernel_that_makes_its_own_tensor_maps():
    x = np.random.default_rng(3).standard_normal((77, 208)).astype(np.float16)
    compiled = from_triton(doubled, (3,), (x, np.zeros_like(x), 77, 208), meta={"BM": 32, "BN": 256})
    assert "tensormap.replace" in compiled.ptx
    np.testing.assert_array_equal(emulate(compiled).arrays["out"], x * 2)


HEAD = """.version 8.0
.target sm_90
.address_size 64
.visible .entry pass(.param .u64 out)
{
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<5>;
    .shared .align 8 .b64 bar;
    .shared .align 4 .b32 box;
    mov.u32 %r1, %tid.x;
    setp.eq.u32 %p1, %r1, 0;
    mov.u32 %r2, bar;
"""
PASS = (
    HEAD
    + """
    @%p1 mbarrier.init.shared::cta.b64 [%r2], ARRIVALS;
    bar.sync 0;
    setp.ge.u32 %p2, %r1, 32;
    @%p2 bra READER;
    setp.ne.u32 %p3, %r1, 0;
    @%p3 bra END;
    mov.u32 %r3, 41;
    st.shared.u32 [box], %r3;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r2];
    bra END;
READER:
    WAIT
    ld.shared.u32 %r4, [box];
    add.u32 %r4, %r4, 1;
    ld.param.u64 %rd2, [out];
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd3, %rd2, %rd3;
    st.global.u32 [%rd3], %r4;
END:
    ret;
}"""
)
SPIN = "mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r2], 0; @!%p4 bra READER;"


def test_what_is_passed_through_an_mbarrier_is_no_race():
    text = PASS.replace("ARRIVALS", "1").replace("WAIT", SPIN)
    done = run(parse(text).kernel(), 3, 64, [Argument("out", np.zeros(64, np.int32))])
    assert done.complete and not done.findings
    assert done.arrays["out"].tolist() == [0] * 32 + [42] * 32


def test_without_the_wait_it_is_one():
    text = PASS.replace("ARRIVALS", "1").replace("WAIT", "")
    done = run(parse(text).kernel(), 1, 64, [Argument("out", np.zeros(64, np.int32))])
    assert any(found.kind == "race" for found in done.findings)


@pytest.mark.parametrize(
    "wrong",
    [
        "mbarrier.arrive.shared::cta.b64 %rd1, [%r2];",
        "@%p1 mbarrier.init.shared::cta.b64 [%r2], 3; bar.sync 0;"
        "mbarrier.arrive.noComplete.shared::cta.b64 %rd1, [%r2], 2;",
    ],
)
def test_an_object_that_nobody_made_or_that_too_many_came_to_stops_the_run(wrong):
    done = run(parse(HEAD + wrong + "ret; }").kernel(), 1, 32, [Argument("out", np.zeros(64, np.int32))])
    assert not done.complete
    assert any(found.kind == "no mbarrier" for found in done.findings)
