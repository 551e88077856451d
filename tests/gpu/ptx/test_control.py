"""Branches, loops, exits and barriers: which lanes run what, and where they meet again."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, launch
from tinytorch.gpu.ptx.control import StepLimitError
from tinytorch.gpu.ptx.program import NotCoveredError, PtxError

STORE = "st.global.u32 [%rd0], %r10; ret;"


def test_both_sides_of_a_branch_run_and_meet_again():
    done = launch(
        MINE
        + """
        and.b32 %r4, %r1, 1;
        setp.eq.u32 %p1, %r4, 0;
        mov.u32 %r10, 5;
        @%p1 bra even;
        add.u32 %r10, %r10, 1;
        bra meet;
        even:
        add.u32 %r10, %r10, 100;
        meet:
        add.u32 %r10, %r10, 1000;
        """
        + STORE,
        out=ints(64),
        grid=2,
    )
    assert done.arrays["out"].tolist() == [1105, 1006] * 32
    (branch,) = done.branches
    assert (branch.executed, branch.divergent) == (2, 2)
    last = done.kernel.instructions[-2]
    assert done.counters.active[-2] == 64, last  # all lanes are together again


@pytest.mark.parametrize("shift", [0, 5])
def test_a_loop_that_each_lane_leaves_when_it_likes(shift):
    """With a shift of 5 whole warps leave together, else lanes one by one."""
    done = launch(
        MINE
        + f"""
        shr.u32 %r5, %r0, {shift};
        mov.u32 %r10, 0;
        loop:
        add.u32 %r10, %r10, %r5;
        setp.eq.u32 %p1, %r5, 0;
        @%p1 bra out_of_it;
        sub.u32 %r5, %r5, 1;
        bra loop;
        out_of_it:
        """
        + STORE,
        out=ints(256),
        block=64,
        grid=4,
    )
    n = np.arange(256) >> shift
    assert (done.arrays["out"] == n * (n + 1) // 2).all()
    assert sum(b.divergent for b in done.branches) == (0 if shift else 8 * 31)


def test_loops_in_loops_with_branches():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 0;
        mov.u32 %r5, 0;
        outer:
        mov.u32 %r6, 0;
        rem.u32 %r7, %r0, 5;
        inner:
        setp.ge.u32 %p1, %r6, %r7;
        @%p1 bra next;
        and.b32 %r8, %r6, 1;
        setp.eq.u32 %p2, %r8, 1;
        @%p2 bra odd;
        add.u32 %r10, %r10, 1;
        bra on;
        odd:
        add.u32 %r10, %r10, 10;
        on:
        add.u32 %r6, %r6, 1;
        bra inner;
        next:
        add.u32 %r5, %r5, 1;
        rem.u32 %r9, %r0, 3;
        setp.le.u32 %p3, %r5, %r9;
        @%p3 bra outer;
        """
        + STORE,
        out=ints(96),
        block=96,
    )
    n = np.arange(96)
    once = (n % 5 + 1) // 2 + n % 5 // 2 * 10
    assert (done.arrays["out"] == once * (n % 3 + 1)).all()


def test_lanes_that_exit_early_are_gone():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 7;
        setp.lt.u32 %p1, %r1, 40;
        @%p1 exit;
        bar.sync 0;
        """
        + STORE,
        out=ints(128),
        block=128,
    )
    assert done.complete
    assert (done.arrays["out"] == np.where(np.arange(128) < 40, 0, 7)).all()


def test_a_jump_table():
    done = launch(
        MINE
        + """
        and.b32 %r4, %r1, 3;
        table: .branchtargets a, b, c, b;
        brx.idx %r4, table;
        a: mov.u32 %r10, 1; bra meet;
        b: mov.u32 %r10, 2; bra meet;
        c: mov.u32 %r10, 3;
        meet:
        add.u32 %r10, %r10, 10;
        """
        + STORE,
        out=ints(32),
    )
    assert done.arrays["out"].tolist() == [11, 12, 13, 12] * 8
    assert done.counters.active[-2] == 32


def test_a_warp_that_spins_for_another_lets_it_run():
    """Warp 0 comes first in the text and waits for a word that warp 3 writes."""
    done = launch(
        MINE
        + """
        ld.param.u64 %rd5, [flag];
        shr.u32 %r4, %r1, 5;
        setp.eq.u32 %p1, %r4, 3;
        @%p1 bra write;
        wait:
        ld.volatile.global.u32 %r10, [%rd5];
        setp.eq.u32 %p2, %r10, 0;
        @%p2 bra wait;
        bra done;
        write:
        mov.u32 %r10, 9;
        mov.u32 %r11, 0;
        busy:
        add.u32 %r11, %r11, 1;
        setp.lt.u32 %p3, %r11, 300;
        @%p3 bra busy;
        st.volatile.global.u32 [%rd5], %r10;
        done:
        """
        + STORE,
        out=ints(128),
        flag=ints(1),
        block=128,
    )
    assert (done.arrays["out"] == 9).all()


def test_a_barrier_is_waited_at_by_all_warps():
    done = launch(
        MINE
        + """
        shl.b32 %r4, %r1, 2;
        mov.u32 %r5, s;
        add.u32 %r6, %r5, %r4;
        st.shared.u32 [%r6], %r0;
        bar.sync 0;
        xor.b32 %r7, %r4, 508;
        add.u32 %r6, %r5, %r7;
        ld.shared.u32 %r10, [%r6];
        """
        + STORE,
        module=".shared .align 4 .b8 s[512];",
        out=ints(512),
        block=128,
        grid=4,
    )
    n = np.arange(512)
    assert (done.arrays["out"] == n // 128 * 128 + (127 - n % 128)).all()
    assert not done.findings


def test_warps_at_barriers_in_different_places():
    """Half of the warps meet at barrier 1 with a count, the others at barrier 2, then all at 0."""
    done = launch(
        MINE
        + """
        mov.u32 %r10, 1;
        setp.lt.u32 %p1, %r1, 64;
        @%p1 bra first;
        bar.sync 2, 64;
        add.u32 %r10, %r10, 10;
        bra meet;
        first:
        bar.sync 1, 64;
        add.u32 %r10, %r10, 20;
        meet:
        bar.sync 0;
        """
        + STORE,
        out=ints(256),
        block=128,
        grid=2,
    )
    assert done.complete
    assert (done.arrays["out"] == np.where(np.arange(256) % 128 < 64, 21, 11)).all()


def test_arriving_is_not_waiting():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 1;
        setp.lt.u32 %p1, %r1, 32;
        @%p1 bra producer;
        bar.sync 3, 64;
        mov.u32 %r10, 2;
        bra meet;
        producer:
        bar.arrive 3, 64;
        meet:
        """
        + STORE,
        out=ints(64),
        block=64,
    )
    assert done.complete
    assert (done.arrays["out"] == np.repeat([1, 2], 32)).all()


def test_a_barrier_that_reduces():
    done = launch(
        MINE
        + """
        and.b32 %r4, %r1, 3;
        setp.eq.u32 %p1, %r4, 0;
        bar.red.popc.u32 %r10, 0, %p1;
        bar.red.or.pred %p2, 0, %p1;
        bar.red.and.pred %p3, 0, %p1;
        @%p2 add.u32 %r10, %r10, 1000;
        @%p3 add.u32 %r10, %r10, 5000;
        """
        + STORE,
        out=ints(96),
        block=96,
    )
    assert (done.arrays["out"] == 1024).all()


def test_a_barrier_that_part_of_a_warp_does_not_reach():
    done = launch(
        MINE
        + """
        setp.lt.u32 %p1, %r1, 40;
        @%p1 bra over;
        bar.sync 0;
        over:
        mov.u32 %r10, 1;
        """
        + STORE,
        out=ints(64),
        block=64,
    )
    assert not done.complete
    (found,) = done.findings
    assert found.kind == "divergent barrier"
    assert found.thread[0] // 32 == 1


def test_a_barrier_after_early_returns():
    """Of each warp 8 lanes write and return from within two conditions; the others go on together."""
    done = launch(
        MINE
        + """
        mov.u32 %r10, 0;
        and.b32 %r11, %r1, 1;
        setp.eq.u32 %p1, %r11, 0;
        @%p1 bra on;
        mov.u32 %r10, 9;
        and.b32 %r11, %r1, 2;
        setp.ne.u32 %p1, %r11, 0;
        @%p1 bra away;
        mov.u32 %r10, 1;
        on:
        bar.sync 0;
        add.u32 %r10, %r10, 2;
        mov.u32 %r12, 8;
        setp.lt.u32 %p1, %r12, 4;
        @%p1 bra on;
        """
        + STORE
        + "away:"
        + STORE,
        out=ints(64),
        block=64,
    )
    assert done.complete
    assert not done.findings
    assert done.arrays["out"].tolist() == [2, 3, 2, 9] * 16


def test_a_barrier_that_some_warps_never_reach():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 1;
        setp.lt.u32 %p1, %r1, 32;
        @%p1 bra over;
        bar.sync 1, 96;
        over:
        """
        + STORE,
        out=ints(96),
        block=96,
    )
    assert not done.complete
    assert [found.kind for found in done.findings] == ["barrier not reached"]
    assert done.findings[0].count == 64


def test_an_endless_loop_ends():
    said = r"k still runs at the limit of 10,000 warp instructions, .* \(it ran 6\d\d; .* counts as 16\)"
    with pytest.raises(StepLimitError, match=said):
        launch(MINE + "again: bra again;", out=ints(32), steps=10_000)


def test_what_is_not_covered_matters_where_it_is_run():
    body = (
        MINE
        + "mov.u32 %r10, 1; setp.ne.u32 %p1, %r1, %r1; @%p1 tex.1d.v4.f32.s32 {%f0,%f1,%f2,%f3}, [t, {%r1}];"
    )
    with pytest.raises(PtxError):  # the parser may refuse it, else it stops where it is reached
        launch(body.replace("@%p1 ", "") + STORE, out=ints(32))
    with pytest.raises(NotCoveredError, match=r"frobnicate\.u32 is not covered"):
        launch(MINE + "frobnicate.u32 %r10, %r1;" + STORE, out=ints(32))
    done = launch(
        MINE + "mov.u32 %r10, 1; setp.ne.u32 %p1, %r1, %r1; @%p1 frobnicate.u32 %r10, %r1;" + STORE,
        out=ints(32),
    )
    assert (done.arrays["out"] == 1).all()


def test_a_trap_says_where():
    with pytest.raises(PtxError, match=r"trap was reached .* in block \(1, 0, 0\), warp 1"):
        launch(MINE + "setp.eq.u32 %p1, %r0, 100; @%p1 trap; ret;", out=ints(128), block=64, grid=2)


def test_partial_warps_and_blocks_in_three_dimensions():
    done = launch(
        """
        ld.param.u64 %rd0, [out];
        mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z;
        mov.u32 %r4, %ntid.x; mov.u32 %r5, %ntid.y;
        mad.lo.u32 %r6, %r3, %r5, %r2;
        mad.lo.u32 %r6, %r6, %r4, %r1;
        mov.u32 %r7, %ctaid.y; mov.u32 %r8, %ctaid.z; mov.u32 %r9, %nctaid.y;
        mad.lo.u32 %r7, %r8, %r9, %r7;
        mad.lo.u32 %r10, %r7, 105, %r6;
        mul.wide.u32 %rd1, %r10, 4;
        add.s64 %rd0, %rd0, %rd1;
        """
        + STORE,
        out=np.full(105 * 6, -1, np.int32),
        block=(5, 7, 3),
        grid=(1, 2, 3),
    )
    assert (done.arrays["out"] == np.arange(630)).all()
    assert done.counters.active[0] == 630
    assert done.counters.warps[0] == 24


def test_a_barrier_with_a_guard_that_whole_warps_pass():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 1;
        setp.lt.u32 %p1, %r1, 64;
        @%p1 bar.sync 1, 64;
        """
        + STORE,
        out=ints(128),
        block=128,
    )
    assert done.complete
    assert (done.arrays["out"] == 1).all()
    parted = launch(MINE + "setp.lt.u32 %p1, %r1, 40; @%p1 bar.sync 1, 64; ret;", out=ints(128), block=128)
    assert [found.kind for found in parted.findings] == ["divergent barrier"]


def test_a_kernel_without_an_end():
    done = launch(
        MINE + "mov.u32 %r10, 4; st.global.u32 [%rd0], %r10; setp.lt.u32 %p1, %r1, 5; @%p1 bra over; over:",
        out=ints(32),
    )
    assert (done.arrays["out"] == 4).all()


def test_lanes_that_part_of_a_warp_waits_for():
    body = "setp.lt.u32 %p1, %r1, 5; @%p1 bra over; bar.warp.sync -1; over: mov.u32 %r10, 1;"
    done = launch(MINE + body + STORE, out=ints(32))
    assert [found.kind for found in done.findings] == ["lanes missing"]
    assert not launch(MINE + body.replace("-1", "0xffffffe0") + STORE, out=ints(32)).findings


def test_clusters_are_refused():
    from tests.gpu.ptx.programs import kernel_of
    from tinytorch.gpu.launch import Argument
    from tinytorch.gpu.ptx.run import run
    from tinytorch.runtime.errors import InputError

    kernel = kernel_of("ret;")
    object.__setattr__(kernel, "cluster", (2, 1, 1))
    with pytest.raises(InputError, match="clusters"):
        run(kernel, 2, 32, [Argument("out", ints(1))])


@pytest.mark.parametrize(
    "early",
    [
        "@%p1 bra gone;",  # as compilers write it: one return, and branches to it
        "@%p1 ret;",
        "@!%p1 bra stay; ret; stay:",
        "@!%p1 bra stay; mov.u32 %r11, 9; st.global.u32 [%rd0], %r11; bra gone; stay:",
        "@!%p1 bra stay; setp.ge.u32 %p2, %r1, 45; @%p2 bra gone; ret; stay:",
    ],
)
def test_lanes_that_return_early_are_not_waited_for(early):
    body = f"""
        setp.ge.u32 %p1, %r1, 40;
        {early}
        and.b32 %r4, %r1, 1;
        setp.eq.u32 %p3, %r4, 0;
        @%p3 bra even;
        mov.u32 %r10, 3;
        bra both;
        even:
        mov.u32 %r10, 4;
        both:
        bar.sync 0;
        vote.sync.ballot.b32 %r12, %p3, -1;
        st.global.u32 [%rd0], %r12;
        gone:
        ret;
    """
    done = launch(MINE + body, out=ints(128), block=64, grid=2)
    assert done.complete
    assert not done.findings
    stays = np.arange(128) % 64 < 40
    expected = np.where(np.arange(128) % 64 < 32, 0x55555555, 0x55)
    left = 9 if "st.global" in early else 0
    assert (done.arrays["out"] == np.where(stays, expected, left)).all()
    ballot = next(i for i, each in enumerate(done.kernel.instructions) if each.opcode == "vote")
    assert done.counters.warps[ballot] == 4  # those that stay are together


def test_a_return_within_a_branch():
    done = launch(
        MINE
        + """
        mov.u32 %r10, 1;
        setp.ge.u32 %p1, %r1, 16;
        @%p1 bra meet;
        setp.lt.u32 %p2, %r1, 5;
        @%p2 bra gone;
        mov.u32 %r10, 2;
        meet:
        bar.sync 0;
        st.global.u32 [%rd0], %r10;
        gone:
        ret;
        """,
        out=ints(32),
    )
    assert done.complete
    assert not done.findings
    assert done.arrays["out"].tolist() == [0] * 5 + [2] * 11 + [1] * 16
    barrier = next(i for i, each in enumerate(done.kernel.instructions) if each.opcode == "bar")
    assert (done.counters.warps[barrier], done.counters.active[barrier]) == (1, 27)
