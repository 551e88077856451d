"""What is wrong with a kernel is found: where, by which thread, at which address."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, kernel_of, launch
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.launch import GLOBAL
from tinytorch.gpu.ptx.memory import MemoryLimitError
from tinytorch.gpu.ptx.run import run
from tinytorch.runtime.errors import InputError

STORE = "st.global.u32 [%rd0], %r10; ret;"
SHARED = ".shared .align 16 .b8 s[1024];"


def kinds(done):
    return [found.kind for found in done.findings]


def test_a_store_behind_an_array():
    done = launch(MINE + "mov.u32 %r10, 3;" + STORE, out=ints(100), grid=2, block=64)
    (found,) = done.findings
    assert found.kind == "out of bounds"
    assert found.block == (1, 0, 0)
    assert (found.thread, found.lane, found.count) == ((36, 0, 0), 4, 28)
    assert found.address == GLOBAL + 512 + 400
    assert found.near == "byte 400 of out, which has 400"
    assert found.instruction.name == "st.global.u32"
    assert (done.arrays["out"] == 3).all()  # those that may are written all the same


def test_a_load_before_an_array_gives_zero():
    done = launch(MINE + "ld.global.u32 %r10, [%rd0+-4]; add.u32 %r10, %r10, 1;" + STORE, out=ints(32) + 7)
    assert kinds(done) == ["out of bounds"]
    assert done.findings[0].near == "byte -4 of out, which has 128"
    assert done.arrays["out"].tolist() == [1] + [8] * 31


def test_two_arrays_do_not_touch():
    """One element behind an array is never another array's, however large the two are."""
    for size in (1, 127, 128, 129, 1000):
        done = launch(
            MINE + "ld.param.u64 %rd5, [other]; mov.u32 %r10, 1; st.global.u32 [%rd0], %r10; ret;",
            out=ints(size),
            other=ints(64),
            block=size + 1,
        )
        assert kinds(done) == ["out of bounds"], size
        assert not done.arrays["other"].any()


def test_a_null_pointer():
    kernel = kernel_of("ld.param.u64 %rd1, [out]; ld.global.u32 %r1, [%rd1]; ret;")
    done = run(kernel, 1, 32, [Argument("out", None)])
    assert kinds(done) == ["out of bounds"]
    assert (done.findings[0].address, done.findings[0].near) == (0, "a null pointer")


@pytest.mark.parametrize("address", [123456, 2**64 - 4])
def test_an_address_from_nowhere_as_a_generic_one(address):
    done = launch(MINE + f"mov.u64 %rd3, {address}; ld.u32 %r10, [%rd3];" + STORE, out=ints(32))
    assert kinds(done) == ["out of bounds"]
    assert done.findings[0].address == address


def test_misaligned():
    done = launch(MINE + "ld.global.v2.u32 {%r10, %r11}, [%rd0]; " + STORE, out=ints(34))
    assert kinds(done) == ["misaligned"]
    assert done.findings[0].count == 16
    assert done.findings[0].lane == 1


def test_read_before_written_in_shared_local_and_global_memory():
    body = """
        .local .align 4 .b8 mine[16];
        mov.u32 %r4, s;
        ld.shared.u32 %r10, [%r4+16];
        mov.u64 %rd4, mine;
        ld.local.u32 %r11, [%rd4+4];
        ld.global.u32 %r12, [%rd0];
    """
    done = launch(MINE + body + STORE, module=SHARED, out=ints(32), unwritten=["out"])
    assert kinds(done) == ["read before written"] * 3
    assert {found.instruction.name for found in done.findings} == {
        "ld.shared.u32",
        "ld.local.u32",
        "ld.global.u32",
    }


def test_half_of_a_word_was_written():
    body = """
        mov.u32 %r4, s;
        st.shared.u16 [%r4], %h1;
        ld.shared.u32 %r10, [%r4];
    """
    done = launch(MINE + body + STORE, module=SHARED, out=ints(32))
    assert kinds(done) == ["read before written"]


def test_shared_memory_ends_where_it_ends():
    body = "mov.u32 %r4, s; st.shared.u32 [%r4+1024], %r1; st.shared.u32 [%r4+-4], %r1; mov.u32 %r10, 0;"
    done = launch(MINE + body + STORE, module=SHARED, out=ints(128), grid=4)
    assert kinds(done) == ["out of bounds"] * 2
    far = "mov.u32 %r4, s; add.u32 %r4, %r4, 2048; st.shared.u32 [%r4], %r1; mov.u32 %r10, 0;"
    done = launch(MINE + far + STORE, module=SHARED, out=ints(128), grid=4)
    assert kinds(done) == ["out of bounds"]  # and not the next block's


@pytest.mark.parametrize("barrier", ["", "bar.sync 0;"])
def test_a_race_between_warps(barrier):
    body = f"""
        shl.b32 %r4, %r1, 2;
        mov.u32 %r5, s;
        add.u32 %r6, %r5, %r4;
        st.shared.u32 [%r6], %r1;
        {barrier}
        xor.b32 %r7, %r4, 128;
        add.u32 %r6, %r5, %r7;
        ld.shared.u32 %r10, [%r6];
    """
    done = launch(MINE + body + STORE, module=SHARED, out=ints(64), block=64)
    assert kinds(done) == ([] if barrier else ["race"])


def test_a_write_after_a_read_is_a_race_until_there_is_a_barrier():
    """As a loop over tiles that forgets its second barrier."""
    body = """
        shl.b32 %r4, %r1, 2;
        mov.u32 %r5, s;
        add.u32 %r6, %r5, %r4;
        st.shared.u32 [%r6], %r1;
        bar.sync 0;
        xor.b32 %r7, %r4, 128;
        add.u32 %r8, %r5, %r7;
        ld.shared.u32 %r10, [%r8];
        {barrier}
        st.shared.u32 [%r6], %r10;
    """
    done = launch(MINE + body.format(barrier="") + STORE, module=SHARED, out=ints(64), block=64)
    assert kinds(done) == ["race"]
    assert done.findings[0].instruction.opcode == "st"
    done = launch(MINE + body.format(barrier="bar.sync 0;") + STORE, module=SHARED, out=ints(64), block=64)
    assert not done.findings


def test_no_race_within_a_warp_nor_between_blocks_nor_neighbouring_bytes():
    body = """
        shl.b32 %r4, %r1, 2;
        mov.u32 %r5, s;
        and.b32 %r4, %r4, 127;
        add.u32 %r6, %r5, %r4;
        st.shared.u32 [%r6], %r1;
        xor.b32 %r7, %r4, 64;
        add.u32 %r6, %r5, %r7;
        ld.shared.u32 %r10, [%r6];
    """
    assert not launch(MINE + body + STORE, module=SHARED, out=ints(64), block=32, grid=2).findings
    halves = """
        shr.u32 %r4, %r1, 5;
        mov.u32 %r5, s;
        add.u32 %r5, %r5, %r4;
        st.shared.u8 [%r5], %r1;
        mov.u32 %r10, 0;
    """
    assert not launch(MINE + halves + STORE, module=SHARED, out=ints(64), block=64).findings


def test_atomics_do_not_race():
    body = "mov.u32 %r4, s; atom.shared.add.u32 %r10, [%r4], 1;"
    zero = "mov.u32 %r4, s; mov.u32 %r5, 0; st.shared.u32 [%r4], %r5; bar.sync 0;"
    done = launch(MINE + zero + body + STORE, module=SHARED, out=ints(96), block=96)
    assert not done.findings  # all write the same zero: no harm is done
    assert done.arrays["out"].tolist() == list(range(96))


def test_warps_that_write_different_values_to_one_place_at_once():
    body = "mov.u32 %r4, s; shr.u32 %r5, %r1, 5; st.shared.u32 [%r4], %r5; mov.u32 %r10, 0;"
    done = launch(MINE + body + STORE, module=SHARED, out=ints(96), block=96)
    assert kinds(done) == ["race"]


def test_a_mask_that_names_lanes_that_are_not_there():
    body = """
        mov.u32 %r10, 0;
        setp.lt.u32 %p1, %r1, 16;
        @%p1 shfl.sync.bfly.b32 %r10, %r1, 1, 31, -1;
    """
    done = launch(MINE + body + STORE, out=ints(32))
    assert kinds(done) == ["lanes missing"]
    assert not launch(MINE + body.replace("-1;", "65535;") + STORE, out=ints(32)).findings


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"grid": 0}, "grid"),
        ({"grid": (1, 2, 3, 4)}, "grid"),
        ({"grid": 1.5}, "grid"),
        ({"grid": (1, 70000)}, "grid"),
        ({"block": 0}, "block"),
        ({"block": 1025}, "block"),
        ({"block": (32, 32, 2)}, "2048 threads"),
        ({"block": None}, "how many threads"),
        ({"shared": -1}, "shared"),
        ({"shared": 300_000}, "shared"),
        ({"blocks": 0}, "blocks"),
        ({"blocks": [5]}, "blocks"),
    ],
)
def test_launches_that_cannot_be(given, told):
    options = {"grid": 1, "block": 32, **given}
    grid, block = options.pop("grid"), options.pop("block")
    with pytest.raises(InputError, match=told):
        run(kernel_of("ret;"), grid, block, [Argument("out", ints(1))], **options)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3.5, "x: a float does not fit a parameter of .u32"),
        (2**32, "does not fit 4 bytes"),
        (-(2**31) - 1, "does not fit 4 bytes"),
        (ints(3), r"a ndarray for a parameter of \.u32 with 4 bytes"),
        (b"abc", r"3 bytes for a parameter of \.u32 with 4"),
        ("5", "a str does not fit"),
        (None, r"a NoneType for a parameter of \.u32"),
        (np.int64(2**40), "does not fit 4 bytes"),
        (np.float32(1), "does not fit"),
    ],
)
def test_arguments_that_do_not_fit(value, told):
    with pytest.raises(InputError, match=told):
        run(kernel_of("ret;", ".param .u32 x"), 1, 32, [Argument("x", value)])


def test_too_few_arguments():
    with pytest.raises(InputError, match=r"k takes 1 arguments \(.u64 out\), not 0"):
        run(kernel_of("ret;"), 1, 32, [])


def test_memory_beyond_the_limit():
    with pytest.raises(MemoryLimitError, match=r"1 MiB.*memory="):
        launch("ret;", out=np.zeros(1 << 20, np.uint8), memory=1 << 20)
    with pytest.raises(MemoryLimitError, match="a block of k takes"):
        local = ".local .align 4 .b8 mine[64]; ld.local.u32 %r10, [mine];"
        launch(MINE + local + STORE, out=ints(1), memory=70_000, block=1024)


def test_the_arrays_given_are_not_changed_and_views_are_seen_as_they_lie():
    base = np.arange(64, dtype=np.int32)
    done = launch(
        MINE + "ld.global.u32 %r10, [%rd0]; add.u32 %r10, %r10, 100;" + STORE, out=base[::-1][::2], block=1
    )
    assert base[-1] == 63
    assert done.arrays["out"][0] == 163
    assert (done.arrays["out"][1:] == base[::-1][::2][1:]).all()
    both = launch(
        MINE + "ld.param.u64 %rd5, [tail]; ld.global.u32 %r10, [%rd5]; " + STORE,
        out=base[:32],
        tail=base[16:],
    )
    assert (both.arrays["out"] == 16).all()
    assert both.arrays["tail"][0] == 16  # where the two overlap both see what was written
    assert (both.arrays["tail"][:16] == 16).all()


def test_a_sample_of_blocks_and_whether_they_agree():
    def sample(body, blocks):
        return launch(MINE + body + "mov.u32 %r10, 1;" + STORE, out=ints(6400), grid=200, blocks=blocks)

    done = sample("", 5)
    assert done.blocks == (0, 41, 82, 189, 199)
    assert done.sampled
    assert done.scale == 40
    assert done.arrays["out"].sum() == 5 * 32
    loop = "mov.u32 %r4, 0; l: add.u32 %r4, %r4, 1; setp.lt.u32 %p1, %r4, %r2; @%p1 bra l;"
    uneven = sample(loop, 5)
    assert not uneven.blocks_agree
    assert uneven.scale is None
    assert sample(loop, None).scale == 1
    assert sample("", [7, 3]).blocks == (3, 7)
    assert sample("", 1).scale is None  # one agrees with nobody
    odd = "and.b32 %r4, %r2, 1; setp.eq.u32 %p1, %r4, 0; @%p1 bra even; add.u32 %r4, %r4, 1; even: "
    out = ints(32 * 21)
    for blocks in range(3, 21):  # at equal distances of 2, 4 or 10 only even ones would be met
        assert launch(MINE + odd + "mov.u32 %r10, 1;" + STORE, out=out, grid=21, blocks=blocks).scale is None


def test_arrays_that_lie_in_each_other_are_named_together():
    base = np.arange(64, dtype=np.int32)
    body = MINE + "ld.global.u32 %r10, [%rd0]; ld.param.u64 %rd5, [head]; st.global.u32 [%rd5], %r10; ret;"
    done = launch(body, out=base, head=base[:8], block=64)
    load, store = done.accesses
    assert dict(load.arrays) == {"out, head": 1, "out": 1}
    assert dict(store.arrays) == {"out, head": 2}
    both = launch(body, out=base, head=base, block=64)
    assert dict(both.accesses[0].arrays) == {"out, head": 2}
