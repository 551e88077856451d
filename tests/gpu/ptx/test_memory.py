"""Where loads and stores go: every space, by its own addresses and by generic ones, in every width."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, kernel_of, launch
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.program import NotCoveredError
from tinytorch.gpu.ptx.run import run

STORE = "st.global.u32 [%rd0], %r10; ret;"


def test_one_load_by_generic_addresses_to_three_spaces():
    body = """
        .local .align 4 .b8 mine[8];
        ld.param.u64 %rd5, [there]; mad.wide.u32 %rd5, %r1, 4, %rd5;
        mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 4, %r5; add.u32 %r7, %r1, 1000; st.shared.u32 [%r6], %r7;
        cvt.u64.u32 %rd6, %r6; cvta.shared.u64 %rd6, %rd6;
        mov.u64 %rd7, mine; add.u32 %r7, %r1, 2000; st.local.u32 [%rd7+4], %r7; cvta.local.u64 %rd7, %rd7;
        add.s64 %rd7, %rd7, 4;
        rem.u32 %r8, %r1, 3; setp.eq.u32 %p1, %r8, 0; setp.eq.u32 %p2, %r8, 1;
        selp.b64 %rd8, %rd5, %rd6, %p1; selp.b64 %rd8, %rd8, %rd7, %p1;
        @%p2 mov.b64 %rd8, %rd6;
        @%p1 mov.b64 %rd8, %rd5;
        ld.u32 %r10, [%rd8];
        add.u32 %r10, %r10, 10000;
        st.u32 [%rd8], %r10;
        isspacep.shared %p3, %rd8; @%p3 add.u32 %r10, %r10, 100000;
        isspacep.local %p3, %rd8; @%p3 add.u32 %r10, %r10, 200000;
        isspacep.global %p3, %rd8; @%p3 add.u32 %r10, %r10, 300000;
    """
    n = np.arange(96)
    done = launch(
        MINE + body + STORE,
        module=".shared .align 4 .b8 s[384];",
        out=ints(96),
        there=5000 + n.astype("i4"),
        block=96,
    )
    assert not done.findings
    space = n % 3
    held = np.choose(space, [5000 + n, 1000 + n, 2000 + n]) + 10000
    np.testing.assert_array_equal(done.arrays["out"], held + np.choose(space, [300000, 100000, 200000]))
    np.testing.assert_array_equal(done.arrays["there"], 5000 + n + np.where(space == 0, 10000, 0))
    loads = {a.space: a.lanes for a in done.accesses if a.instruction.name == "ld.u32"}
    assert loads == {"global": 32, "shared": 32, "local": 32}


MODULE = """
.const .align 4 .u32 primes[5] = {2, 3, 5, 7, 11};
.const .align 8 .f64 halves[2] = {0d3FE0000000000000, 0d3FF8000000000000};
.global .align 4 .u32 words[3] = {100, 200, 300};
.global .align 8 .u64 pointers[2] = {generic(words), generic(words)+8};
.global .align 1 .b8 text[4] = {65, 66, 67, 0};
.global .align 4 .u32 zeros[8];
"""


def test_const_memory_and_variables_with_what_they_begin_with():
    body = """
        rem.u32 %r4, %r1, 5; mov.u64 %rd5, primes; mad.wide.u32 %rd5, %r4, 4, %rd5; ld.const.u32 %r10, [%rd5];
        ld.const.u32 %r11, [primes+8]; mad.lo.u32 %r10, %r11, 1000, %r10;
        ld.global.u64 %rd6, [pointers+8]; ld.u32 %r12, [%rd6]; mad.lo.u32 %r10, %r12, 10000, %r10;
        ld.global.u8 %r13, [text+1]; add.u32 %r10, %r10, %r13;
        ld.const.f64 %fd1, [halves+8]; add.f64 %fd1, %fd1, %fd1; cvt.rzi.u32.f64 %r14, %fd1;
        add.u32 %r10, %r10, %r14;
        ld.global.u32 %r15, [zeros+28]; add.u32 %r10, %r10, %r15;
        mov.u64 %rd7, words; cvta.global.u64 %rd7, %rd7; ld.u32 %r16, [%rd7+4]; add.u32 %r10, %r10, %r16;
    """
    done = launch(MINE + body + STORE, module=MODULE, out=ints(32))
    assert not done.findings
    primes = np.array([2, 3, 5, 7, 11])[np.arange(32) % 5]
    np.testing.assert_array_equal(done.arrays["out"], primes + 5000 + 3000000 + 66 + 3 + 200)


def test_a_variable_is_seen_by_all_blocks():
    body = "mov.u64 %rd5, zeros; atom.global.add.u32 %r10, [%rd5], 1;"
    done = launch(MINE + body + STORE, module=MODULE, out=ints(320), grid=10)
    assert sorted(done.arrays["out"]) == list(range(320))


def test_a_variable_ends_where_it_ends():
    done = launch(MINE + "ld.global.u32 %r10, [words+12];" + STORE, module=MODULE, out=ints(32))
    assert [found.kind for found in done.findings] == ["out of bounds"]
    assert done.findings[0].near == "byte 12 of words, which has 12"


def test_local_memory_is_each_threads_own():
    """An array indexed by data: the digits of a number, read backwards."""
    body = """
        .local .align 4 .b8 digits[16];
        mov.u64 %rd5, digits;
        mov.u32 %r4, %r0; mov.u32 %r5, 0;
        split:
        rem.u32 %r6, %r4, 10; div.u32 %r4, %r4, 10;
        mad.wide.u32 %rd6, %r5, 4, %rd5; st.local.u32 [%rd6], %r6;
        add.u32 %r5, %r5, 1;
        setp.ne.u32 %p1, %r4, 0; @%p1 bra split;
        mov.u32 %r10, 0; mov.u32 %r7, 0;
        join:
        mad.wide.u32 %rd6, %r7, 4, %rd5; ld.local.u32 %r6, [%rd6];
        mad.lo.u32 %r10, %r10, 10, %r6;
        add.u32 %r7, %r7, 1;
        setp.lt.u32 %p1, %r7, %r5; @%p1 bra join;
    """
    done = launch(MINE + body + STORE, out=ints(320), block=64, grid=5)
    assert not done.findings
    assert done.arrays["out"].tolist() == [int(str(n)[::-1]) for n in range(320)]


def test_local_memory_ends_where_it_ends():
    body = ".local .align 4 .b8 mine[32]; mov.u64 %rd5, mine; st.local.u32 [%rd5+{}], %r1; mov.u32 %r10, 0;"
    for offset, kinds in ((28, []), (32, ["out of bounds"]), (-4, ["out of bounds"]), (2, ["misaligned"])):
        done = launch(MINE + body.format(offset) + STORE, out=ints(64), block=64)
        assert [found.kind for found in done.findings] == kinds, offset


@pytest.mark.parametrize(
    ("kind", "registers"),
    [
        ("v2.b32", "%r20 %r21"),
        ("v4.b32", "%r20 %r21 %r22 %r23"),
        ("v2.f32", "%f1 %f2"),
        ("v4.f32", "%f1 %f2 %f3 %f4"),
        ("v8.f32", "%f1 %f2 %f3 %f4 %f5 %f6 %f7 %f8"),
        ("v8.b32", "%r20 %r21 %r22 %r23 %r24 %r25 %r26 %r27"),
        ("v2.b64", "%rd20 %rd21"),
        ("v4.b64", "%rd20 %rd21 %rd22 %rd23"),
        ("v2.f64", "%fd1 %fd2"),
        ("v4.f64", "%fd1 %fd2 %fd3 %fd4"),
        ("v2.b16", "%h1 %h2"),
        ("v4.u16", "%h1 %h2 %h3 %h4"),
        ("v4.u8", "%h1 %h2 %h3 %h4"),
        ("b64", "%rd20"),
    ],
)
@pytest.mark.parametrize("space", ["global", "shared", "generic"])
def test_vectors(kind, registers, space):
    """Each thread copies its bytes, by way of shared memory or not, in reverse order of threads."""
    parts, element = len(registers.split()), int(kind.rpartition(".")[2][1:]) // 8
    width = parts * element
    value = "{" + registers.replace(" ", ", ") + "}" if parts > 1 else registers
    suffix = "" if space == "generic" else ".global"
    body = f"""
        ld.param.u64 %rd1, [given]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd1, %r1, {width}, %rd1;
        ld.param.u64 %rd2, [out]; sub.u32 %r2, 63, %r1; mad.wide.u32 %rd2, %r2, {width}, %rd2;
        ld{suffix}.{kind} {value}, [%rd1];
    """
    if space == "shared" and width > 16:
        pytest.skip("no such access: shared memory takes 128 bits at most")
    if space == "shared":
        body += f"""
            mov.u32 %r5, s; mad.lo.u32 %r6, %r1, {width}, %r5; st.shared.{kind} [%r6], {value};
            bar.sync 0;
            ld.shared.{kind} {value}, [%r6];
        """
    given = np.random.default_rng(8).integers(0, 256, 64 * width, np.uint8)
    done = launch(
        body + f"st{suffix}.{kind} [%rd2], {value}; ret;",
        module=".shared .align 32 .b8 s[2048];",
        given=given,
        out=np.zeros_like(given),
        block=64,
    )
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"].reshape(64, width), given.reshape(64, width)[::-1])
    load = done.accesses[0]
    assert (load.width, load.lanes, load.requests) == (width, 64, 2)
    assert load.sectors == load.ideal_sectors == 64 * width // 32


def test_a_vector_is_aligned_to_all_of_itself():
    for offset, kinds in ((8, ["misaligned"]), (16, ["misaligned"]), (32, [])):
        body = f"ld.param.u64 %rd1, [given]; ld.global.v4.f64 {{%fd1, %fd2, %fd3, %fd4}}, [%rd1+{offset}];"
        done = launch(body + "ret;", given=np.zeros(64, np.uint8))
        assert [found.kind for found in done.findings] == kinds, offset


@pytest.mark.parametrize("register", ["%h1", "%r10", "%rd10"])
@pytest.mark.parametrize("kind", ["u8", "s8", "b8", "u16", "s16", "b16", "u32", "s32"])
def test_words_narrower_than_their_register(kind, register):
    """A load fills the register as the type's sign says; a store takes the low bits."""
    size, wide = int(kind[1:]) // 8, {"%h1": 2, "%r10": 4, "%rd10": 8}[register]
    if size > wide:
        pytest.skip("a register narrower than the type")
    body = f"""
        ld.param.u64 %rd1, [given]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd1, %r1, {size}, %rd1;
        ld.param.u64 %rd2, [out]; mad.wide.u32 %rd2, %r1, {wide}, %rd2;
        ld.param.u64 %rd3, [back]; mad.wide.u32 %rd3, %r1, {size}, %rd3;
        ld.global.{kind} {register}, [%rd1];
        st.global.b{8 * wide} [%rd2], {register};
        st.global.{kind} [%rd3], {register};
        ret;
    """
    dtype = f"{'i' if kind[0] == 's' else 'u'}{size}"
    given = np.random.default_rng(9).integers(0, 256, 32 * size, np.uint8).view(dtype)
    done = launch(body, given=given, out=np.zeros(32, f"u{wide}"), back=np.zeros_like(given))
    np.testing.assert_array_equal(done.arrays["out"], given.astype(f"{dtype[0]}{wide}").view(f"u{wide}"))
    np.testing.assert_array_equal(done.arrays["back"], given)


def test_parameters_that_are_structs():
    """struct { char a; short b; int c; double d; float e[3]; }, a pointer and a byte."""
    struct = np.zeros(
        1, [("a", "i1"), ("_", "i1"), ("b", "i2"), ("c", "i4"), ("d", "f8"), ("e", "f4", 3), ("__", "i4")]
    )
    struct["a"], struct["b"], struct["c"], struct["d"], struct["e"] = -3, -300, 70000, 2.5, [1, 2, 3]
    body = """
        ld.param.s8 %r1, [s]; ld.param.s16 %r2, [s+2]; ld.param.s32 %r3, [s+4]; ld.param.f64 %fd1, [s+8];
        ld.param.v2.f32 {%f1, %f2}, [s+16]; ld.param.f32 %f3, [s+24]; ld.param.u8 %r5, [flag];
        add.s32 %r4, %r1, %r2; add.s32 %r4, %r4, %r3; add.s32 %r4, %r4, %r5;
        fma.rn.f32 %f3, %f3, %f2, %f1; cvt.f64.f32 %fd2, %f3; add.f64 %fd1, %fd1, %fd2;
        ld.param.u64 %rd1, [out]; st.global.f64 [%rd1], %fd1; st.global.s32 [%rd1+8], %r4;
        ret;
    """
    kernel = kernel_of(body, ".param .u8 flag, .param .align 8 .b8 s[32], .param .u64 out")
    out = np.zeros(1, [("d", "f8"), ("i", "i4")])
    done = run(
        kernel,
        1,
        1,
        [Argument("flag", 200), Argument("s", struct.tobytes()), Argument("out", out.view("u1"))],
    )
    assert not done.findings
    assert done.arrays["out"].view(out.dtype)[0].item() == (2.5 + 7, -3 - 300 + 70000 + 200)


def test_a_parameter_ends_where_it_ends():
    kernel = kernel_of("ld.param.u64 %rd1, [s+8]; ret;", ".param .align 8 .b8 s[12]")
    with pytest.raises(NotCoveredError, match="behind its end"):
        run(kernel, 1, 1, [Argument("s", bytes(12))])


def test_dynamic_shared_memory_lies_behind_the_static():
    module = """
        .extern .shared .align 16 .b8 dynamic[];
        .shared .align 4 .b8 first[20];
        .shared .align 1 .b8 second[3];
    """
    body = """
        mov.u32 %r4, dynamic; mov.u32 %r5, first; mov.u32 %r6, second;
        mad.lo.u32 %r7, %r1, 4, %r4; st.shared.u32 [%r7], %r1;
        setp.lt.u32 %p1, %r1, 5; mad.lo.u32 %r8, %r1, 4, %r5; mov.u32 %r9, -1; @%p1 st.shared.u32 [%r8], %r9;
        setp.lt.u32 %p2, %r1, 3; add.u32 %r8, %r6, %r1; @%p2 st.shared.u8 [%r8], %r9;
        bar.sync 0;
        ld.shared.u32 %r10, [%r7];
        and.b32 %r11, %r4, 15; mad.lo.u32 %r10, %r11, 1000, %r10;
        mov.u32 %r12, %dynamic_smem_size; mad.lo.u32 %r10, %r12, 1000, %r10;
    """
    done = launch(MINE + body + STORE, module=module, out=ints(256), block=64, grid=4, shared=256)
    assert not done.findings
    np.testing.assert_array_equal(done.arrays["out"], 256000 + np.arange(256) % 64)
    short = launch(MINE + body + STORE, module=module, out=ints(256), block=64, grid=4, shared=252)
    # Lane 63's word of each block lies behind the end: the store, and then the load.
    assert [(found.kind, found.count, found.thread[0]) for found in short.findings] == [
        ("out of bounds", 4, 63)
    ] * 2


def test_shared_memory_is_each_blocks_own_and_new_in_each():
    """More blocks than run at once: what an earlier one left is not there."""
    body = "mov.u32 %r5, s; mad.lo.u32 %r6, %r1, 4, %r5; {} ld.shared.u32 %r10, [%r6];"
    module = ".shared .align 4 .b8 s[128];"
    done = launch(
        MINE + body.format("st.shared.u32 [%r6], %r2;") + STORE, module=module, out=ints(32 * 300), grid=300
    )
    np.testing.assert_array_equal(done.arrays["out"], np.arange(32 * 300) // 32)
    once = "setp.eq.u32 %p1, %r2, 0; @%p1 st.shared.u32 [%r6], %r2;"
    done = launch(MINE + body.format(once) + STORE, module=module, out=ints(32 * 300), grid=300)
    assert [(found.kind, found.count) for found in done.findings] == [("read before written", 32 * 299)]


def test_narrow_addresses_are_of_32_bits():
    """Shared addresses wrap around as 32-bit numbers do: an offset may be negative."""
    body = "mov.u32 %r5, s; add.u32 %r6, %r5, 64; st.shared.u32 [%r6+-64], %r1; ld.shared.u32 %r10, [%r5];"
    done = launch(MINE + body + STORE, module=".shared .align 4 .b8 s[64];", out=ints(32))
    assert not done.findings
    assert (done.arrays["out"] == 31).all()  # of lanes that write to one place the last wins


def test_a_const_array_that_is_not_there():
    done = launch(
        MINE + "mov.u64 %rd5, 4096; ld.const.u32 %r10, [%rd5];" + STORE, module=MODULE, out=ints(32)
    )
    assert [found.kind for found in done.findings] == ["out of bounds"]


def test_what_is_wider_than_its_space_takes():
    body = "mov.u32 %r5, s; ld.shared.v4.f64 {%fd1, %fd2, %fd3, %fd4}, [%r5]; ret;"
    with pytest.raises(NotCoveredError, match="more than 128 bits"):
        launch(body, module=".shared .align 32 .b8 s[64];", out=ints(1))
