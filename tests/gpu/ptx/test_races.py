"""Races in shared memory: who waited for whom, however they waited, and which bytes they share."""

import pytest

from tests.gpu.ptx.programs import MINE, ints, launch

#: %r5 shared memory, %r6 the thread's word of it, %r4 the warp.
BEGIN = MINE + "mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 4, %r5; shr.u32 %r4, %r1, 5; mov.u32 %r10, 0;"
STORE = "st.global.u32 [%rd0], %r10; ret;"
SHARED = ".shared .align 16 .b8 s[4096];"


def races(body, block=96, grid=1):
    done = launch(BEGIN + body + STORE, module=SHARED, out=ints(block * grid), block=block, grid=grid)
    assert done.complete, [str(found) for found in done.findings]
    assert {found.kind for found in done.findings} <= {"race"}, [str(found) for found in done.findings]
    return done.findings


def of_warp(warp, body, label):
    """Return code that one warp alone runs."""
    return f"setp.ne.u32 %p5, %r4, {warp}; @%p5 bra {label}; {body} {label}:\n"


WRITE = "st.shared.u32 [%r5], %r1;"
READ = "ld.shared.u32 %r10, [%r5];"


@pytest.mark.parametrize("second", ["ld.shared.u32 %r10, [%r5];", "st.shared.u32 [%r5], %r0;"])
@pytest.mark.parametrize("first", ["ld.shared.u32 %r10, [%r5];", "st.shared.u32 [%r5], %r0;"])
def test_a_write_and_anything_else(first, second):
    begin = of_warp(0, "st.shared.u32 [%r5], %r10;", "begun") + "bar.sync 0;"
    body = (
        begin
        + of_warp(0, f"setp.eq.u32 %p1, %r1, 3; @%p1 {first}", "a")
        + "{}"
        + of_warp(1, f"setp.eq.u32 %p1, %r1, 40; @%p1 {second}", "b")
    )
    found = races(body.format(""))
    if first.startswith("ld") and second.startswith("ld"):
        assert not found
    else:
        (race,) = found
        assert race.thread[0] == 40
        assert race.address == 0
        assert race.count == 1
    assert not races(body.format("bar.sync 0;"))


def test_all_of_several_readers_must_be_waited_for():
    """Warps 0 and 1 read; warp 2 writes, having waited for warp 1 only."""
    begin = of_warp(0, WRITE, "begun") + "bar.sync 0;" + of_warp(0, READ, "a") + of_warp(1, READ, "b")
    one = "setp.eq.u32 %p1, %r4, 0; @%p1 bra over; bar.sync 1, 64; over:\n"
    assert len(races(begin + one + of_warp(2, WRITE, "c"))) == 1
    assert not races(begin + "bar.sync 1, 96;" + of_warp(2, WRITE, "c"))


@pytest.mark.parametrize("writer", [0, 1, 2])
def test_readers_at_once_and_one_that_writes(writer):
    begin = of_warp(0, WRITE, "begun") + "bar.sync 0;" + READ
    (race,) = races(begin + of_warp(writer, WRITE, "w"))
    assert race.instruction.opcode == "st"
    assert not races(begin + "bar.sync 0;" + of_warp(writer, WRITE, "w"))


ADD = "atom.shared.add.u32 %r10, [%r5], 1;"


@pytest.mark.parametrize("plain", [WRITE, READ])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_atomics_and_a_plain_access_of_one_warp(first, plain):
    begin = of_warp(0, WRITE, "begun") + "bar.sync 0;"
    before, after = of_warp(first, plain, "p") + "{}" + ADD, ADD + "{}" + of_warp(first, plain, "p")
    for body, opcode in ((before, "atom"), (after, "st" if plain is WRITE else "ld")):
        (race,) = races(begin + body.format(""))
        assert race.instruction.opcode == opcode
        assert not races(begin + body.format("bar.sync 0;"))


def test_strong_accesses_do_not_race_with_each_other():
    begin = of_warp(0, WRITE, "begun") + "bar.sync 0;"
    looks, tells = "ld.volatile.shared.u32 %r10, [%r5];", "st.relaxed.cta.shared.u32 [%r5], %r1;"
    for body in (looks + ADD + tells, ADD + looks + tells, tells + looks + ADD):
        assert not races(begin + body)
    assert races(begin + tells + "ld.shared.u32 %r10, [%r5];")
    assert races(begin + of_warp(0, WRITE, "w") + looks)


#: Warps in turn add to a place that a lock keeps; one lane of each.
LOCKED = """
    and.b32 %r11, %r1, 31;
    setp.ne.u32 %p1, %r11, 0;
    @%p1 bra over;
    wait:
    atom.shared.cas.b32 %r12, [%r5+8], 0, 1;
    setp.ne.u32 %p2, %r12, 0;
    @%p2 bra wait;
    FENCE
    ld.shared.u32 %r13, [%r5];
    add.u32 %r13, %r13, 1;
    st.shared.u32 [%r5], %r13;
    FENCE
    st.volatile.shared.u32 [%r5+8], 0;
    over:
    bar.sync 0;
    ld.shared.u32 %r10, [%r5];
"""


def test_what_a_lock_keeps_is_no_race_with_fences():
    begin = of_warp(0, "st.shared.v4.u32 [%r5], {0, 0, 0, 0};", "begun") + "bar.sync 0;"
    assert not races(begin + LOCKED.replace("FENCE", "membar.cta;"))
    assert races(begin + LOCKED.replace("FENCE", ""))


def test_who_did_not_come_to_a_barrier_was_not_waited_for():
    """Warps 0 and 1 meet at a barrier of their own; warp 2 is not there."""
    meet = "setp.eq.u32 %p1, %r4, 2; @%p1 bra over; bar.sync 1, 64; over:\n"
    assert not races(of_warp(0, WRITE, "a") + meet + of_warp(1, READ, "b"))
    assert len(races(of_warp(0, WRITE, "a") + meet + of_warp(2, READ, "b"))) == 1


def test_what_was_waited_for_is_handed_on():
    """Warp 1 waits for warp 0, then warp 2 for warp 1: so what warp 0 wrote is behind warp 2, too."""
    body = (
        of_warp(0, f"{WRITE} bar.sync 1, 64;", "a")
        + of_warp(1, "bar.sync 1, 64; bar.sync 2, 64;", "b")
        + of_warp(2, f"bar.sync 2, 64; {READ}", "c")
    )
    assert not races(body)
    other_way = body.replace("bar.sync 1, 64; bar.sync 2, 64;", "bar.sync 2, 64; bar.sync 1, 64;")
    assert len(races(other_way)) == 1


def test_to_arrive_is_to_hand_over():
    """A producer arrives and goes on; the consumer waits. What the producer writes after that races."""
    late = "st.shared.u32 [%r5+4], %r1;"
    body = of_warp(0, f"{WRITE} bar.arrive 1, 64; {late}", "a") + of_warp(1, "bar.sync 1, 64; {}", "b")
    assert not races(body.replace("{}", READ), block=64)
    assert len(races(body.replace("{}", "ld.shared.u32 %r10, [%r5+4];"), block=64)) == 1


def test_the_producer_does_not_wait_for_the_consumer():
    body = of_warp(0, "bar.arrive 1, 64; st.shared.u32 [%r5], %r1;", "a")
    assert len(races(of_warp(1, f"{WRITE} bar.sync 1, 64;", "b") + body, block=64)) == 1


@pytest.mark.parametrize("second", ["", "bar.sync 0;"])
def test_a_loop_over_one_buffer_takes_two_barriers(second):
    body = f"""
        mov.u32 %r20, 0;
        next:
        st.shared.u32 [%r6], %r20;
        bar.sync 0;
        xor.b32 %r7, %r1, 32; mad.lo.u32 %r7, %r7, 4, %r5;
        ld.shared.u32 %r11, [%r7];
        add.u32 %r10, %r10, %r11;
        {second}
        add.u32 %r20, %r20, 1;
        setp.lt.u32 %p1, %r20, 4;
        @%p1 bra next;
    """
    assert len(races(body, block=64)) == (0 if second else 1)


def test_two_buffers_take_one_barrier():
    body = """
        mov.u32 %r20, 0;
        next:
        and.b32 %r21, %r20, 1; mad.lo.u32 %r22, %r21, 1024, %r6;
        st.shared.u32 [%r22], %r20;
        bar.sync 0;
        xor.b32 %r7, %r1, 32; mad.lo.u32 %r7, %r7, 4, %r5; mad.lo.u32 %r7, %r21, 1024, %r7;
        ld.shared.u32 %r11, [%r7];
        add.u32 %r20, %r20, 1;
        setp.lt.u32 %p1, %r20, 6;
        @%p1 bra next;
    """
    assert not races(body, block=64)
    assert races(body.replace("1024", "0"), block=64)


@pytest.mark.parametrize(
    ("store", "load", "race"),
    [
        ("st.shared.v4.u32 [%r5], {%r1, %r1, %r1, %r1};", "ld.shared.u32 %r10, [%r5+12];", True),
        ("st.shared.v4.u32 [%r5], {%r1, %r1, %r1, %r1};", "ld.shared.u32 %r10, [%r5+16];", False),
        ("st.shared.u32 [%r5+4], %r1;", "ld.shared.b64 %rd6, [%r5];", True),
        ("st.shared.u8 [%r5+3], %r1;", "ld.shared.u32 %r10, [%r5];", True),
        ("st.shared.u8 [%r5+4], %r1;", "ld.shared.u32 %r10, [%r5];", False),
        ("st.shared.u16 [%r5+2], %h1;", "ld.shared.u8 %r10, [%r5+1];", False),
        ("st.shared.u16 [%r5+2], %h1;", "ld.shared.u8 %r10, [%r5+3];", True),
        ("cvt.u64.u32 %rd6, %r5; cvta.shared.u64 %rd6, %rd6; st.u32 [%rd6], %r1;", READ, True),
        (WRITE, "cvt.u64.u32 %rd6, %r5; cvta.shared.u64 %rd6, %rd6; ld.u32 %r10, [%rd6];", True),
    ],
)
def test_what_bytes_they_share(store, load, race):
    zeros = "".join(f"st.shared.v4.u32 [%r5+{at}], {{%r10, %r10, %r10, %r10}};" for at in (0, 16))
    body = of_warp(0, zeros, "begun") + "bar.sync 0;" + of_warp(0, store, "a") + of_warp(1, load, "b")
    assert len(races(body)) == race


def test_ldmatrix_and_stmatrix_race_as_loads_and_stores_do():
    load = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r11}, [%r8];"
    store = "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r8], {%r1};"
    rows = "and.b32 %r8, %r1, 7; mad.lo.u32 %r8, %r8, 16, %r5;"
    written = rows + of_warp(0, store, "begun")
    read = written + "bar.sync 0;" + of_warp(0, load, "a")
    for barrier in ("", "bar.sync 0;"):
        assert len(races(written + barrier + of_warp(1, load, "b"), block=64)) == (not barrier)
        assert len(races(read + barrier + of_warp(1, store, "b"), block=64)) == (not barrier)


def test_blocks_do_not_race_with_each_other():
    body = "setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r5], %r0; bar.sync 0; ld.shared.u32 %r10, [%r5];"
    assert not races(body, block=64, grid=7)


def test_each_warp_of_each_block_that_races_is_counted():
    other = "xor.b32 %r7, %r1, 32; mad.lo.u32 %r7, %r7, 4, %r5;"
    body = f"st.shared.u32 [%r6], %r1; {other} ld.shared.u32 %r10, [%r7];"
    (race,) = races(body, block=64, grid=3)
    assert race.count == 64 * 3


@pytest.mark.parametrize("together", [True, False])
def test_a_warp_that_exits_is_waited_for(together):
    """A barrier of all is complete when those that are left have come: who has exited did so before."""
    later = "" if together else of_warp(2, "mov.u32 %r20, 0; mov.u32 %r21, 1;", "later")
    body = f"setp.eq.u32 %p1, %r4, 0; @%p1 st.shared.u32 [%r5], %r0; @%p1 exit; {later} bar.sync 0;"
    assert not races(body + of_warp(1, READ, "a"))
    assert len(races(body.replace("bar.sync 0;", "bar.sync 1, 64;") + of_warp(1, READ, "a"))) == 1
