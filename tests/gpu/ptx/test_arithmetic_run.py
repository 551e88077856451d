"""Arithmetic through whole kernels: carries that go on, doubles, halves, blocks in three dimensions."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import launch

#: %r0 the thread in the grid; %rd0, %rd1 and %rd2 its row of out, a and b, of `width` bytes.
BEGIN = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.s32 %r0, %r2, %r3, %r1;
    ld.param.u64 %rd0, [out]; mad.wide.u32 %rd0, %r0, {width}, %rd0;
    ld.param.u64 %rd1, [a]; mad.wide.u32 %rd1, %r0, {width}, %rd1;
    ld.param.u64 %rd2, [b]; mad.wide.u32 %rd2, %r0, {width}, %rd2;
"""


def run(body, a, b, width, block=32, grid=1):
    done = launch(
        BEGIN.format(width=width) + body + "ret;", out=np.zeros_like(a), a=a, b=b, block=block, grid=grid
    )
    assert not done.findings
    return done.arrays["out"]


def wide_numbers(rng, words):
    """Return rows of 32-bit words, many of all ones or zeros, so that carries run far."""
    drawn = rng.integers(0, 2**32, (96, words), np.uint32)
    return np.where(
        rng.random(drawn.shape) < 0.6, rng.choice(np.array([0, 2**32 - 1], np.uint32), drawn.shape), drawn
    )


def number(row):
    return sum(int(word) << 32 * i for i, word in enumerate(row))


LOAD = "".join(
    f"ld.global.v4.u32 {{%r{10 + 10 * i}, %r{11 + 10 * i}, %r{12 + 10 * i}, %r{13 + 10 * i}}}, [%rd{1 + i}];"
    for i in range(2)
)
SAVE = "st.global.v4.u32 [%rd0], {%r30, %r31, %r32, %r33};"


@pytest.mark.parametrize("operation", ["add", "sub"])
def test_sums_of_128_bits(operation):
    """With other instructions in between, which leave the carry alone."""
    body = f"""
        {operation}.cc.u32 %r30, %r10, %r20;
        setp.lt.u32 %p1, %r10, %r20; xor.b32 %r40, %r10, %r20;
        {operation}c.cc.u32 %r31, %r11, %r21;
        @%p1 add.u32 %r41, %r40, %r40;
        {operation}c.cc.u32 %r32, %r12, %r22;
        {operation}c.u32 %r33, %r13, %r23;
    """
    rng = np.random.default_rng(1)
    a, b = wide_numbers(rng, 4), wide_numbers(rng, 4)
    found = run(LOAD + body + SAVE, a, b, 16, grid=3)
    for row, x, y in zip(found, a, b, strict=True):
        total = number(x) + number(y) if operation == "add" else number(x) - number(y)
        assert number(row) == total % 2**128


def test_lanes_carry_each_for_itself_and_keep_it_when_left_out():
    """Every other lane leaves the second addition out: its carry is still that of the first."""
    body = """
        and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 0;
        mov.u32 %r31, 0; mov.u32 %r33, 0;
        add.cc.u32 %r30, %r10, %r20;
        @%p1 addc.cc.u32 %r31, %r11, %r21;
        addc.u32 %r32, %r12, %r22;
    """
    rng = np.random.default_rng(2)
    a, b = wide_numbers(rng, 4), wide_numbers(rng, 4)
    found = run(LOAD + body + SAVE, a, b, 16, grid=3)
    for lane, (row, x, y) in enumerate(zip(found, a.tolist(), b.tolist(), strict=True)):
        carry = (x[0] + y[0]) >> 32
        if lane % 2 == 0:
            carry = (x[1] + y[1] + carry) >> 32
        assert row[2] == (x[2] + y[2] + carry) % 2**32


def test_a_product_of_64_bits_by_parts():
    """Four products of 32 bits, summed with their carries: all 128 bits of it."""
    body = """
        mul.lo.u32 %r30, %r10, %r20;
        mul.hi.u32 %r31, %r10, %r20;
        mad.lo.cc.u32 %r31, %r10, %r21, %r31;
        madc.hi.u32 %r32, %r10, %r21, 0;
        mad.lo.cc.u32 %r31, %r11, %r20, %r31;
        madc.hi.cc.u32 %r32, %r11, %r20, %r32;
        addc.u32 %r33, 0, 0;
        mad.lo.cc.u32 %r32, %r11, %r21, %r32;
        madc.hi.u32 %r33, %r11, %r21, %r33;
    """
    rng = np.random.default_rng(3)
    a, b = wide_numbers(rng, 4), wide_numbers(rng, 4)
    found = run(LOAD + body + SAVE, a, b, 16, grid=3)
    for row, x, y in zip(found, a, b, strict=True):
        assert number(row) == number(x[:2]) * number(y[:2])


def test_a_polynomial_in_doubles():
    """Horner's rule for exp, with fused steps: within two units in the last place of NumPy's."""
    one = "mov.f64 %fd2, 0d3FF0000000000000; mov.f64 %fd3, %fd2;"
    steps = "".join(
        f"div.rn.f64 %fd4, %fd1, 0d{np.float64(k).view(np.uint64):016X}; fma.rn.f64 %fd3, %fd3, %fd4, %fd2;"
        for k in range(20, 0, -1)
    )
    body = f"ld.global.f64 %fd1, [%rd1]; {one} {steps} st.global.f64 [%rd0], %fd3;"
    a = np.linspace(-1, 1, 96)
    np.testing.assert_allclose(run(body, a, a, 8, grid=3), np.exp(a), rtol=2 * 2**-52)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("add.rn.f64 %fd3, %fd1, %fd2;", lambda a, b: a + b),
        ("sub.f64 %fd3, %fd1, %fd2;", lambda a, b: a - b),
        ("mul.f64 %fd3, %fd1, %fd2;", lambda a, b: a * b),
        ("div.rn.f64 %fd3, %fd1, %fd2;", lambda a, b: a / b),
        ("abs.f64 %fd3, %fd1; sqrt.rn.f64 %fd3, %fd3;", lambda a, b: np.sqrt(np.abs(a))),
        ("max.f64 %fd3, %fd1, %fd2;", np.fmax),
        ("setp.lt.f64 %p1, %fd1, %fd2; selp.f64 %fd3, %fd1, %fd2, %p1;", lambda a, b: np.where(a < b, a, b)),
        ("cvt.rn.f32.f64 %f1, %fd1; cvt.f64.f32 %fd3, %f1;", lambda a, b: a.astype("f4").astype("f8")),
        ("cvt.rzi.s32.f64 %r4, %fd1; cvt.rn.f64.s32 %fd3, %r4;", lambda a, b: np.trunc(a)),
        ("mov.b64 {%r4, %r5}, %fd1; mov.b64 %fd3, {%r4, %r5};", lambda a, b: a),
    ],
)
def test_doubles(line, expected):
    a, b = np.random.default_rng(4).standard_normal((2, 96)) * 100
    found = run(
        f"ld.global.f64 %fd1, [%rd1]; ld.global.f64 %fd2, [%rd2]; {line} st.global.f64 [%rd0], %fd3;",
        a,
        b,
        8,
        grid=3,
    )
    np.testing.assert_array_equal(found, expected(a, b))


HALF = [
    ("add.{}", lambda a, b: a + b),
    ("sub.{}", lambda a, b: a - b),
    ("mul.{}", lambda a, b: a * b),
    ("min.{}", np.fmin),
    ("max.{}", np.fmax),
]


@pytest.mark.parametrize(("name", "expected"), HALF)
def test_halves(name, expected):
    """One by one, and two at once, are the same: NumPy's float16."""
    a, b = (np.random.default_rng(5).standard_normal((2, 192)) * 50).astype(np.float16)
    one = f"""
        ld.global.b16 %h1, [%rd1]; ld.global.b16 %h2, [%rd2];
        {name.format("f16")} %h3, %h1, %h2; st.global.b16 [%rd0], %h3;
    """
    np.testing.assert_array_equal(run(one, a, b, 2, block=96, grid=2), expected(a, b))
    two = f"""
        ld.global.b32 %r4, [%rd1]; ld.global.b32 %r5, [%rd2];
        {name.format("f16x2")} %r6, %r4, %r5; st.global.b32 [%rd0], %r6;
    """
    np.testing.assert_array_equal(run(two, a, b, 4, grid=3), expected(a, b))


def test_a_dot_product_in_halves():
    """fma.rn.f16x2 over rows of eight; rounded once a step."""
    body = LOAD + "mov.b32 %r30, 0;"
    body += "".join(f"fma.rn.f16x2 %r30, %r1{i}, %r2{i}, %r30;" for i in range(4))
    body += """
        mov.b32 {%h1, %h2}, %r30; add.f16 %h3, %h1, %h2; cvt.f32.f16 %f1, %h3;
        mov.u32 %r4, 0; mov.b32 %r5, %f1; st.global.v4.b32 [%rd0], {%r5, %r4, %r4, %r4};
    """
    a, b = np.random.default_rng(6).standard_normal((2, 64, 8)).astype(np.float16)
    found = run(body, a, b, 16, grid=2).view(np.float32)[:, 0]
    sums = np.zeros((64, 2), np.float16)
    for i in range(4):
        exact = a[:, 2 * i : 2 * i + 2].astype("f8") * b[:, 2 * i : 2 * i + 2] + sums
        sums = exact.astype(np.float16)
    np.testing.assert_array_equal(found, (sums[:, 0] + sums[:, 1]).astype(np.float32))


@pytest.mark.parametrize("block", [(8, 4, 4), (4, 4, 8), (16, 8, 1), (1, 2, 64), (3, 7, 5)])
def test_blocks_in_three_dimensions(block):
    """x runs fastest in a warp; each thread writes its place and its lane."""
    body = """
        ld.param.u64 %rd0, [out];
        mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z;
        mov.u32 %r4, %ntid.x; mov.u32 %r5, %ntid.y; mov.u32 %r6, %ntid.z;
        mov.u32 %r7, %ctaid.x; mad.lo.u32 %r8, %r7, %r6, %r3; mad.lo.u32 %r8, %r8, %r5, %r2;
        mad.lo.u32 %r8, %r8, %r4, %r1; mad.wide.u32 %rd0, %r8, 16, %rd0;
        mov.u32 %r9, %laneid; mov.u32 %r10, %warpid; mad.lo.u32 %r9, %r10, 100, %r9;
        st.global.v4.u32 [%rd0], {%r1, %r2, %r3, %r9};
        ret;
    """
    x, y, z = block
    done = launch(body, out=np.zeros((2, z, y, x, 4), np.int32), block=block, grid=2)
    assert not done.findings
    k, j, i = np.indices((z, y, x))
    thread = (k * y + j) * x + i
    expected = np.stack([i, j, k, thread // 32 * 100 + thread % 32], axis=-1)
    np.testing.assert_array_equal(done.arrays["out"], np.stack([expected] * 2))
    assert done.counters.active[0] == 2 * x * y * z
    assert done.counters.warps[0] == 2 * -(-x * y * z // 32)
