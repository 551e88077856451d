"""mma.sync against the PTX ISA's layouts, applied element by element, and a product in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.matrix import layouts
from tinytorch.gpu.ptx.matrix import fragments
from tinytorch.gpu.ptx.matrix.formats import values
from tinytorch.gpu.ptx.matrix.mma import SHAPES, SUMS, Mma, mma_of
from tinytorch.gpu.ptx.program import NotCoveredError

KINDS = [
    (shape, a, b, d)
    for a, shapes in SHAPES.items()
    for shape in sorted(shapes)
    for b in {"s8": ("s8", "u8"), "u8": ("s8", "u8"), "s4": ("s4", "u4"), "e4m3": ("e4m3", "e5m2")}.get(
        a, (a,)
    )
    for d in SUMS[a]
]


def covered(shape: tuple[int, int, int], a: str, b: str, d: str, option: str = "") -> Mma:
    m, n, k = shape
    found = mma_of(layouts.instruction(f"mma.sync.aligned.m{m}n{n}k{k}.row.col{option}.{d}.{a}.{b}.{d}"))
    assert found is not None
    return found


def warp(
    rng: np.random.Generator, shape: tuple[int, int, int], a: str, b: str, d: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """The registers of one warp with random matrices, and what D should be but for rounding."""
    m, n, k = shape
    key = f"m{m}n{n}k{k} {layouts.BITS[a]}"
    A, B = layouts.codes(rng, (m, k), a), layouts.codes(rng, (k, n), b)
    C = rng.integers(-(2**20), 2**20, (m, n)) if d == "s32" else rng.standard_normal((m, n)).astype("f2")
    whole = {"f16": "u2", "f32": "u4", "s32": "u4", "f64": "u8"}[d]
    in_bits = C.astype({"f16": "f2", "f32": "f4", "s32": "i4", "f64": "f8"}[d]).view(whole)
    registers = [
        *layouts.fragment(A, layouts.A[key], a, m * k // 32),
        *layouts.fragment(B, layouts.B[key], b, n * k // 32),
        *layouts.fragment(in_bits, layouts.accumulator, d, m * n // 32),
    ]
    return registers, layouts.numbers(A, a) @ layouts.numbers(B, b) + C.astype("f8")


def result(registers: tuple[np.ndarray, ...], warp: int, shape: tuple[int, int, int], d: str) -> np.ndarray:
    m, n, _ = shape
    matrix = np.empty((m, n))
    for lane in range(32):
        held = np.array([register[warp, lane] for register in registers])
        elements = held.view("f2") if d == "f16" else held
        for i, element in enumerate(elements):
            matrix[layouts.accumulator(lane // 4, lane % 4, i)] = element
    return matrix


@pytest.mark.parametrize(("shape", "a", "b", "d"), KINDS)
def test_the_layouts_are_those_of_the_isa(shape: tuple[int, int, int], a: str, b: str, d: str) -> None:
    rng = np.random.default_rng(7)
    does = covered(shape, a, b, d)
    warps = [warp(rng, shape, a, b, d) for _ in range(3)]
    sources = [np.stack(register) for register in zip(*(registers for registers, _ in warps), strict=True)]
    assert len(sources) == len(does.sources)
    got = does.apply(*(array.view(dtype) for array, dtype in zip(sources, does.sources, strict=True)))
    assert tuple(array.dtype for array in got) == does.results
    assert all(array.shape == (3, 32) for array in got)
    for index, (_, want) in enumerate(warps):
        D = result(got, index, shape, d)
        if d == "s32":
            np.testing.assert_array_equal(D, want)
        else:
            largest = {"f16": 2**-10, "f32": 2**-22, "f64": 2**-50}[d]
            np.testing.assert_allclose(D, want, rtol=largest, atol=largest)


def test_a_saturating_product_is_clamped_and_another_wraps() -> None:
    shape = (16, 8, 32)
    ones = np.full((1, 32), 0x7F7F7F7F, "u4")  # every element 127
    C = np.full((1, 32), 2**31 - 1, "i4")
    for option, want in ((".satfinite", 2**31 - 1), ("", 2**31 - 1 + 32 * 127 * 127 - 2**32)):
        got = covered(shape, "s8", "s8", "s32", option).apply(*[ones] * 6, *[C] * 4)
        assert {int(value) for register in got for value in register.ravel()} == {want}


def test_immediates_stand_for_registers() -> None:
    does = covered((16, 8, 16), "f16", "f16", "f32")
    registers = [np.full((2, 32), 0x3C003C00, "u4")] * 6  # every element 1
    got = does.apply(*registers, *[np.full((1, 1), 0.5, "f4")] * 4)
    assert all(register.shape == (2, 32) and (register == 16.5).all() for register in got)


def test_infinities_and_nans_are_carried() -> None:
    does = covered((16, 8, 8), "bf16", "bf16", "f32")
    zero, inf, nan = (np.full((1, 32), bits, "u4") for bits in (0, 0x7F80, 0x7FC0))
    one, none = np.full((1, 32), 0x3F803F80, "u4"), np.zeros((1, 32), "f4")
    assert np.isposinf(does.apply(inf, inf, one, *[none] * 4)).all()
    with np.errstate(invalid="ignore"):
        assert np.isnan(does.apply(nan, zero, zero, *[none] * 4)[0]).all()
        assert np.isnan(does.apply(inf, inf, zero, *[none] * 4)).all()


@pytest.mark.parametrize("kind", ["e4m3", "e5m2", "bf16", "f16", "s8", "u8"])
def test_every_code_has_its_value(kind: str) -> None:
    bits = layouts.BITS[kind]
    every = np.arange(1 << bits, dtype=f"u{bits // 8}")
    want = [layouts.number(int(code), kind) for code in every]
    with np.errstate(invalid="ignore"):  # signalling NaNs are among them
        np.testing.assert_array_equal(values(every.view("u4"), kind).ravel(), want)


@pytest.mark.parametrize(
    "name",
    [
        "mma.sp.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.m8n8k128.row.col.s32.b1.b1.s32.xor.popc",
        "mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.bf16.f32",
        "mma.sync.aligned.m16n8k16.row.col.f16.bf16.bf16.f16",
        "mma.sync.aligned.m16n8k16.row.col.satfinite.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k12.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e4m3.e4m3.f32.ue8m0",
        "mma.sync",
    ],
)
def test_what_is_not_covered_is_said(name: str) -> None:
    with pytest.raises(NotCoveredError, match="mma"):
        mma_of(layouts.instruction(name))


def test_the_kind_of_narrow_floats_changes_nothing_for_8_bits() -> None:
    assert covered((16, 8, 32), "e4m3", "e5m2", "f32", ".kind::f8f6f4").sources[-1] == "f4"
    for a in ("f16", "e2m1"):
        with pytest.raises(NotCoveredError, match="mma"):
            covered((16, 8, 32), a, a, "f32", ".kind::f8f6f4")


def test_other_opcodes_are_left_to_others() -> None:
    assert mma_of(layouts.instruction("add.s32")) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.sampled_from([8, 16]), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_accumulators_come_back(n: int, rows: int, blocks: int, seed: int) -> None:
    registers = np.random.default_rng(seed).integers(0, 2**32, (rows * blocks // 4, n, 32), dtype="u4")
    matrix = fragments.accumulators(registers, rows)
    assert matrix.shape == (n, rows, 8 * blocks)
    np.testing.assert_array_equal(fragments.spread(matrix), registers)
