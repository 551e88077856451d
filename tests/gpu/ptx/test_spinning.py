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
def test_a_lane_that_others_wait_for(writer, first):
    """Whichever side comes first in the text, and whichever lane it is."""
    sides = {
        "wait": "wait: ld.volatile.global.u32 %r10, [%rd5]; setp.eq.u32 %p2, %r10, 0; @%p2 bra wait; bra on;",
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
    """Draw what happens to a warp: lanes part, come to where they meet, turn, gather."""
    kinds = st.sampled_from(["diverge", "diverge", "arrive", "turn", "gather", "exit"])
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
        elif kind == "gather":
            warps.gather(0)
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
