"""Lanes that talk to each other in kernels that run: with guards, in branches, in warps not full."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, launch

STORE = "st.global.u32 [%rd0], %r10; ret;"


def out(body, block=32, grid=1, clean=True, **more):
    done = launch(MINE + body + STORE, out=ints(block * grid), block=block, grid=grid, **more)
    assert done.complete
    assert not clean or not done.findings, [str(found) for found in done.findings]
    return done.arrays["out"]


def warps(n):
    """Return the numbers of threads, a row a warp."""
    return np.arange(n).reshape(-1, 32)


def test_a_sum_over_a_warp():
    body = "mul.lo.u32 %r10, %r0, %r0;"
    for step in (16, 8, 4, 2, 1):
        body += f"shfl.sync.bfly.b32 %r11, %r10, {step}, 31, -1; add.u32 %r10, %r10, %r11;"
    np.testing.assert_array_equal(out(body, 96, 3), (warps(288) ** 2).sum(1).repeat(32))


@pytest.mark.parametrize("segment", [32, 16, 8])
def test_sums_up_to_each_lane_of_a_segment(segment):
    clamp = (32 - segment) << 8
    body = "add.u32 %r10, %r0, 1;"
    step = 1
    while step < segment:
        body += f"shfl.sync.up.b32 %r11|%p1, %r10, {step}, {clamp}, -1; @%p1 add.u32 %r10, %r10, %r11;"
        step *= 2
    expected = np.arange(1, 129).reshape(-1, segment).cumsum(1).ravel()
    np.testing.assert_array_equal(out(body, 64, 2), expected)


def test_both_sides_of_a_branch_talk_among_themselves():
    body = """
        and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 1;
        @%p1 bra odd;
        vote.sync.ballot.b32 %r10, %p1, 0x55555555;
        activemask.b32 %r11;
        redux.sync.add.u32 %r12, %r1, 0x55555555;
        bra meet;
        odd:
        vote.sync.ballot.b32 %r10, %p1, 0xAAAAAAAA;
        activemask.b32 %r11;
        redux.sync.add.u32 %r12, %r1, 0xAAAAAAAA;
        meet:
        setp.eq.u32 %p2, %r10, %r11;
        selp.u32 %r13, 1000, 2000, %p2;
        add.u32 %r10, %r12, %r13;
    """
    lanes = np.arange(32)
    even, odd = lanes[::2].sum() + 2000, lanes[1::2].sum() + 1000
    np.testing.assert_array_equal(out(body), np.where(lanes % 2, odd, even))


def test_those_that_are_left_of_a_warp_in_a_loop():
    """Each lane leaves after as many trips as its number; those that are left count themselves."""
    body = """
        mov.u32 %r10, 0; mov.u32 %r4, 0;
        next:
        activemask.b32 %r5; popc.b32 %r6, %r5; add.u32 %r10, %r10, %r6;
        setp.ge.u32 %p1, %r4, %r1;
        add.u32 %r4, %r4, 1;
        @!%p1 bra next;
    """
    np.testing.assert_array_equal(out(body), np.cumsum(32 - np.arange(32)))


def test_a_guard_takes_lanes_out():
    body = """
        setp.lt.u32 %p1, %r1, 10; mov.u32 %r10, 77;
        @%p1 shfl.sync.idx.b32 %r10, %r1, 3, 31, 0x3FF;
        @!%p1 shfl.sync.down.b32 %r10, %r1, 1, 31, 0xFFFFFC00;
    """
    lanes = np.arange(32)
    np.testing.assert_array_equal(out(body), np.where(lanes < 10, 3, np.minimum(lanes + 1, 31)))


def test_a_warp_that_is_not_full():
    body = """
        setp.ne.u32 %p1, %r1, 1000;
        vote.sync.ballot.b32 %r10, %p1, -1;
        vote.sync.all.pred %p2, %p1, -1;
        @!%p2 mov.u32 %r10, 0;
    """
    expected = np.concatenate([np.full(32, -1), np.full(8, 255)])
    np.testing.assert_array_equal(out(body, 40), expected)


def test_lanes_that_have_exited_are_not_waited_for():
    body = """
        and.b32 %r4, %r1, 3; setp.eq.u32 %p1, %r4, 0; mov.u32 %r10, 5;
        @%p1 exit;
        setp.eq.u32 %p2, %r1, %r1;
        vote.sync.ballot.b32 %r10, %p2, -1;
    """
    found = out(body)
    assert (found[np.arange(32) % 4 != 0].view(np.uint32) == 0xEEEEEEEE).all()
    assert not found[::4].any()


def test_groups_of_the_same_key():
    """match.any gives the lanes of one key; the first of them counts for all, as in a histogram."""
    body = """
        rem.u32 %r4, %r0, 5; mul.lo.u32 %r4, %r4, %r4;
        match.any.sync.b32 %r5, %r4, -1;
        brev.b32 %r6, %r5; clz.b32 %r6, %r6;
        popc.b32 %r7, %r5;
        mov.u32 %r8, %laneid; setp.eq.u32 %p1, %r6, %r8;
        ld.param.u64 %rd5, [bins]; mad.wide.u32 %rd5, %r4, 4, %rd5;
        @%p1 red.global.add.u32 [%rd5], %r7;
        redux.sync.min.s32 %r10, %r0, %r5;
    """
    done = launch(MINE + body + STORE, out=ints(192), bins=ints(17), block=96, grid=2)
    assert not done.findings
    keys = (np.arange(192) % 5) ** 2
    np.testing.assert_array_equal(done.arrays["bins"], np.bincount(keys, minlength=17))
    first = [min(j for j in range(i // 32 * 32, i + 1) if keys[j] == keys[i]) for i in range(192)]
    np.testing.assert_array_equal(done.arrays["out"], first)


def test_one_lane_is_elected():
    body = """
        setp.ge.u32 %p1, %r1, 7; mov.u32 %r10, 0;
        @!%p1 bra over;
        elect.sync %r10|%p2, 0xFFFFFF80;
        @%p2 add.u32 %r10, %r10, 100;
        over:
    """
    found = out(body)
    assert (found[:7] == 0).all()
    assert np.count_nonzero(found >= 100) == 1
    assert (found[7:] % 100 == found[7:].min()).all()


def test_a_sum_over_a_block():
    """Warps by shuffles, then the first warp over what they left in shared memory."""
    tree = "".join(
        f"shfl.sync.down.b32 %r11, %r10, {step}, 31, -1; add.u32 %r10, %r10, %r11;"
        for step in (16, 8, 4, 2, 1)
    )
    body = f"""
        mov.u32 %r10, %r0; {tree}
        and.b32 %r4, %r1, 31; shr.u32 %r5, %r1, 5; setp.eq.u32 %p1, %r4, 0;
        mov.u32 %r6, s; mad.lo.u32 %r7, %r5, 4, %r6;
        @%p1 st.shared.u32 [%r7], %r10;
        bar.sync 0;
        setp.ge.u32 %p2, %r1, 32; @%p2 bra over;
        mov.u32 %r9, %ntid.x; shr.u32 %r9, %r9, 5;
        setp.lt.u32 %p3, %r1, %r9; mov.u32 %r10, 0;
        mad.lo.u32 %r7, %r1, 4, %r6;
        @%p3 ld.shared.u32 %r10, [%r7];
        {tree}
        @%p1 st.shared.u32 [%r6+128], %r10;
        over:
        bar.sync 0;
        ld.shared.u32 %r10, [%r6+128];
    """
    found = out(body, 256, 3, module=".shared .align 4 .b8 s[132];")
    np.testing.assert_array_equal(found, np.arange(768).reshape(3, 256).sum(1).repeat(256))


def test_a_barrier_of_a_warp_is_for_those_it_names():
    body = "mov.u32 %r10, 1; setp.lt.u32 %p1, %r1, 16; @%p1 bar.warp.sync 65535; @%p1 add.u32 %r10, %r10, 1;"
    np.testing.assert_array_equal(out(body), np.where(np.arange(32) < 16, 2, 1))


@pytest.mark.parametrize("operation", ["popc.u32", "and.pred", "or.pred"])
def test_a_vote_that_warps_come_to_at_two_instructions(operation):
    result = "%r10" if operation == "popc.u32" else "%p2"
    body = f"""
        mov.u32 %r10, 0; setp.ge.u32 %p1, %r1, 90; setp.lt.u32 %p3, %r1, 32;
        @%p3 bra first;
        bar.red.{operation} {result}, 0, %p1;
        bra meet;
        first:
        add.u32 %r11, %r1, 1;
        bar.red.{operation} {result}, 0, !%p1;
        meet:
    """
    body += "" if operation == "popc.u32" else "@%p2 add.u32 %r10, %r10, 1;"
    votes = np.where(np.arange(96) < 32, True, np.arange(96) >= 90)
    expected = {"popc.u32": votes.sum(), "and.pred": votes.all(), "or.pred": votes.any()}[operation]
    assert (out(body, 96, 2) == expected).all()


def test_a_vote_that_only_some_warps_take_part_in():
    body = """
        mov.u32 %r10, 0; setp.lt.u32 %p1, %r1, 40; shr.u32 %r4, %r1, 6; add.u32 %r5, %r4, 1;
        bar.red.popc.u32 %r10, %r5, 64, %p1;
    """
    np.testing.assert_array_equal(out(body, 128, 2), np.tile(np.repeat([40, 0], 64), 2))
