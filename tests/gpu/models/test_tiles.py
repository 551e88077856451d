import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.models.tiles import slots, tile_efficiency, tiling, wave_efficiency
from tinytorch.runtime.errors import InputError

SIZES = st.integers(1, 300)
TILES = st.integers(1, 64)


def covered(size, tile):
    """Count the tiles one by one."""
    count, reached = 0, 0
    while reached < size:
        count, reached = count + 1, reached + tile
    return count


@given(SIZES, SIZES, TILES, TILES, st.integers(1, 40), st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_tiles_and_waves_are_those_counted_one_by_one(m, n, rows, columns, at_once, split):
    found = tiling((m, n), (rows, columns), at_once, split)
    down, across = covered(m, rows), covered(n, columns)
    assert found.tiles == down * across * split
    assert found.waves == covered(found.tiles, at_once)
    assert (found.waves - 1) * at_once + found.last_wave == found.tiles
    assert 1 <= found.last_wave <= at_once
    assert found.tile_efficiency == pytest.approx(m * n / (down * rows * across * columns))
    assert found.wave_efficiency == pytest.approx(found.tiles / (found.waves * at_once))
    assert 0 < found.efficiency <= 1


@given(SIZES, SIZES, TILES, TILES, st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_whole_tiles_and_waves_lose_nothing(down, across, rows, columns, at_once):
    assert tile_efficiency((down * rows, across * columns), (rows, columns)) == 1
    assert wave_efficiency(down * at_once, at_once) == 1


def test_one_tile_more_than_a_wave_takes_another():
    assert tiling((128 * 109, 128), (128, 128), slots(108, 1)).waves == 2
    assert str(tiling((64, 64), (64, 64), 4)) == "1 tiles in 1 waves of 4: 25.0% of the work is of use"


@pytest.mark.parametrize(
    "call",
    [
        lambda: slots(0, 1),
        lambda: slots(132, 0),
        lambda: tile_efficiency((0, 4), (1, 1)),
        lambda: tile_efficiency((4, 4), (0, 1)),
        lambda: wave_efficiency(0, 4),
        lambda: tiling((4, 4), (4, 4), 0),
        lambda: tiling((4, 4), (4, 4), 1, split_k=0),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
