"""atom and red: what places hold in the end and what each lane found, as if one came after the other."""

import ml_dtypes
import numpy as np
import pytest

from tests.gpu.ptx.programs import ints, launch
from tinytorch.gpu.ptx.program import NotCoveredError

#: %r0 the thread in the grid, %r1 in the block; %rd3 its value, %rd4 its result, %rd5 one of the places.
BEGIN = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
    mad.lo.s32 %r0, %r2, %r3, %r1;
    ld.param.u64 %rd3, [given]; mad.wide.u32 %rd3, %r0, {size}, %rd3;
    ld.param.u64 %rd4, [found]; mad.wide.u32 %rd4, %r0, {size}, %rd4;
    rem.u32 %r4, %r0, {places};
    ld.param.u64 %rd5, [places]; mad.wide.u32 %rd5, %r4, {size}, %rd5;
    ld.global.b{bits} {value}, [%rd3];
"""
SHARED = """
    mov.u32 %r5, s; mad.lo.u32 %r6, %r4, {size}, %r5;
    cvt.u64.u32 %rd6, %r6; cvta.shared.u64 %rd7, %rd6;
    setp.lt.u32 %p1, %r1, {places};
    @%p1 ld.global.b{bits} {result}, [%rd5];
    @%p1 st.shared.b{bits} [%r6], {result};
    bar.sync 0;
"""
BACK = """
    bar.sync 0;
    @%p1 ld.shared.b{bits} {result}, [%r6];
    @%p1 st.global.b{bits} [%rd5], {result};
"""
#: How a place is named in the text, by where it lies and how it is pointed to.
WHERE = {
    "global": (".global", "%rd5"),
    "generic": ("", "%rd5"),
    "shared": (".shared", "%r6"),
    "generic shared": ("", "%rd7"),
}
REGISTERS = {2: ("%h1", "%h2"), 4: ("%r10", "%r11"), 8: ("%rd10", "%rd11")}


def run(operation, kind, where, given, places, atom=True, block=70, grid=2):
    """Run one atomic of each thread on the places in turn; return the places, and what each thread found."""
    size = given.itemsize
    value, result = REGISTERS[size]
    names = {"size": size, "bits": 8 * size, "places": len(places), "value": value, "result": result}
    space, address = WHERE[where]
    operands = f"[{address}], {value}"
    if operation == "cas":
        operands = f"[{address}], 0, {value}"
    line = (
        f"atom{space}.{operation}.{kind} {result}, {operands};"
        if atom
        else f"red{space}.{operation}.{kind} {operands};"
    )
    shared = "shared" in where
    body = BEGIN + (SHARED if shared else "") + line.replace("{", "{{").replace("}", "}}")
    body += f"\n    st.global.b{{bits}} [%rd4], {result};\n" if atom else ""
    body += BACK if shared else ""
    done = launch(
        body.format(**names) + "ret;",
        module=".shared .align 16 .b8 s[64];",
        grid=1 if shared else grid,
        block=block,
        given=given,
        found=np.zeros_like(given),
        places=places,
    )
    assert done.complete and not done.findings, [str(found) for found in done.findings]
    threads = block * (1 if shared else grid)
    return done.arrays["places"], done.arrays["found"][:threads]


def in_turn(change, given, places):
    """Return the places and what each found, one thread after the other."""
    places, found = places.copy(), np.zeros_like(given)
    with np.errstate(over="ignore"):
        for thread, value in enumerate(given):
            place = thread % len(places)
            found[thread] = places[place]
            places[place] = change(places[place], value)
    return places, found


CHANGES = {
    "add": lambda old, value: old + value,
    "min": min,
    "max": max,
    "and": lambda old, value: old & value,
    "or": lambda old, value: old | value,
    "xor": lambda old, value: old ^ value,
    "exch": lambda old, value: value,
    "cas": lambda old, value: value if old == 0 else old,
    "inc": lambda old, value: 0 if old >= value else old + 1,
    "dec": lambda old, value: value if old == 0 or old > value else old - 1,
}
INTEGERS = [
    *((operation, kind) for operation in ("min", "max") for kind in ("u32", "s32", "u64", "s64")),
    *(("add", kind) for kind in ("u32", "s32", "u64")),
    *((operation, kind) for operation in ("and", "or", "xor", "exch", "cas") for kind in ("b32", "b64")),
    *(("inc", "u32"), ("dec", "u32"), ("cas", "b16"), ("exch", "b32")),
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("operation", "kind"), INTEGERS)
def test_integers(operation, kind, where):
    rng = np.random.default_rng(3)
    dtype = f"{'i' if kind[0] == 's' else 'u'}{int(kind[1:]) // 8}"
    limits = np.iinfo(dtype)
    given = rng.integers(limits.min, limits.max, 140, dtype, endpoint=True)
    places = np.array([0, limits.max, 5], dtype)
    if operation in ("inc", "dec"):
        given, places = rng.integers(0, 9, 140).astype(dtype), np.array([0, 7, 3], dtype)
    threads = 70 if "shared" in where else 140
    after, found = run(operation, kind, where, given, places)
    expected, each = in_turn(CHANGES[operation], given[:threads], places)
    np.testing.assert_array_equal(found, each)
    np.testing.assert_array_equal(after, expected)
    again, _ = (
        run(operation, kind, where, given, places, atom=False)
        if operation not in ("exch", "cas")
        else (after, 0)
    )
    np.testing.assert_array_equal(again, expected)


HALVES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_sums_of_floats(kind, where):
    dtype = HALVES.get(kind) or np.dtype(kind.replace("f32", "f4").replace("f64", "f8")).type
    given = np.random.default_rng(4).standard_normal(140).astype(dtype)
    places = np.array([0, 1, -2], dtype)
    operation = "add.noftz" if kind in HALVES else "add"
    bits = f"u{given.itemsize}"
    after, found = run(operation, kind, where, given.view(bits), places.view(bits))
    expected, each = in_turn(CHANGES["add"], given[: len(found)], places)
    np.testing.assert_array_equal(found, each.view(bits))
    np.testing.assert_array_equal(after, expected.view(bits))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["f16x2", "bf16x2"])
def test_sums_of_packed_halves(kind, where):
    dtype = HALVES[kind[:-2]]
    given = np.random.default_rng(5).standard_normal((140, 2)).astype(dtype)
    places = np.arange(6).reshape(3, 2).astype(dtype)
    after, found = run("add.noftz", kind, where, given.view("u4")[:, 0], places.view("u4")[:, 0])
    halves = [in_turn(CHANGES["add"], given[: len(found), half], places[:, half]) for half in range(2)]
    np.testing.assert_array_equal(after, np.stack([h[0] for h in halves], 1).view("u4")[:, 0])
    np.testing.assert_array_equal(found, np.stack([h[1] for h in halves], 1).view("u4")[:, 0])


def test_what_lanes_find_in_one_place_is_a_counter():
    _, found = run(
        "add", "u32", "global", np.ones(192, np.uint32), ints(1).astype(np.uint32), block=64, grid=3
    )
    assert sorted(found) == list(range(192))


def test_vectors_of_floats():
    body = """
        ld.param.u64 %rd0, [out]; ld.param.u64 %rd1, [sums];
        mov.u32 %r1, %tid.x; cvt.rn.f32.u32 %f1, %r1; mov.f32 %f2, 0f3F800000;
        atom.global.add.v2.f32 {%f3, %f4}, [%rd1], {%f1, %f2};
        red.global.add.v4.f32 [%rd1+16], {%f1, %f2, %f1, %f2};
        mad.wide.u32 %rd0, %r1, 8, %rd0;
        st.global.v2.f32 [%rd0], {%f3, %f4};
        ret;
    """
    done = launch(body, out=np.zeros((32, 2), np.float32), sums=np.zeros(8, np.float32))
    assert not done.findings
    assert done.arrays["sums"].tolist() == [496, 32, 0, 0, 496, 32, 496, 32]
    lanes = np.arange(32)
    np.testing.assert_array_equal(done.arrays["out"], np.stack([lanes * (lanes - 1) // 2, lanes], 1))


def test_a_register_of_a_vector_that_is_both_source_and_result():
    body = """
        ld.param.u64 %rd1, [sums];
        mov.f32 %f1, 0f3F800000; mov.f32 %f2, 0f40000000;
        atom.global.add.v2.f32 {%f1, %f2}, [%rd1], {%f2, %f1};
        st.global.v2.f32 [%rd1+8], {%f1, %f2};
        ret;
    """
    done = launch(body, sums=np.array([5, 6, 0, 0], np.float32), block=1)
    assert done.arrays["sums"].tolist() == [7, 7, 5, 6]


def test_a_vector_is_aligned_as_a_whole():
    body = (
        "ld.param.u64 %rd1, [sums]; mov.f32 %f1, 0f3F800000; red.global.add.v2.f32 [%rd1+4], {%f1, %f1}; ret;"
    )
    done = launch(body, sums=np.zeros(4, np.float32))
    assert [found.kind for found in done.findings] == ["misaligned"]
    assert not done.arrays["sums"].any()


def test_only_lanes_whose_guard_holds():
    body = """
        ld.param.u64 %rd1, [sum]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 3; setp.eq.u32 %p1, %r2, 1;
        @%p1 red.global.add.u32 [%rd1], 1;
        @!%p1 red.global.add.u32 [%rd1], 100;
        ret;
    """
    done = launch(body, sum=ints(1), block=48)
    assert done.arrays["sum"][0] == 12 + 3600
    assert [access.lanes for access in done.accesses] == [12, 36]


def test_a_product_by_compare_and_swap():
    """All lanes try at once, one gets through, the others see that and try again."""
    body = """
        ld.param.u64 %rd1, [product]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 7; shl.b32 %r2, %r2, 1;
        add.u32 %r2, %r2, 3;
        ld.global.u32 %r3, [%rd1];
        again:
        mov.u32 %r4, %r3;
        mul.lo.u32 %r5, %r4, %r2;
        atom.global.cas.b32 %r3, [%rd1], %r4, %r5;
        setp.ne.u32 %p1, %r3, %r4;
        @%p1 bra again;
        ret;
    """
    done = launch(body, product=np.array([7], np.uint32), block=96, grid=2)
    expected = 7
    for thread in range(192):
        expected = expected * (2 * (thread % 8) + 3) % 2**32
    assert done.arrays["product"][0] == expected
    assert done.accesses[1].requests > 32


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("red.global.add.u32 [%rd1+4], 1;", "out of bounds"),
        ("red.global.add.u32 [%rd1+2], 1;", "misaligned"),
        ("atom.global.add.u64 %rd2, [%rd1], 1;", "out of bounds"),
        ("mov.u32 %r1, s; red.shared.add.u32 [%r1], 1;", "read before written"),
    ],
)
def test_atomics_are_checked(line, kind):
    body = f"ld.param.u64 %rd1, [sum]; {line} ret;"
    done = launch(body, module=".shared .align 4 .b8 s[64];", sum=ints(1))
    assert kind in [found.kind for found in done.findings]
    assert done.arrays["sum"][0] == 0


@pytest.mark.parametrize(
    "line",
    [
        "red.global.mul.u32 [%rd1], 1;",
        "red.global.and.f32 [%rd1], %f1;",
    ],
)
def test_what_there_is_not(line):
    with pytest.raises(NotCoveredError):
        launch(f"ld.param.u64 %rd1, [sum]; {line} ret;", sum=ints(1))


def test_sums_of_floats_in_global_memory_have_no_subnormal_numbers_and_in_shared_memory_have():
    tiny, least = np.float32(1e-40), np.float32(1.5e-38)
    body = """
        ld.param.u64 %rd1, [out];
        ld.param.u64 %rd2, [x];
        ld.global.f32 %f1, [%rd2];
        ld.global.f32 %f2, [%rd1+4];
        st.shared.f32 [s], %f2;
        atom.global.add.f32 %f3, [%rd1], %f1;
        atom.shared.add.f32 %f3, [s], %f1;
        ld.shared.f32 %f4, [s];
        st.global.f32 [%rd1+4], %f4;
        ret;
    """
    module = ".shared .align 4 .b8 s[4];"
    start = np.array([least, least], np.float32)
    done = launch(body, block=1, module=module, out=start, x=np.array([tiny], np.float32))
    assert done.arrays["out"].tolist() == [least, least + tiny]
