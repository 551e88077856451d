"""Tile and wave quantization: what a product of matrices loses as it is cut into tiles, and they into waves.

Tiles at the edges are computed whole, and the last wave of tiles keeps the GPU as long as a full one. The GPU
runs as many tiles at once as it has slots: SMs times blocks per SM. (NVIDIA, Deep Learning Performance,
Matrix Multiplication Background.)
"""

from dataclasses import dataclass

from tinytorch.runtime.errors import InputError


@dataclass(frozen=True)
class Tiling:
    """How the output (M, N) of a product is cut, and what share of the work is of use."""

    tiles: int
    waves: int
    last_wave: int  # tiles in the last wave
    slots: int  # tiles that run at once
    tile_efficiency: float
    wave_efficiency: float

    @property
    def efficiency(self) -> float:
        """The two together."""
        return self.tile_efficiency * self.wave_efficiency

    def __str__(self) -> str:
        """Say it in words.

        >>> print(tiling((4096, 4096), (128, 128), slots=132))
        1024 tiles in 8 waves of 132, the last of 100: 97.0% of the work is of use
        """
        last = f", the last of {self.last_wave}" if self.last_wave < self.slots and self.waves > 1 else ""
        return (
            f"{self.tiles} tiles in {self.waves} waves of {self.slots}{last}:"
            f" {self.efficiency:.1%} of the work is of use"
        )


def slots(sms: int, blocks_per_sm: int) -> int:
    """Return how many blocks a GPU runs at once; raises InputError if none.

    >>> slots(132, 2)
    264
    """
    if sms < 1 or blocks_per_sm < 1:
        raise InputError(f"a GPU of {sms} SMs with {blocks_per_sm} blocks on each runs nothing")
    return sms * blocks_per_sm


def tile_efficiency(shape: tuple[int, int], tile: tuple[int, int]) -> float:
    """Return the elements of the output by those of the tiles that cover it.

    Raises InputError for sizes below 1.

    >>> tile_efficiency((256, 256), (128, 128)), tile_efficiency((257, 256), (128, 128))
    (1.0, 0.6692708333333334)
    """
    return shape[0] * shape[1] / (_tiles(shape, tile) * tile[0] * tile[1])


def wave_efficiency(tiles: int, slots: int) -> float:
    """Return the tiles by the slots of the waves that they take; raises InputError for numbers below 1.

    >>> wave_efficiency(108, 108), round(wave_efficiency(109, 108), 3)
    (1.0, 0.505)
    """
    if tiles < 1 or slots < 1:
        raise InputError(f"there must be at least one tile and one slot, not {tiles} and {slots}")
    return tiles / (-(-tiles // slots) * slots)


def tiling(shape: tuple[int, int], tile: tuple[int, int], slots: int, split_k: int = 1) -> Tiling:
    """Return how the output (M, N) of a product is cut into tiles and waves.

    `split_k` blocks share a tile, each with a part of K. Raises InputError for sizes below 1.

    >>> found = tiling((256, 2048), (128, 128), slots=108)
    >>> found.tiles, found.waves, round(found.efficiency, 3)
    (32, 1, 0.296)
    >>> tiling((256, 2048), (128, 128), slots=108, split_k=3).wave_efficiency
    0.8888888888888888
    """
    if split_k < 1:
        raise InputError(f"at least one block has to compute a tile, not {split_k}")
    tiles = _tiles(shape, tile) * split_k
    share = wave_efficiency(tiles, slots)
    waves = -(-tiles // slots)
    last = tiles - (waves - 1) * slots
    return Tiling(tiles, waves, last, slots, tile_efficiency(shape, tile), share)


def _tiles(shape: tuple[int, int], tile: tuple[int, int]) -> int:
    if min(*shape, *tile) < 1:
        raise InputError(f"sizes of outputs and tiles must be at least 1, not {shape} and {tile}")
    return -(-shape[0] // tile[0]) * -(-shape[1] // tile[1])
