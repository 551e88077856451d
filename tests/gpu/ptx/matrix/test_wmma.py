"""wmma against plain NumPy: fragments hold what lay in memory in any layout, and multiply to the product.

Which lane holds which element is nobody's business; that what is done to every element is done to the matrix
is.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.matrix import layouts
from tinytorch.gpu.ptx.matrix.mma import SUMS
from tinytorch.gpu.ptx.matrix.wmma import SHAPES, Move, move_of, product_of
from tinytorch.gpu.ptx.program import NotCoveredError

DTYPES = {"f16": np.float16, "f32": np.float32, "s32": np.int32, "f64": np.float64}
#: Registers of a lane by the ISA: of A, B, and of C as f16 where it can be, else of its other formats.
REGISTERS = {
    ("m16n16k16", "f16"): (8, 8, 4),
    ("m32n8k16", "f16"): (8, 8, 4),
    ("m8n32k16", "f16"): (8, 8, 4),
    ("m16n16k16", "bf16"): (4, 4, 8),
    ("m32n8k16", "bf16"): (8, 2, 8),
    ("m8n32k16", "bf16"): (2, 8, 8),
    ("m16n16k16", "s8"): (2, 2, 8),
    ("m32n8k16", "u8"): (4, 1, 8),
    ("m8n32k16", "s8"): (1, 4, 8),
    ("m16n16k8", "tf32"): (4, 4, 8),
    ("m8n8k32", "u4"): (1, 1, 2),
    ("m8n8k4", "f64"): (1, 1, 2),
}
KINDS = [
    (shape, a, d, (by_a, by_b))
    for a, shapes in SHAPES.items()
    for shape in sorted(shapes)
    for d in SUMS[a]
    for by_a in (("row",) if layouts.BITS[a] == 4 else ("row", "col"))
    for by_b in (("col",) if layouts.BITS[a] == 4 else ("row", "col"))
]


def named(shape: tuple[int, int, int]) -> str:
    return "m{}n{}k{}".format(*shape)


def moves(what: str, by: str, shape: tuple[int, int, int], kind: str) -> Move:
    action, _, matrix = what.partition(".")
    found = move_of(layouts.instruction(f"wmma.{action}.{matrix}.sync.aligned.{by}.{named(shape)}.{kind}"))
    assert found is not None
    return found


def in_memory(codes: np.ndarray, by: str, stride: int, kind: str) -> np.ndarray:
    """A matrix as bytes, element by element: rows, or columns, that are `stride` elements apart."""
    lines = codes if by == "row" else codes.T
    memory, bits = 0, layouts.BITS[kind]
    for i, line in enumerate(lines):
        for j, code in enumerate(line):
            memory |= int(code) << (bits * (i * stride + j))
    return np.frombuffer(memory.to_bytes(len(lines) * stride * bits // 8, "little"), "u1")


def pieces(move: Move, memory: np.ndarray, stride: int) -> np.ndarray:
    places = move.offsets(np.array([stride]))[0]
    return np.stack([memory[place : place + move.piece] for place in places])[None].copy().view("u4")


def loaded(what: str, by: str, shape: tuple, kind: str, codes: np.ndarray, more: int) -> tuple:
    move = moves(what, by, shape, kind)
    stride = codes.shape[1 if by == "row" else 0] + more * 128 // layouts.BITS[kind]
    return move.take(pieces(move, in_memory(codes, by, stride, kind), stride))


def accumulator(registers: tuple[np.ndarray, ...], shape: tuple, kind: str, by: str = "row") -> np.ndarray:
    """What a store of the registers leaves in memory, as a matrix."""
    m, n, _ = shape
    move = moves("store.d", by, shape, kind)
    bits = tuple(register.view(move.fragment.dtype) for register in registers)
    memory = np.zeros(m * n * layouts.BITS[kind] // 8, "u1")
    places = move.offsets(np.array([move.stride]))[0]
    for place, piece in zip(places, move.give(bits)[0], strict=True):
        memory[place : place + move.piece] = piece.view("u1")
    found = memory.view(DTYPES[kind])
    return found.reshape(m, n) if by == "row" else found.reshape(n, m).T


def product(shape: tuple, a: str, d: str, c: str | None = None, option: str = ""):
    kinds = [d, c or d] if a == "f16" else [d, a, a, c or d]
    found = product_of(
        layouts.instruction(f"wmma.mma.sync.aligned.row.col.{named(shape)}.{'.'.join(kinds)}{option}")
    )
    assert found is not None
    return found


def random(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if kind == "s32":
        return rng.integers(-(2**20), 2**20, shape, dtype="i4")
    return rng.standard_normal(shape).astype("f2").astype(DTYPES[kind])


def codes_of(numbers: np.ndarray) -> np.ndarray:
    return numbers.view(f"u{numbers.itemsize}")


@pytest.mark.parametrize(("shape", "a", "d", "by"), KINDS)
def test_what_is_loaded_is_multiplied_and_stored(shape, a, d, by):
    m, n, k = shape
    rng = np.random.default_rng(5)
    A, B, C = layouts.codes(rng, (m, k), a), layouts.codes(rng, (k, n), a), random(rng, (m, n), d)
    of_a = loaded("load.a", by[0], shape, a, A, more=1)
    of_b = loaded("load.b", by[1], shape, a, B, more=2)
    of_c = loaded("load.c", by[1], shape, d, codes_of(C), more=0)
    does = product(shape, a, d)
    sources = [array.view(dtype) for array, dtype in zip((*of_a, *of_b, *of_c), does.sources, strict=True)]
    found = does.apply(*sources)
    assert tuple(array.dtype for array in found) == does.results
    assert does.flops == 2 * m * n * k
    want = layouts.numbers(A, a) @ layouts.numbers(B, a) + C.astype("f8")
    close = {"f16": 2**-10, "f32": 2**-22, "f64": 2**-50, "s32": 0}[d]
    for layout in ("row", "col"):
        np.testing.assert_allclose(accumulator(found, shape, d, layout), want, rtol=close, atol=close)


@pytest.mark.parametrize(("which", "counts"), REGISTERS.items())
def test_fragments_have_as_many_registers_as_the_isa_says(which, counts):
    named_shape, kind = which
    sums = SUMS[kind][-1]
    for name, count in zip((f"load.a {kind}", f"load.b {kind}", f"load.c {sums}"), counts, strict=True):
        action, each = name.split()
        by = "col" if action == "load.b" else "row"
        move = move_of(layouts.instruction(f"wmma.{action}.sync.aligned.{by}.{named_shape}.{each}"))
        assert move.fragment.registers == count


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([(shape, a) for shape, a, d, _ in KINDS if d == SUMS[a][0] and layouts.BITS[a] > 4]),
    st.sampled_from("ab"),
    st.sampled_from(["row", "col"]),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_each_register_holds_elements_of_the_matrix_and_all_of_them(which, matrix, by, more, seed):
    """All elements differ, and each is held as often as the others."""
    (m, n, k), kind = which
    shape = (m, k) if matrix == "a" else (k, n)
    count = shape[0] * shape[1]
    bits = layouts.BITS[kind]
    codes = np.random.default_rng(seed).permutation(min(count, 1 << bits)).astype("u8")
    codes = np.resize(codes, shape)
    registers = loaded(f"load.{matrix}", by, which[0], kind, codes, more)
    held = np.stack(registers).view(f"u{bits // 8}")
    values, counts = np.unique(held, return_counts=True)
    expected, once = np.unique(codes, return_counts=True)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(counts, once * (held.size // count))


def test_what_is_done_to_every_element_is_done_to_the_matrix():
    shape, rng = (32, 8, 16), np.random.default_rng(6)
    A, B = (rng.standard_normal(side).astype("f2") for side in ((32, 16), (16, 8)))
    C, E = (rng.standard_normal((32, 8)).astype("f4") for _ in range(2))
    of_a, of_b = (
        loaded(f"load.{name}", "row", shape, "f16", codes_of(matrix), 0)
        for name, matrix in (("a", A), ("b", B))
    )
    of_c, of_e = (
        [r.view("f4") for r in loaded("load.c", by, shape, "f32", codes_of(matrix), 0)]
        for by, matrix in (("row", C), ("col", E))
    )
    doubled = [(2 * register.view("f2")).view("u4") for register in of_a]
    # The accumulators x[0], x[1], … of f32 are rounded to those of f16, which share registers by two.
    added = [c + e for c, e in zip(of_c, of_e, strict=True)]
    halves = [
        np.stack([low, high], axis=-1).astype("f2").view("u4")[..., 0]
        for low, high in zip(added[::2], added[1::2], strict=True)
    ]
    found = product(shape, "f16", "f32", c="f16").apply(*doubled, *of_b, *halves)
    want = 2 * A.astype("f8") @ B.astype("f8") + (C + E).astype("f2")
    np.testing.assert_allclose(accumulator(found, shape, "f32"), want, rtol=1e-6, atol=1e-6)


def test_a_saturating_product_is_clamped_and_another_wraps():
    shape = (16, 16, 16)
    ones, C = np.full((1, 32), 0x7F7F7F7F, "u4"), np.full((1, 32), 2**31 - 1, "i4")
    for option, want in ((".satfinite", 2**31 - 1), ("", 2**31 - 1 + 16 * 127 * 127 - 2**32)):
        found = product(shape, "s8", "s32", option=option).apply(*[ones] * 4, *[C] * 8)
        assert {int(value) for register in found for value in register.ravel()} == {want}


@pytest.mark.parametrize(
    "name",
    [
        "wmma.load.a.sync.aligned.row.m8n8k128.b1",
        "wmma.load.a.sync.aligned.col.m8n8k32.s4",
        "wmma.load.a.sync.aligned.row.m16n16k16.f32",
        "wmma.load.a.sync.aligned.row.m16n16k8.f16",
        "wmma.load.d.sync.aligned.row.m16n16k16.f32",
        "wmma.load.c.sync.aligned.diagonal.m16n16k16.f32",
        "wmma.load.c.sync.aligned.row.m16n16k16.local.f32",
        "wmma.load.c.sync.aligned.row.square.f32",
        "wmma.store.a.sync.aligned.row.m16n16k16.f16",
        "wmma.store.d.sync",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f32",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32.satfinite",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f16.bf16.f32",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f16.bf16.bf16.f16",
        "wmma.mma.sync.aligned.row.col.m8n8k4.f64.f64.f64.f64.rz",
        "wmma.mma.xor.popc.sync.aligned.row.col.m8n8k128.s32.b1.b1.s32",
        "wmma",
    ],
)
def test_what_is_not_covered_is_said(name):
    with pytest.raises(NotCoveredError, match="wmma"):
        _ = move_of(layouts.instruction(name)) or product_of(layouts.instruction(name))


def test_other_opcodes_are_left_to_others():
    other = layouts.instruction("mma.sync.aligned")
    assert move_of(other) is None
    assert product_of(other) is None
