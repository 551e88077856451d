"""Wavefronts of random requests, against a table of banks filled word by word."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.banks import ideal_wavefronts, wavefronts
from tinytorch.runtime.errors import InputError

LANES = np.arange(32)[np.newaxis]
EVERYONE = np.ones((1, 32), bool)


def slowly(addresses: np.ndarray, active: np.ndarray, width: int) -> list[int]:
    """Fill a table of the words that each bank must give, phase by phase."""
    lanes = {1: 32, 2: 32, 4: 32, 8: 16, 16: 8}[width]
    found = []
    for row, mask in zip(addresses, active, strict=True):
        total = 0
        for start in range(0, 32, lanes):
            banks: dict[int, set[int]] = defaultdict(set)
            for lane in range(start, start + lanes):
                for byte in range(int(row[lane]), int(row[lane]) + width) if mask[lane] else ():
                    banks[byte // 4 % 32].add(byte // 4)
            total += max(map(len, banks.values()), default=0)
        found.append(total)
    return found


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(0, 5),
    width=st.sampled_from((1, 2, 4, 8, 16)),
    reach=st.sampled_from((8, 40, 300, 2**14)),
    step=st.sampled_from((1, 2, 8, 32, 33)),
    share=st.sampled_from((0.0, 0.1, 0.9, 1.0)),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_requests(n, width, reach, step, share, seed):
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, reach, (n, 32)) * step * width
    active = rng.random((n, 32)) < share
    addresses[~active] = rng.integers(-(2**62), 2**62, np.count_nonzero(~active))  # garbage does not matter
    took = wavefronts(addresses, active, width)
    assert took.tolist() == slowly(addresses, active, width)
    assert np.all(took >= ideal_wavefronts(active, width))


@pytest.mark.parametrize(
    ("stride", "expected"), [(0, 1), (1, 1), (2, 2), (3, 1), (4, 4), (16, 16), (32, 32), (33, 1), (64, 32)]
)
def test_strides_of_words(stride, expected):
    assert wavefronts(4 * stride * LANES, EVERYONE, 4).item() == expected


def test_requests_do_not_share_their_banks():
    rows = np.concatenate((128 * LANES, 4 * LANES, 0 * LANES, 64 * LANES))
    assert wavefronts(rows, np.repeat(EVERYONE, 4, axis=0), 4).tolist() == [32, 1, 1, 16]


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (2, 1), (4, 1), (8, 2), (16, 4)])
def test_packed_accesses_take_their_phases(width, expected):
    assert wavefronts(width * LANES, EVERYONE, width).item() == expected
    assert ideal_wavefronts(EVERYONE, width).item() == expected
    assert ideal_wavefronts(LANES == 31, width).item() == 1
    assert ideal_wavefronts(~EVERYONE, width).item() == 0


@pytest.mark.parametrize("width", [0, 3, 32])
def test_a_width_that_no_access_has(width):
    with pytest.raises(InputError, match=f"not {width}"):
        wavefronts(LANES, EVERYONE, width)
    with pytest.raises(InputError, match=f"not {width}"):
        ideal_wavefronts(EVERYONE, width)
