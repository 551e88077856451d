"""wgmma against plain NumPy: matrices laid out in a shared memory of the test's own, element by element."""

import numpy as np
import pytest

from tests.gpu.ptx.matrix import layouts
from tests.gpu.ptx.matrix.test_descriptors import descriptor, swizzle
from tinytorch.gpu.ptx.matrix.wgmma import Wgmma, wgmma_of
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError, Register, Vector

D, DESC, P = Vector((Register("%r0", "b32"),)), Register("%rd0", "b64"), Register("%p0", "pred")


def wgmma(name: str, *told: int, a_in_registers: bool = False) -> Wgmma:
    operands = (D, D if a_in_registers else DESC, DESC, P, *(Immediate(value, "int") for value in told))
    modifiers = ("mma_async", "sync", "aligned", *name.split("."))
    found = wgmma_of(Instruction("wgmma", modifiers, operands, 1, name))
    assert found is not None
    return found


def lay(memory: np.ndarray, codes: np.ndarray, size: int, start: int, width: int, turned: bool) -> np.ndarray:
    """Write a matrix (rows, k) of codes to bytes in a canonical layout; return its descriptor."""
    rows, k = codes.shape
    whole = width // size  # elements that a swizzle is wide
    if turned:
        leading, stride = (
            8 * width * (k // 8),
            8 * width,
        )  # from one run of rows to the next; from 8 of k to the next
    else:
        leading, stride = (rows * 16 if width == 16 else 16), 8 * width
    for i in range(rows):
        for j in range(k):
            if turned:
                offset = i // whole * leading + j // 8 * stride + j % 8 * width + i % whole * size
            elif width == 16:
                offset = i // 8 * stride + i % 8 * 16 + j * size // 16 * leading + j * size % 16
            else:
                offset = i // 8 * stride + i % 8 * width + j * size
            at = swizzle(start + offset, {16: 0, 32: 1, 64: 2, 128: 3}[width])
            memory[at : at + size] = np.frombuffer(int(codes[i, j]).to_bytes(size, "little"), "u1")
    if turned and width == 16:
        leading, stride = stride, leading
    return descriptor(start, leading, stride, width)


def fetched(memory: np.ndarray, addresses: np.ndarray) -> np.ndarray:
    return memory.view("u4").reshape(-1, 4)[addresses >> 4]


def run(
    does: Wgmma, widths: tuple[int, int], scale_d: bool = True, per_group: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The D of two warpgroups, and what it should be; A and B of each group are its own."""
    rng = np.random.default_rng(3)
    size_a, size_b = layouts.BITS[does.a] // 8, layouts.BITS[does.b] // 8
    memory = np.zeros(1 << 17, "u1")
    of_a, of_b, wants, before = [], [], [], []
    fragments_a: list[list[np.ndarray]] = []
    held: list[list[np.ndarray]] = []
    in_d = {"f16": "f2", "f32": "f4", "s32": "i4"}[does.d]
    for group in range(2):
        A, B = layouts.codes(rng, (64, does.k), does.a), layouts.codes(rng, (does.n, does.k), does.b)
        C = rng.integers(-9, 9, (64, does.n)).astype(in_d)
        start = group * (1 << 16)
        of_a.append(lay(memory, A, size_a, start, widths[0], does.trans_a))
        of_b.append(lay(memory, B, size_b, start + (1 << 15), widths[1], does.trans_b))
        sign = -1 if does.negative else 1
        product = sign * layouts.numbers(A, does.a) @ layouts.numbers(B, does.b).T
        wants.append(product + C if scale_d else product)
        before.append(C)
        for rank in range(4):
            rows = slice(16 * rank, 16 * rank + 16)
            codes = C[rows].view({2: "u2", 4: "u4"}[C.itemsize])
            held.append(layouts.fragment(codes, layouts.accumulator, does.d, does.n // 2))
            if does.a_in_registers:
                key = f"m16n8k{does.k} {layouts.BITS[does.a]}"
                fragments_a.append(layouts.fragment(A[rows], layouts.A[key], does.a, does.k // 2))
    registers = tuple(
        np.stack(register).view(dtype)
        for register, dtype in zip(zip(*held, strict=True), does.results, strict=True)
    )
    if does.a_in_registers:
        a = tuple(np.stack(register) for register in zip(*fragments_a, strict=True))
    else:
        ranks = np.arange(8) % 4
        a = fetched(memory, does.addresses_a(np.repeat(np.concatenate(of_a), 4), ranks))
    at = np.concatenate(of_b)
    b = fetched(memory, does.addresses_b(at if per_group else np.repeat(at, 4)))
    got = does.apply(registers, a, b, np.array([scale_d]))
    assert tuple(register.dtype for register in got) == does.results
    D = np.empty((2, 64, does.n))
    for warp in range(8):
        for lane in range(32):
            bits = np.array([register[warp, lane] for register in got])
            for i, value in enumerate(bits.view("f2") if does.d == "f16" else bits):
                row, column = layouts.accumulator(lane // 4, lane % 4, i)
                D[warp // 4, 16 * (warp % 4) + row, column] = value
    return D, np.stack(wants)


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("m64n64k16.f32.f16.f16", (1, 1, 0, 0)),
        ("m64n128k16.f32.bf16.bf16", (1, 1, 0, 1)),
        ("m64n64k16.f16.f16.f16", (1, -1, 1, 0)),
        ("m64n64k16.f32.bf16.bf16", (1, 1, 1, 1)),
        ("m64n24k8.f32.tf32.tf32", (1, 1)),
        ("m64n8k32.f32.e4m3.e5m2", (1, 1)),
        ("m64n16k32.f16.e5m2.e5m2", (-1, -1)),
        ("m64n32k32.s32.s8.u8", ()),
    ],
)
def test_the_product_of_matrices_in_shared_memory(name: str, told: tuple[int, ...], width: int) -> None:
    does = wgmma(name, *told)
    got, want = run(does, (width, width))
    if does.d == "s32":
        np.testing.assert_array_equal(got, want)
    else:
        small = {"f16": 2e-3, "f32": 1e-6}[does.d]
        np.testing.assert_allclose(got, want, rtol=small, atol=small)


@pytest.mark.parametrize(
    ("name", "told"),
    [("m64n32k16.f32.f16.f16", (1, 1, 1)), ("m64n16k8.f32.tf32.tf32", (1, 1)), ("m64n16k32.s32.u8.s8", ())],
)
def test_a_from_registers(name: str, told: tuple[int, ...]) -> None:
    does = wgmma(name, *told, a_in_registers=True)
    assert len(does.sources) == len(does.results) + 4 + 1 + 1
    got, want = run(does, (64, 64))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_scale_d_false_forgets_what_was_there() -> None:
    got, want = run(wgmma("m64n16k16.f32.f16.f16", 1, 1, 0, 0), (128, 128), scale_d=False)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_b_may_be_given_once_per_group() -> None:
    got, want = run(wgmma("m64n16k16.f32.f16.f16", 1, 1, 0, 1), (32, 32), per_group=True)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_an_infinite_accumulator_is_forgotten_too() -> None:
    does = wgmma("m64n8k32.s32.s8.s8")
    full = tuple(np.full((1, 32), 2**31 - 1, "i4") for _ in does.results)
    nothing = np.zeros((1, 16, 2, 4), "u4")
    got = does.apply(full, nothing, nothing[:, :8], np.array([False]))
    assert all((register == 0).all() for register in got)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("m64n64k16.f32.f16.f16", (1, 1)),
        ("m64n64k16.f32.f16.f16", (1, 2, 0, 0)),
        ("m64n64k8.f32.tf32.tf32", (1, 1, 0, 0)),
        ("m64n64k16.f16.bf16.bf16", (1, 1, 0, 0)),
        ("m64n12k16.f32.f16.f16", (1, 1, 0, 0)),
        ("m64n264k16.f32.f16.f16", (1, 1, 0, 0)),
        ("m64n8k256.s32.b1.b1.and.popc", ()),
        ("m64n64k32.satfinite.f32.e4m3.e4m3", (1, 1)),
    ],
)
def test_what_is_not_covered_is_said(name: str, told: tuple[int, ...]) -> None:
    with pytest.raises(NotCoveredError, match="wgmma"):
        wgmma(name, *told)


def test_fences_and_other_opcodes_are_left_to_others() -> None:
    for name in ("wgmma.fence.sync.aligned", "wgmma.commit_group.sync.aligned", "mma.sync"):
        assert wgmma_of(layouts.instruction(name)) is None
