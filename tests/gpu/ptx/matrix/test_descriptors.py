"""Where a descriptor says that elements lie, against the canonical layouts that the PTX ISA writes."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.ptx.matrix import descriptors
from tinytorch.gpu.ptx.program import PtxError

CODES = {16: 0, 128: 1, 64: 2, 32: 3}


def descriptor(start: int, leading: int, stride: int, width: int) -> np.ndarray:
    bits = start >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | CODES[width] << 62
    return np.array([bits], "u8")


def index(position: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """What a mode of a CuTe layout makes of a position: its digits, the first lowest, times the strides."""
    total = 0
    for extent, stride in zip(shape, strides, strict=True):
        position, digit = divmod(position, extent)
        total += digit * stride
    return total


def swizzle(address: int, bits: int) -> int:
    """Swizzle<bits, 4, 3>: of the bits from 7 up, as many are added without carry to those from 4 up."""
    return address ^ (address >> 7 & (1 << bits) - 1) << 4


# Exact layouts that the ISA gives as examples, ((rows), (k)) : ((strides), (strides)) in elements, k cut to
# the 32 bytes of one instruction; and what the descriptor says in bytes: leading, stride, swizzle.
EXAMPLES = {
    "K-major, none, tf32": (4, ((8, 2), (4, 4)), ((4, 32), (1, 64)), (256, 128, 16), False),
    "K-major, 32B, tf32": (4, ((8, 2), (4, 2)), ((8, 64), (1, 4)), (16, 256, 32), False),
    "MN-major, none, bf16": (2, ((8, 1, 2), (8, 2)), ((1, 8, 64), (8, 128)), (256, 128, 16), True),
    "MN-major, 32B, bf16": (2, ((8, 2, 2), (8, 2)), ((1, 8, 128), (16, 256)), (256, 512, 32), True),
    "MN-major, 64B, bf16": (2, ((8, 4, 2), (8, 2)), ((1, 8, 256), (32, 512)), (512, 1024, 64), True),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_isa(name: str) -> None:
    size, (rows, depth), (row_strides, depth_strides), (leading, stride, width), turned = EXAMPLES[name]
    m, k = int(np.prod(rows)), int(np.prod(depth))
    start, T = 4096, 16 // size
    of = descriptor(start, leading, stride, width)
    if turned:
        pieces = descriptors.pieces_by_column(of, k, np.arange(m // T))[0]
    else:
        pieces = descriptors.pieces_by_row(of, np.arange(m), k // T)[0]
    for i, j in product(range(m), range(k)):
        plain = start + size * (index(i, rows, row_strides) + index(j, depth, depth_strides))
        want = swizzle(plain, {16: 0, 32: 1, 64: 2, 128: 3}[width])
        got = pieces[j, i // T] + size * (i % T) if turned else pieces[i, j // T] + size * (j % T)
        assert got == want, (i, j)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([16, 32, 64, 128]), st.booleans(), st.integers(0, 7), st.integers(1, 4))
def test_the_canonical_layouts(width: int, turned: bool, step: int, blocks: int) -> None:
    """((8, m), (T, 2)) and ((T, W / 16, m), (8, 2)) of 2-byte elements, started within an atom, too."""
    T, whole = 8, width // 16
    start = 8192 + (16 * (step % whole) if not turned else 8 * width * step)
    leading, stride = 1024 * 8, 1024 * 3
    of = descriptor(start, leading, stride, width)
    if turned:
        rows, depth = (T, whole, blocks), (8, 2)
        strides = ((1, T, leading // 2), (whole * T, stride // 2))
        if width == 16:
            strides = ((1, T, stride // 2), (T, leading // 2))
        pieces = descriptors.pieces_by_column(of, 16, np.arange(whole * blocks))[0]
    else:
        rows, depth = (8, blocks), (T, 2)
        strides = ((whole * T, stride // 2), (1, leading // 2 if width == 16 else T))
        pieces = descriptors.pieces_by_row(of, np.arange(8 * blocks), 2)[0]
    m, k = int(np.prod(rows)), int(np.prod(depth))
    for i, j in product(range(m), range(k)):
        want = swizzle(
            start + 2 * (index(i, rows, strides[0]) + index(j, depth, strides[1])), whole.bit_length() - 1
        )
        got = pieces[j, i // T] + 2 * (i % T) if turned else pieces[i, j // T] + 2 * (j % T)
        assert got == want


@given(st.sampled_from([16, 32, 64, 128]))
def test_a_swizzle_undoes_itself_and_keeps_the_row(width: int) -> None:
    addresses = np.arange(0, 4096, 16)
    moved = descriptors.swizzled(addresses, width)
    assert (moved >> 7 == addresses >> 7).all()
    np.testing.assert_array_equal(descriptors.swizzled(moved, width), addresses)


def test_eight_swizzled_rows_of_a_column_meet_no_bank_twice() -> None:
    """What swizzles are for: the pieces one above the other in 8 rows lie in different banks."""
    pieces = descriptors.pieces_by_row(descriptor(0, 16, 1024, 128), np.arange(8), 2)[0]
    assert len({int(address) % 128 for address in pieces[:, 0]}) == 8


def test_a_base_offset_is_refused() -> None:
    with pytest.raises(PtxError, match="base offset"):
        descriptors.read(np.array([1 << 49], "u8"))
