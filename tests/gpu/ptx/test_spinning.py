"""Lanes that wait for others of their own warp, and warps that want what others have: all get on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.programs import MINE, ints, launch
from tinytorch.gpu.ptx.control import StepLimitError
from tinytorch.gpu.ptx.state import LANES, NOWHERE, Warps

STORE = "st.global.u32 [%rd0], %r10; ret;"
#: Each lane takes the lock, adds one to `count`, and lets go.
LOCK = """
    ld.param.u64 %rd5, [lock];
    ld.param.u64 %rd6, [count];
    {0}wait:
    atom.global.cas.b32 %r4, [%rd5], 0, 1;
    setp.ne.s32 %p1, %r4, 0;
    @%p1 bra {0}wait;
    ld.volatile.global.u32 %r5, [%rd6];
    add.u32 %r5, %r5, 1;
    st.volatile.global.u32 [%rd6], %r5;
    membar.gl;
    atom.global.exch.b32 %r6, [%rd5], 0;
"""


@pytest.mark.parametrize(("grid", "block"), [(1, 32), (1, 7), (2, 80), (3, 96)])
def test_a_lock_that_each_lane_takes(grid, block):
    done = launch(LOCK.format("") + "ret;", lock=ints(1), count=ints(1), grid=grid, block=block)
    assert done.complete and not done.findings
    assert (done.arrays["lock"][0], done.arrays["count"][0]) == (0, grid * block)
    # One lane after the other: what they spin meanwhile is a small part of it, and never all of the limit.
    assert done.warp_instructions < 100 * grid * block


def test_lanes_come_together_again_where_they_exchange_something():
    body = """
    bar.sync 0;
    ld.volatile.global.u32 %r7, [%rd6];
    add.u32 %r7, %r7, %r1;
    shfl.sync.bfly.b32 %r10, %r7, 1, 31, -1;
    """
    done = launch(
        MINE + LOCK.format("a") + body + LOCK.format("b") + "bar.sync 0;" + STORE,
        lock=ints(1),
        count=ints(1),
        out=ints(64),
        block=64,
    )
    assert done.complete and not done.findings
    assert done.arrays["count"][0] == 128
    assert (done.arrays["out"] == 64 + (np.arange(64) ^ 1)).all()
    assert done.counters.active[-1] == 64  # the return is one of whole warps


@pytest.mark.parametrize("writer", [0, 5, 31])
@pytest.mark.parametrize("first", ["wait", "write"])
@pytest.mark.parametrize("load", ["ld.volatile.global.u32", "ld.acquire.gpu.global.u32", "ld.global.cv.u32"])
def test_a_lane_that_others_wait_for(writer, first, load):
    """Whichever side comes first in the text, and whichever lane it is."""
    sides = {
        "wait": f"wait: {load} %r10, [%rd5]; setp.eq.u32 %p2, %r10, 0; @%p2 bra wait; bra on;",
        "write": "write: mov.u32 %r10, 9; st.volatile.global.u32 [%rd5], %r10; bra on;",
    }
    other = "write" if first == "wait" else "wait"
    compare = "ne" if first == "write" else "eq"
    done = launch(
        MINE
        + f"""
        ld.param.u64 %rd5, [flag];
        and.b32 %r4, %r1, 31;
        setp.{compare}.u32 %p1, %r4, {writer};
        @%p1 bra {other};
        {sides[first]}
        {sides[other]}
        on:
        """
        + STORE,
        flag=ints(1),
        out=ints(64),
        block=64,
    )
    assert (done.arrays["out"] == 9).all()


def test_lanes_in_turn():
    """Each waits for its own number, the last of the warp's lanes as well as the first of the next warp."""
    done = launch(
        MINE
        + """
        ld.param.u64 %rd5, [turn];
        wait:
        ld.volatile.global.u32 %r10, [%rd5];
        setp.ne.u32 %p1, %r10, %r1;
        @%p1 bra wait;
        add.u32 %r11, %r10, 1;
        st.volatile.global.u32 [%rd5], %r11;
        """
        + STORE,
        turn=ints(1),
        out=ints(96),
        block=96,
    )
    assert done.arrays["out"].tolist() == list(range(96))


def test_a_way_back_without_a_condition():
    """The loop is left in its middle, and goes back by a branch of its own."""
    done = launch(
        MINE
        + """
        ld.param.u64 %rd5, [lock];
        again:
        atom.global.cas.b32 %r4, [%rd5], 0, 1;
        setp.eq.s32 %p1, %r4, 0;
        @%p1 bra mine;
        bra again;
        mine:
        atom.global.exch.b32 %r10, [%rd5], 0;
        """
        + STORE,
        lock=ints(1),
        out=ints(64),
        block=64,
    )
    assert (done.arrays["out"] == 1).all()


@pytest.mark.parametrize("wait", ["bar.sync 0;", "bar.warp.sync -1;"])
@pytest.mark.parametrize(("grid", "block"), [(3, 32), (5, 64), (2, 128)])
def test_a_lock_that_one_lane_takes_for_all(grid, block, wait):
    """Those of a warp that has the lock go on beside warps whose lanes wait at the same place."""
    body = """
    ld.param.u64 %rd5, [lock];
    LEADER
    setp.ne.u32 %p2, %r4, 0;
    @%p2 bra mine;
    wait:
    atom.global.cas.b32 %r4, [%rd5], 0, 1;
    setp.ne.s32 %p1, %r4, 0;
    @%p1 bra wait;
    mine:
    WAIT
    ld.param.u64 %rd6, [count];
    atom.global.add.u32 %r10, [%rd6], 1;
    WAIT
    @%p2 bra over;
    atom.global.exch.b32 %r4, [%rd5], 0;
    over:
    """.replace("WAIT", wait).replace(
        "LEADER", "mov.u32 %r4, %r1;" if "warp" not in wait else "and.b32 %r4, %r1, 31;"
    )
    done = launch(
        MINE + body + STORE,
        lock=ints(1),
        count=ints(1),
        out=ints(grid * block),
        grid=grid,
        block=block,
        steps=200_000,
    )
    assert done.complete and not done.findings
    assert (done.arrays["lock"][0], done.arrays["count"][0]) == (0, grid * block)


@pytest.mark.parametrize(
    "exchange", ["shfl.sync.idx.b32 %r10, %r1, %r1, 31, %r11;", "bar.warp.sync %r11; mov.u32 %r10, %r1;"]
)
def test_who_holds_a_lock_waits_for_those_it_names_alone(exchange):
    body = MINE + "mov.u32 %r11, %lanemask_eq;" + LOCK.format("").replace("membar.gl;", exchange) + STORE
    done = launch(body, lock=ints(1), count=ints(1), out=ints(64), block=64, steps=100_000)
    assert done.complete and not done.findings
    assert done.arrays["count"][0] == 64
    assert done.arrays["out"].tolist() == list(range(64))


def test_lanes_that_name_each_other_come_together_in_one_way_of_two():
    """Both halves of a warp want one lock; then each exchanges within itself, and at last all do."""
    way = "{}shfl.sync.bfly.b32 %r10, %r1, {}, 31, {};"
    body = f"""
    {MINE}
    and.b32 %r12, %r1, 16;
    setp.ne.u32 %p2, %r12, 0;
    @%p2 bra upper;
    {LOCK.format("a")}
    {way.format("", 1, "0xffff")}
    bra on;
    upper:
    {LOCK.format("b")}
    {way.format("", 2, "0xffff0000")}
    on:
    shfl.sync.bfly.b32 %r10, %r10, 16, 31, -1;
    """
    done = launch(body + STORE, lock=ints(1), count=ints(1), out=ints(64), block=64)
    assert done.complete and not done.findings
    assert done.arrays["count"][0] == 64
    lanes = np.arange(64) ^ 16
    assert (done.arrays["out"] == np.where(lanes & 16, lanes ^ 2, lanes ^ 1)).all()


def test_a_barrier_that_some_do_not_come_to_is_found_after_a_lock():
    body = (
        MINE
        + LOCK.format("")
        + """
    setp.lt.u32 %p2, %r1, 7;
    @%p2 bra few;
    bar.sync 0;
    bra on;
    few:
    bar.sync 0;
    on:
    """
    )
    done = launch(body + STORE, lock=ints(1), count=ints(1), out=ints(32))
    assert not done.complete
    assert [one.kind for one in done.findings] == ["divergent barrier"]


def test_lanes_that_count_how_often_they_have_tried():
    body = (
        MINE + LOCK.format("").replace("atom.global.cas", "add.u32 %r10, %r10, 1;\natom.global.cas") + STORE
    )
    done = launch(body, lock=ints(1), count=ints(1), out=ints(64), block=64, steps=200_000)
    assert done.arrays["count"][0] == 64
    assert (done.arrays["out"] > 0).all()


def test_lanes_that_look_at_several_places_in_turn():
    """A loop in the loop, whose own rounds all differ."""
    body = """
    ld.param.u64 %rd5, [flags];
    and.b32 %r4, %r1, 31;
    setp.eq.u32 %p3, %r4, 9;
    again:
    mov.u32 %r5, 0;
    mov.u64 %rd7, %rd5;
    next:
    ld.volatile.global.u32 %r10, [%rd7];
    setp.ne.u32 %p1, %r10, 0;
    @%p1 bra on;
    @!%p3 bra others;
    mov.u32 %r10, 8;
    st.volatile.global.u32 [%rd5+12], %r10;
    bra on;
    others:
    add.u64 %rd7, %rd7, 4;
    add.u32 %r5, %r5, 1;
    setp.lt.u32 %p2, %r5, 4;
    @%p2 bra next;
    bra again;
    on:
    """
    done = launch(MINE + body + STORE, flags=ints(4), out=ints(64), block=64, steps=100_000)
    assert (done.arrays["out"] == 8).all()


def test_nobody_gets_on_where_all_wait():
    body = """
    ld.param.u64 %rd5, [flag];
    wait:
    ld.volatile.global.u32 %r10, [%rd5];
    setp.eq.u32 %p1, %r10, 0;
    @%p1 bra wait;
    """
    with pytest.raises(StepLimitError, match="lanes of one warp that wait for each other"):
        launch(MINE + body + STORE, flag=ints(1), out=ints(64), block=64, steps=20_000)


def test_who_waits_at_a_barrier_while_others_wait_for_him_gets_no_further():
    body = LOCK.format("").replace("atom.global.exch.b32 %r6, [%rd5], 0;", "bar.sync 0;")
    with pytest.raises(StepLimitError):
        launch(body + "ret;", lock=ints(1), count=ints(1), block=32, steps=100_000)


@st.composite
def steps(draw):
    """Draw what happens to a warp: lanes part, come to where they meet, turn."""
    kinds = st.sampled_from(["diverge", "diverge", "arrive", "turn", "exit"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 2**32 - 1), st.integers(1, 5)), max_size=25))


@given(steps())
@settings(deadline=None, max_examples=300)
def test_no_lane_is_lost_or_there_twice(happening):
    warps, row = Warps(1, (32, 1, 1)), np.array([0])
    warps.start(1)
    for kind, bits, place in happening:
        lanes = np.array([bits >> lane & 1 for lane in range(LANES)], bool)
        if warps.doing[0]:
            break
        taken = lanes & warps.mask[0]
        if kind == "diverge" and taken.any() and (taken != warps.mask[0]).any():
            here = int(warps.pc[0])
            warps.diverge(row, taken[None], here + place, here + 20, here + 20 + place // 3)
        elif kind == "arrive":
            _arrive(warps)
        elif kind == "turn":
            warps.turn(0)
        elif kind == "exit":
            warps.gone[0] |= taken
            warps.mask[0] &= ~taken
            if not warps.mask[0].any():
                warps.pop(row)
        _sound(warps)
    while not warps.doing[0]:
        _arrive(warps)
        _sound(warps)
    assert warps.gone[0].all()


def _arrive(warps):
    """Those on top come to where they meet others, or to the end."""
    if warps.meet[0] == NOWHERE:
        warps.gone[0] |= warps.mask[0]
    warps.pop(np.array([0]))


def _sound(warps):
    """Those on top are some, and none that has exited."""
    if not warps.doing[0]:
        assert warps.mask[0].any()
        assert not (warps.mask[0] & warps.gone[0]).any()
