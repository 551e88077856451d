"""ldmatrix, stmatrix and movmatrix: which element each lane gets, and that they go with mma's fragments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.matrix import layouts
from tinytorch.gpu.ptx.matrix.ldmatrix import LdMatrix, ldmatrix_of, movmatrix_of, transpose
from tinytorch.gpu.ptx.matrix.mma import mma_of
from tinytorch.gpu.ptx.program import NotCoveredError

COUNTS = st.sampled_from([1, 2, 4])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), COUNTS, st.booleans(), st.integers(0, 2**32 - 1))
def test_each_lane_gets_its_pair(n: int, count: int, trans: bool, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 2**16, (n, 8 * count, 8), dtype="u2")
    kind = LdMatrix(count, trans)
    registers = kind.spread(rows)
    assert len(registers) == count and kind.lanes == 8 * count
    for warp in range(n):
        for i, register in enumerate(registers):
            matrix = rows[warp, 8 * i : 8 * i + 8]
            for lane in range(32):
                g, t = divmod(lane, 4)
                low, high = (matrix[2 * t + j, g] if trans else matrix[g, 2 * t + j] for j in (0, 1))
                assert register[warp, lane] == int(low) | int(high) << 16
    np.testing.assert_array_equal(kind.gather(registers), rows)


def test_movmatrix_transposes() -> None:
    matrix = np.random.default_rng(0).integers(0, 2**16, (5, 8, 8), dtype="u2")
    plain = LdMatrix(1, trans=False)
    (register,) = plain.spread(matrix)
    np.testing.assert_array_equal(plain.gather((transpose(register),)), matrix.swapaxes(1, 2))


def test_a_product_of_loaded_matrices_is_the_product() -> None:
    """A in rows and B in rows, B loaded transposed: what compilers make of a row-major product."""
    rng = np.random.default_rng(1)
    A, B = (rng.standard_normal(shape).astype("f2") for shape in ((16, 16), (16, 8)))
    blocks = [A[:8, :8], A[8:, :8], A[:8, 8:], A[8:, 8:]]
    of_a = LdMatrix(4, trans=False).spread(np.concatenate(blocks).view("u2")[None])
    of_b = LdMatrix(2, trans=True).spread(B.view("u2")[None])
    product = mma_of(layouts.instruction("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"))
    assert product is not None
    got = product.apply(*of_a, *of_b, *[np.zeros((1, 32), "f4")] * 4)
    want = A.astype("f8") @ B.astype("f8")
    for lane in range(32):
        for i, register in enumerate(got):
            assert register[0, lane] == pytest.approx(
                want[layouts.accumulator(lane // 4, lane % 4, i)], rel=1e-6
            )


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("ldmatrix.sync.aligned.m8n8.x1.shared.b16", LdMatrix(1, False)),
        ("ldmatrix.sync.aligned.m8n8.x2.trans.shared::cta.b16", LdMatrix(2, True)),
        ("ldmatrix.sync.aligned.m8n8.x4.b16", LdMatrix(4, False)),
        ("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16", LdMatrix(4, True, store=True)),
        ("ld.shared.b16", None),
    ],
)
def test_names_are_read(name: str, want: LdMatrix | None) -> None:
    assert ldmatrix_of(layouts.instruction(name)) == want


@pytest.mark.parametrize(
    "name",
    [
        "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8",
        "ldmatrix.sync.aligned.m8n16.x4.shared.b8x16.b6x16_p32",
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16",
        "stmatrix.sync.aligned.m16n8.x1.trans.shared.b8",
    ],
)
def test_what_is_not_covered_is_said(name: str) -> None:
    with pytest.raises(NotCoveredError, match="matrix"):
        ldmatrix_of(layouts.instruction(name))


def test_movmatrix_is_known_by_its_name() -> None:
    assert movmatrix_of(layouts.instruction("movmatrix.sync.aligned.m8n8.trans.b16"))
    assert not movmatrix_of(layouts.instruction("mov.b16"))
    with pytest.raises(NotCoveredError, match="movmatrix"):
        movmatrix_of(layouts.instruction("movmatrix.sync.aligned.m8n8.b16"))
