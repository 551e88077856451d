"""Matrix instructions in kernels that run: from global to shared memory, to fragments, to a product."""

import ml_dtypes
import numpy as np
import pytest

from tests.gpu.ptx.programs import launch
from tinytorch.gpu.ptx.program import NotCoveredError

#: Each thread brings 16 bytes of `given` to shared memory; %r8 is the row that the lane points to.
BEGIN = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.s32 %r0, %r2, %r3, %r1;
    ld.param.u64 %rd1, [given]; mad.wide.u32 %rd1, %r0, 16, %rd1;
    ld.param.u64 %rd0, [out]; mad.wide.u32 %rd0, %r0, 16, %rd0;
    mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 16, %r5;
    ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd1];
    st.shared.v4.b32 [%r6], {%r10, %r11, %r12, %r13};
    bar.sync 0;
    and.b32 %r7, %r1, 31; shr.u32 %r9, %r1, 5; mad.lo.u32 %r8, %r9, 512, %r5; mad.lo.u32 %r8, %r7, 16, %r8;
"""
SAVE = "st.global.v4.b32 [%rd0], {%r20, %r21, %r22, %r23}; ret;"
SHARED = ".shared .align 128 .b8 s[8192];"


def moved(body, block=64, grid=2, clean=True):
    """Run a body over matrices of 8 x 8, four a warp; return them and what lanes saved, (warps, 32, 4, 2)."""
    given = np.arange(block * grid * 8, dtype=np.uint16)
    done = launch(
        BEGIN + body + SAVE, module=SHARED, given=given, out=np.zeros_like(given), block=block, grid=grid
    )
    assert not clean or not done.findings, [str(found) for found in done.findings]
    return given.reshape(-1, 4, 8, 8), done.arrays["out"].reshape(-1, 32, 4, 2), done


def pairs(matrices):
    """Return what each lane holds of matrices: of matrix i the elements 2t and 2t + 1 of row g."""
    return matrices.reshape(len(matrices), 4, 32, 2).swapaxes(1, 2)


@pytest.mark.parametrize("space", [".shared", ".shared::cta", ""])
@pytest.mark.parametrize("trans", ["", ".trans"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_ldmatrix(count, trans, space):
    registers = ", ".join(f"%r2{i}" for i in range(count))
    generic = "" if space else "cvt.u64.u32 %rd8, %r8; cvta.shared.u64 %rd8, %rd8;"
    address = "%r8" if space else "%rd8"
    given, found, done = moved(
        f"{generic} ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {{{registers}}}, [{address}];"
    )
    expected = pairs(given.swapaxes(2, 3).copy() if trans else given)
    expected[:, :, count:] = 0
    np.testing.assert_array_equal(found, expected)
    (access,) = (a for a in done.accesses if a.instruction.opcode == "ldmatrix")
    assert (access.requests, access.wavefronts) == (4, 4 * count)


def test_rows_of_matrices_that_collide_in_the_banks():
    """Rows 128 bytes apart are all in the same four banks; 144 bytes apart they are in all."""
    for apart, wavefronts in ((128, 8), (144, 1)):
        body = f"and.b32 %r8, %r1, 7; mad.lo.u32 %r8, %r8, {apart}, %r5; mov.u32 %r24, 0;"
        fill = (
            "mad.lo.u32 %r25, %r1, 128, %r5; st.shared.v4.b32 [%r25], {%r10, %r11, %r12, %r13}; bar.sync 0;"
        )
        _, _, done = moved(
            fill + body + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r20}, [%r8];", 32, 1, clean=False
        )
        (access,) = (a for a in done.accesses if a.instruction.opcode == "ldmatrix")
        assert access.wavefronts == wavefronts
        assert access.ideal_wavefronts == 1


@pytest.mark.parametrize("trans", ["", ".trans"])
def test_stmatrix_puts_back_what_ldmatrix_took(trans):
    body = f"""
        ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%r30, %r31, %r32, %r33}}, [%r8];
        mov.u32 %r25, 0; st.shared.v4.b32 [%r6], {{%r25, %r25, %r25, %r25}};
        stmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 [%r8], {{%r30, %r31, %r32, %r33}};
        ld.shared.v4.b32 {{%r20, %r21, %r22, %r23}}, [%r6];
    """
    given, found, _ = moved(body)
    np.testing.assert_array_equal(found.ravel(), given.ravel())


def test_movmatrix_is_ldmatrix_the_other_way_round():
    body = """
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r30, %r31, %r32, %r33}, [%r8];
        movmatrix.sync.aligned.m8n8.trans.b16 %r20, %r30;
        movmatrix.sync.aligned.m8n8.trans.b16 %r21, %r31;
        movmatrix.sync.aligned.m8n8.trans.b16 %r22, %r32;
        movmatrix.sync.aligned.m8n8.trans.b16 %r23, %r33;
    """
    given, found, _ = moved(body)
    np.testing.assert_array_equal(found, pairs(given.swapaxes(2, 3).copy()))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("add.u32 %r8, %r8, 8;", "misaligned"),
        ("add.u32 %r8, %r8, 8192;", "out of bounds"),
        ("add.u32 %r8, %r8, 4096;", "read before written"),
    ],
)
def test_addresses_of_rows_are_checked(change, kind):
    _, _, done = moved(
        change + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20, %r21, %r22, %r23}, [%r8];", clean=False
    )
    assert [found.kind for found in done.findings] == [kind]


def test_lanes_that_give_no_address_are_not_looked_at():
    body = """
        setp.ge.u32 %p1, %r7, 16; @%p1 mov.u32 %r8, 999999;
        ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r20, %r21}, [%r8];
    """
    given, found, _ = moved(body)
    np.testing.assert_array_equal(found[:, :, :2], pairs(given)[:, :, :2])


@pytest.mark.parametrize(
    "line",
    [
        "@%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r20}, [%r8];",
        "@%p1 mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%r1, %r2}, {%r3, %r4}, {%r5}, {%r1, %r2};",
    ],
)
def test_part_of_a_warp_cannot(line):
    with pytest.raises(NotCoveredError, match="not all 32 lanes"):
        moved("setp.lt.u32 %p1, %r1, 3;" + line)
    moved("setp.ge.u32 %p1, %r1, 32;" + line)  # a warp that leaves it out as a whole is none of its business


def test_a_product_by_ldmatrix_and_mma():
    """Each warp: a tile of 16 x 16 of A, 16 x 8 of B, which is loaded transposed; three times added."""
    body = """
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; and.b32 %r7, %r1, 31; shr.u32 %r9, %r1, 5;
        mad.lo.u32 %r0, %r2, 2, %r9;
        ld.param.u64 %rd1, [a]; mad.wide.u32 %rd1, %r0, 512, %rd1; mad.wide.u32 %rd1, %r7, 16, %rd1;
        ld.param.u64 %rd2, [b]; mad.wide.u32 %rd2, %r0, 256, %rd2; mad.wide.u32 %rd2, %r7, 8, %rd2;
        ld.param.u64 %rd0, [out]; mad.wide.u32 %rd0, %r0, 512, %rd0;
        mov.u32 %r5, s; mad.lo.u32 %r5, %r9, 768, %r5;
        ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd1];
        mad.lo.u32 %r6, %r7, 16, %r5; st.shared.v4.b32 [%r6], {%r10, %r11, %r12, %r13};
        ld.global.v2.b32 {%r10, %r11}, [%rd2];
        mad.lo.u32 %r6, %r7, 8, %r5; st.shared.v2.b32 [%r6+512], {%r10, %r11};
        bar.warp.sync -1;
        and.b32 %r6, %r7, 15; mad.lo.u32 %r6, %r6, 32, %r5; shr.u32 %r8, %r7, 4; mad.lo.u32 %r6, %r8, 16, %r6;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20, %r21, %r22, %r23}, [%r6];
        and.b32 %r6, %r7, 15; mad.lo.u32 %r6, %r6, 16, %r5; add.u32 %r6, %r6, 512;
        ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r24, %r25}, [%r6];
        mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
        mov.u32 %r30, 0;
        again:
        mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
            {%f1, %f2, %f3, %f4}, {%r20, %r21, %r22, %r23}, {%r24, %r25}, {%f1, %f2, %f3, %f4};
        add.u32 %r30, %r30, 1; setp.lt.u32 %p1, %r30, 3; @%p1 bra again;
        shr.u32 %r6, %r7, 2; and.b32 %r8, %r7, 3; mad.lo.u32 %r6, %r6, 8, 0; mad.lo.u32 %r6, %r8, 2, %r6;
        mad.wide.u32 %rd0, %r6, 4, %rd0;
        st.global.v2.f32 [%rd0], {%f1, %f2}; st.global.v2.f32 [%rd0+256], {%f3, %f4};
        ret;
    """
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(shape).astype(np.float16) for shape in ((6, 16, 16), (6, 16, 8)))
    done = launch(body, module=SHARED, a=a, b=b, out=np.zeros((6, 16, 8), np.float32), block=64, grid=3)
    assert not done.findings, [str(found) for found in done.findings]
    expected = 3 * (a.astype("f8") @ b.astype("f8"))
    np.testing.assert_allclose(done.arrays["out"], expected, rtol=1e-5, atol=1e-5)
    (matrix,) = done.matrices
    assert matrix.flops == 6 * 3 * 2 * 16 * 8 * 16


@pytest.mark.parametrize("barrier", ["bar.sync 0;", ""])
def test_a_product_of_a_warpgroup_from_shared_memory(barrier):
    """wgmma of 64 x 16 by 16 x 8 without a swizzle: cores of 8 rows of 16 bytes, 128 bytes each."""
    begin = """
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x;
        ld.param.u64 %rd1, [a]; mad.wide.u32 %rd1, %r2, 2048, %rd1; mad.wide.u32 %rd1, %r1, 16, %rd1;
        ld.param.u64 %rd2, [b]; mad.wide.u32 %rd2, %r2, 256, %rd2; mad.wide.u32 %rd2, %r1, 16, %rd2;
        ld.param.u64 %rd0, [out]; mad.wide.u32 %rd0, %r2, 2048, %rd0;
        mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 16, %r5;
        ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd1]; st.shared.v4.b32 [%r6], {%r10, %r11, %r12, %r13};
        setp.lt.u32 %p1, %r1, 16;
        @%p1 ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd2];
        @%p1 st.shared.v4.b32 [%r6+2048], {%r10, %r11, %r12, %r13};
        fence.proxy.async;
    """
    product = """
        shr.u32 %r7, %r5, 4; cvt.u64.u32 %rd3, %r7;
        or.b64 %rd4, %rd3, 0x0000001000080000;
        add.u64 %rd5, %rd4, 128;
        mov.f32 %f1, 0f3F800000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
        setp.eq.u32 %p2, %r1, %r1;
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4}, %rd4, %rd5, %p2, 1, 1, 0, 0;
        wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 0;
        and.b32 %r7, %r1, 31; shr.u32 %r8, %r1, 5; shr.u32 %r9, %r7, 2; mad.lo.u32 %r9, %r8, 16, %r9;
        and.b32 %r7, %r7, 3; mul.lo.u32 %r9, %r9, 8; mad.lo.u32 %r9, %r7, 2, %r9;
        mad.wide.u32 %rd0, %r9, 4, %rd0;
        st.global.v2.f32 [%rd0], {%f1, %f2}; st.global.v2.f32 [%rd0+256], {%f3, %f4};
        ret;
    """
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((2, 64, 16), (2, 16, 8)))

    # Eight rows, then the next eight of k (leading, 128 bytes), then the next eight rows (stride, 256 bytes).
    def cores(rows):
        return np.ascontiguousarray(rows.reshape(2, -1, 8, 2, 8).swapaxes(2, 3)).view(np.uint16)

    arrays = {"a": cores(a), "b": cores(b.swapaxes(1, 2)), "out": np.zeros((2, 64, 8), np.float32)}
    done = launch(begin + barrier + product, module=SHARED, block=128, grid=2, **arrays)
    # Each warp wrote its own rows of A, but B is written by the first one and read for all four.
    assert [(found.kind, found.thread[0]) for found in done.findings] == ([] if barrier else [("race", 32)])
    expected = 1 + a.astype("f8") @ b.astype("f8")
    np.testing.assert_allclose(done.arrays["out"], expected, rtol=1e-5, atol=1e-5)
    assert done.matrices[0].flops == 2 * 2 * 64 * 8 * 16
