"""cp.async: copies that land when they are waited for, by whom, and what is wrong with some of them."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, launch
from tinytorch.gpu.ptx.program import NotCoveredError

#: %rd5 the thread's 16 bytes of `given`; %r6 its 16 bytes of shared memory, which hold 7s.
BEGIN = (
    MINE
    + """
    ld.param.u64 %rd5, [given]; mad.wide.u32 %rd5, %r0, 16, %rd5;
    mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 16, %r5;
    mov.u32 %r7, 7; st.shared.v4.u32 [%r6], {%r7, %r7, %r7, %r7};
    """
)
STORE = "st.global.u32 [%rd0], %r10; ret;"
SHARED = ".shared .align 16 .b8 s[2048];"


def copies(body, block=32, begin=BEGIN, **more):
    given = np.arange(4 * block, dtype=np.int32) + 100
    return launch(begin + body + STORE, module=SHARED, out=ints(block), given=given, block=block, **more)


def kinds(done):
    return [found.kind for found in done.findings]


def first_words(block=32):
    return 100 + 4 * np.arange(block)


def test_what_was_copied_is_not_there_before_it_is_waited_for():
    body = """
        cp.async.cg.shared.global [%r6], [%rd5], 16;
        cp.async.commit_group;
        ld.shared.u32 %r10, [%r6];
        cp.async.wait_group 0;
        ld.shared.u32 %r11, [%r6];
        mad.lo.u32 %r10, %r10, 1000, %r11;
    """
    done = copies(body)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], 7000 + first_words())
    begin = BEGIN.replace("st.shared.v4.u32 [%r6], {%r7, %r7, %r7, %r7};", "")
    assert kinds(copies(body, begin=begin)) == ["read before written"]


@pytest.mark.parametrize("width", [4, 8, 16])
def test_all_that_was_asked_for_comes_and_no_more(width):
    body = f"""
        cp.async.ca.shared.global [%r6], [%rd5], {width};
        cp.async.wait_all;
        ld.shared.v4.u32 {{%r10, %r11, %r12, %r13}}, [%r6];
        mad.lo.u32 %r10, %r11, 1000, %r10; mad.lo.u32 %r10, %r13, 1000000, %r10;
    """
    words = np.where(np.arange(4)[None] < width // 4, np.arange(128).reshape(32, 4) + 100, 7)
    done = copies(body)
    np.testing.assert_array_equal(
        done.arrays["out"], words[:, 0] + 1000 * words[:, 1] + 1000000 * words[:, 3]
    )
    load, store = (
        next(a for a in done.accesses if a.width == width and a.kind == kind) for kind in ("load", "store")
    )
    assert (load.space, load.lanes, load.requests) == ("global", 32, 1)
    assert load.sectors == 512 // 32
    assert (store.space, store.lanes) == ("shared", 32)


@pytest.mark.parametrize("left", [0, 1, 2, 3, 5])
def test_groups_land_but_for_the_last_ones(left):
    """Three groups of one word each, and a fourth copy that no group was closed over."""
    body = f"""
        cp.async.ca.shared.global [%r6], [%rd5], 4;
        cp.async.commit_group;
        cp.async.ca.shared.global [%r6+4], [%rd5+4], 4;
        cp.async.commit_group;
        cp.async.ca.shared.global [%r6+8], [%rd5+8], 4;
        cp.async.commit_group;
        cp.async.ca.shared.global [%r6+12], [%rd5+12], 4;
        cp.async.wait_group {left};
        mov.u32 %r10, 0;
        ld.shared.v4.u32 {{%r11, %r12, %r13, %r14}}, [%r6];
        setp.ge.u32 %p1, %r11, 100; @%p1 add.u32 %r10, %r10, 1;
        setp.ge.u32 %p1, %r12, 100; @%p1 add.u32 %r10, %r10, 10;
        setp.ge.u32 %p1, %r13, 100; @%p1 add.u32 %r10, %r10, 100;
        setp.ge.u32 %p1, %r14, 100; @%p1 add.u32 %r10, %r10, 1000;
    """
    landed = {0: 111, 1: 11, 2: 1, 3: 0, 5: 0}[left]
    assert (copies(body).arrays["out"] == landed).all()
    everything = copies(body.replace(f"wait_group {left}", "wait_all"))
    assert (everything.arrays["out"] == 1111).all()


def test_a_loop_that_copies_one_step_ahead():
    """Two buffers in turn: the sum of a column, as kernels with stages do it."""
    body = """
        mov.u32 %r10, 0; mov.u32 %r20, 0;
        cp.async.ca.shared.global [%r6], [%rd5], 4;
        cp.async.commit_group;
        next:
        add.u32 %r21, %r20, 1;
        and.b32 %r22, %r21, 1; mad.lo.u32 %r23, %r22, 4, %r6;
        mad.wide.u32 %rd6, %r21, 4, %rd5;
        setp.lt.u32 %p1, %r21, 4;
        @%p1 cp.async.ca.shared.global [%r23], [%rd6], 4;
        cp.async.commit_group;
        cp.async.wait_group 1;
        and.b32 %r22, %r20, 1; mad.lo.u32 %r23, %r22, 4, %r6;
        ld.shared.u32 %r11, [%r23];
        add.u32 %r10, %r10, %r11;
        mov.u32 %r20, %r21;
        @%p1 bra next;
    """
    done = copies(body, block=64)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], (np.arange(256).reshape(64, 4) + 100).sum(1))


def test_a_source_of_no_bytes_is_zeros_and_is_not_looked_at():
    body = """
        setp.lt.u32 %p1, %r1, 20; selp.u32 %r8, 16, 0, %p1;
        mov.u64 %rd6, 12345; selp.b64 %rd5, %rd5, %rd6, %p1;
        cp.async.cg.shared.global [%r6], [%rd5], 16, %r8;
        cp.async.wait_all;
        ld.shared.u32 %r10, [%r6];
    """
    done = copies(body)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], np.where(np.arange(32) < 20, first_words(), 0))
    assert next(a.lanes for a in done.accesses if a.space == "global") == 20
    with pytest.raises(NotCoveredError, match="part of its size"):
        copies(body.replace("selp.u32 %r8, 16, 0, %p1;", "mov.u32 %r8, 4;"))


def test_only_lanes_whose_guard_holds_copy():
    body = """
        setp.lt.u32 %p1, %r1, 5;
        @%p1 cp.async.cg.shared.global [%r6], [%rd5], 16;
        cp.async.commit_group; cp.async.wait_group 0;
        ld.shared.u32 %r10, [%r6];
    """
    np.testing.assert_array_equal(copies(body).arrays["out"], np.where(np.arange(32) < 5, first_words(), 7))


OTHERS = """
    cp.async.cg.shared.global [%r6], [%rd5], 16;
    cp.async.commit_group;
    cp.async.wait_group 0;
    {barrier}
    xor.b32 %r7, %r1, 32; mad.lo.u32 %r6, %r7, 16, %r5;
    ld.shared.u32 %r10, [%r6];
"""


def test_another_warp_must_wait_at_a_barrier():
    """The first 7s are behind a barrier: what races is the copy."""
    begin = BEGIN + "bar.sync 0;"
    done = copies(OTHERS.format(barrier="bar.sync 0;"), block=64, begin=begin)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], first_words(64)[np.arange(64) ^ 32])
    assert kinds(copies(OTHERS.format(barrier=""), block=64, begin=begin)) == ["race"]


def test_a_barrier_does_not_wait_for_copies():
    body = OTHERS.replace("cp.async.wait_group 0;", "").format(barrier="bar.sync 0;")
    done = copies(body, block=64, begin=BEGIN + "bar.sync 0;")
    assert (done.arrays["out"] == 7).all()


def test_one_warp_waits_and_the_other_does_not():
    body = """
        cp.async.cg.shared.global [%r6], [%rd5], 16;
        cp.async.commit_group;
        setp.lt.u32 %p1, %r1, 32;
        @%p1 bra over;
        cp.async.wait_group 0;
        over:
        ld.shared.u32 %r10, [%r6];
    """
    np.testing.assert_array_equal(
        copies(body, block=64).arrays["out"], np.where(np.arange(64) < 32, 7, first_words(64))
    )


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("add.s64 %rd5, %rd5, 256;", "out of bounds"),
        ("add.s64 %rd5, %rd5, 8;", "misaligned"),
        ("add.u32 %r6, %r6, 4;", "misaligned"),
        ("add.u32 %r6, %r6, 2048;", "out of bounds"),
        ("add.u32 %r6, %r6, -16;", "out of bounds"),
    ],
)
def test_copies_are_checked(change, kind):
    done = copies(f"{change} cp.async.cg.shared.global [%r6], [%rd5], 16; mov.u32 %r10, 0;")
    assert kinds(done) == [kind]
    assert done.findings[0].instruction.opcode == "cp"


def test_what_an_array_never_held_is_found_when_it_is_copied():
    done = copies("cp.async.cg.shared.global [%r6], [%rd5], 16; mov.u32 %r10, 0;", unwritten=["given"])
    assert kinds(done) == ["read before written"]


def test_blocks_have_their_own_copies():
    body = "cp.async.ca.shared.global [%r6], [%rd5], 16; cp.async.wait_all; ld.shared.u32 %r10, [%r6];"
    given = np.arange(4 * 96 * 5, dtype=np.int32)
    done = launch(BEGIN + body + STORE, module=SHARED, out=ints(480), given=given, block=96, grid=5)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], given[::4])
