"""Sectors and lines of random requests, against a set of segments filled byte by byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.coalescing import ideal_sectors, lines, sectors
from tinytorch.runtime.errors import InputError

LANES = np.arange(32)[np.newaxis]
EVERYONE = np.ones((1, 32), bool)


def segments(addresses: np.ndarray, active: np.ndarray, width: int, size: int) -> list[int]:
    """Count the segments that each row's bytes lie in, one byte after the other."""
    return [
        len({(int(a) + byte) // size for a, on in zip(row, mask, strict=True) if on for byte in range(width)})
        for row, mask in zip(addresses, active, strict=True)
    ]


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(0, 5),
    width=st.sampled_from((1, 2, 3, 4, 8, 12, 16, 32)),
    aligned=st.booleans(),
    reach=st.sampled_from((40, 300, 5000, 2**45)),
    share=st.sampled_from((0.0, 0.1, 0.9, 1.0)),
    ordered=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_requests(n, width, aligned, reach, share, ordered, seed):
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, reach, (n, 32))
    if aligned:
        addresses *= width
    if ordered:
        addresses.sort(axis=1)
    active = rng.random((n, 32)) < share
    addresses[~active] = rng.integers(-(2**62), 2**62, np.count_nonzero(~active))  # garbage does not matter
    assert sectors(addresses, active, width).tolist() == segments(addresses, active, width, 32)
    assert lines(addresses, active, width).tolist() == segments(addresses, active, width, 128)
    lanes = active.sum(axis=1)
    assert ideal_sectors(active, width).tolist() == [-(-int(k) * width // 32) for k in lanes]


@pytest.mark.parametrize(("stride", "expected"), [(0, 1), (1, 4), (2, 8), (4, 16), (8, 32), (32, 32)])
def test_strides_of_floats(stride, expected):
    assert sectors(4 * stride * LANES, EVERYONE, 4).item() == expected
    assert ideal_sectors(EVERYONE, 4).item() == 4


@pytest.mark.parametrize("width", [4, 8, 16])
def test_packed_and_aligned_is_ideal(width):
    partial = LANES < 13
    assert sectors(width * LANES, partial, width).item() == ideal_sectors(partial, width).item()


def test_the_addresses_given_are_not_changed():
    addresses = 4 * LANES[:, ::-1].copy()
    kept = addresses.copy()
    sectors(addresses, EVERYONE, 4)
    assert np.array_equal(addresses, kept)


@pytest.mark.parametrize("width", [0, -4, 33])
def test_a_width_that_no_access_has(width):
    with pytest.raises(InputError, match=f"not {width}"):
        sectors(LANES, EVERYONE, width)
    with pytest.raises(InputError, match=f"not {width}"):
        ideal_sectors(EVERYONE, width)
