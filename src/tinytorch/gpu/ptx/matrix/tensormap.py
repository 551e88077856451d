"""Tensor maps: 128 bytes that tell bulk copies of a tensor in global memory and of the boxes to cut from it.

NVIDIA's encoding is secret, so the emulator has its own; kernels only pass such bytes on, or set one field of
them after another. A box lies in shared memory row after row, each 16 bytes moved by the map's swizzle.
(CUDA driver API, cuTensorMapEncodeTiled; PTX ISA, tensors and tensormap.replace.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from tinytorch.gpu.ptx.matrix.descriptors import PIECE, swizzled
from tinytorch.gpu.ptx.program import PtxError
from tinytorch.runtime.errors import InputError

BYTES = 128
RANKS = range(1, 6)
#: Bytes that a swizzle is wide, by its code in CUDA and PTX; 16 is none.
WIDTHS = (16, 32, 64, 128)

_ALIGN = 128  # of a box in shared memory

_MARK = b"tinymaps"
# Innermost dimension first, as the machine counts them; the innermost has no stride.
_RECORD = np.dtype(
    {
        "names": [
            *("mark", "global_address", "global_stride", "global_dim", "box_dim", "element_stride"),
            *("rank", "elemtype", "swizzle_mode", "interleave_layout", "fill_mode"),
        ],
        "formats": ["S8", "u8", ("u8", 4), ("u4", 5), ("u2", 5), ("u1", 5), *["u1"] * 5],
        "offsets": [0, 8, 16, 48, 68, 78, 83, 84, 85, 86, 87],
        "itemsize": BYTES,
    }
)
# Bytes of an element by the code of its type: u8 u16 u32 s32 u64 s64 f16 f32 f32.ftz f64 bf16 tf32 tf32.ftz.
_SIZES = (1, 2, 4, 4, 8, 8, 2, 4, 4, 8, 2, 4, 4)
_CODES: Mapping[int, int] = {1: 0, 2: 1, 4: 2, 8: 4}  # types without a sign stand for all of their size


@dataclass(frozen=True)
class TensorMap:
    """A tensor and its boxes, outermost dimension first as in NumPy: strides in bytes, the rest in elements.

    Raises InputError for what no tensor map can tell of.

    >>> tensor = TensorMap(base=4096, size=2, shape=(100, 64), strides=(128, 2), box=(8, 32), swizzle=2)
    >>> decode_tensor_map(tensor.encode()) == tensor
    True
    """

    base: int
    size: int  # bytes of an element
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int = 0  # an index of WIDTHS

    def __post_init__(self) -> None:
        """Refuse what the driver would refuse, and rows narrower than the swizzle."""
        rank = len(self.shape)
        if rank not in RANKS or len(self.strides) != rank or len(self.box) != rank:
            raise InputError(
                f"a tensor map has 1 to 5 dimensions, as many strides and a box of as many: "
                f"{self.shape}, {self.strides}, {self.box}"
            )
        if self.size not in _CODES or self.swizzle not in range(len(WIDTHS)):
            raise InputError(f"elements of {self.size} bytes (1, 2, 4, 8) or swizzle {self.swizzle} (0 to 3)")
        if (
            self.base % 16
            or self.strides[-1] != self.size
            or any(stride % 16 for stride in self.strides[:-1])
        ):
            raise InputError(
                f"a tensor map's base and strides are multiples of 16 bytes, its last dimension contiguous: "
                f"base {self.base:#x}, strides {self.strides}, {self.size} bytes an element"
            )
        if not all(0 < extent <= 2**32 for extent in self.shape) or not all(
            0 < extent <= 256 for extent in self.box
        ):
            raise InputError(
                f"shape {self.shape} is 1 to 2**32 and box {self.box} is 1 to 256 in each dimension"
            )
        row, width = self.box[-1] * self.size, WIDTHS[self.swizzle]
        if row % PIECE or (self.swizzle and row != width):
            wanted = f"{width} bytes, as the swizzle is wide" if self.swizzle else "a multiple of 16 bytes"
            raise InputError(f"a row of the box {self.box} takes {row} bytes: it should take {wanted}")

    @property
    def elements(self) -> int:
        """How many elements a box has."""
        return prod(self.box)

    @property
    def nbytes(self) -> int:
        """The bytes of a box: what a load of it reports to its mbarrier, whatever lies inside the tensor."""
        return self.elements * self.size

    def encode(self) -> bytes:
        """Return the 128 bytes that stand for the map."""
        record = np.zeros((), _RECORD)
        rank = len(self.shape)
        record["mark"] = _MARK
        record["global_address"] = self.base
        record["global_stride"][: rank - 1] = self.strides[-2::-1]
        record["global_dim"][:rank] = np.array(self.shape[::-1]) & 0xFFFFFFFF  # 2**32 is told as 0
        record["box_dim"][:rank] = self.box[::-1]
        record["element_stride"][:rank] = 1
        record["rank"] = rank - 1
        record["elemtype"] = _CODES[self.size]
        record["swizzle_mode"] = self.swizzle
        return record.tobytes()

    def addresses(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the global addresses of boxes' elements and which lie inside the tensor, (n, elements) each.

        `coordinates` are PTX's, (n, rank), innermost first. Outside loads read 0 and stores do nothing.

        Raises PtxError for another number of dimensions than the tensor's.

        >>> tensor = TensorMap(base=4096, size=8, shape=(2, 3), strides=(32, 8), box=(1, 2))
        >>> tensor.addresses(np.array([[2, 1]]))
        (array([[4144, 4152]]), array([[ True, False]]))
        """
        n, rank = coordinates.shape
        if rank != len(self.shape):
            raise PtxError(f"{rank} coordinates for a tensor of {len(self.shape)} dimensions")
        addresses, inside = np.full((n, 1), self.base), np.ones((n, 1), bool)
        for dimension, first in enumerate(np.asarray(coordinates, "i8").T[::-1]):
            at = first[:, None] + np.arange(self.box[dimension])
            fits = (at >= 0) & (at < self.shape[dimension])
            addresses = (addresses[:, :, None] + (at * self.strides[dimension])[:, None, :]).reshape(n, -1)
            inside = (inside[:, :, None] & fits[:, None, :]).reshape(n, -1)
        return addresses, inside

    def places(self, starts: np.ndarray) -> np.ndarray:
        """Return the shared addresses (n, elements) of the elements of boxes that start at `starts`, (n,).

        Raises PtxError for a start that is no multiple of 128.

        >>> tensor = TensorMap(base=0, size=8, shape=(9, 9), strides=(80, 8), box=(8, 4), swizzle=1)
        >>> tensor.places(np.array([1024]))[0, 14:18].tolist()
        [1136, 1144, 1168, 1176]
        """
        wrong = starts[starts % _ALIGN != 0]
        if wrong.size:
            raise PtxError(
                f"a box at {int(wrong[0]):#x} of shared memory: it should be at a multiple of {_ALIGN}"
            )
        plain = np.asarray(starts, "i8")[:, None] + np.arange(0, self.nbytes, self.size)
        return swizzled(plain, WIDTHS[self.swizzle])


def decode_tensor_map(data: bytes) -> TensorMap:
    """Return the map that 128 bytes stand for. Raises PtxError for other bytes, or what is not covered."""
    if len(data) != BYTES or not data.startswith(_MARK):
        raise PtxError("a bulk copy goes by 128 bytes that are no tensor map of this emulator")
    record = np.frombuffer(data, _RECORD)[0]
    rank, kind = int(record["rank"]) + 1, int(record["elemtype"])
    if rank not in RANKS or kind >= len(_SIZES) or record["interleave_layout"] or record["fill_mode"]:
        raise PtxError("a tensor map with interleaved, packed or NaN-filled elements is not covered")
    if (record["element_stride"][:rank] != 1).any():
        raise PtxError("a tensor map that leaves elements out is not covered")
    size = _SIZES[kind]
    try:
        return TensorMap(
            base=int(record["global_address"]),
            size=size,
            shape=tuple(int(extent) or 2**32 for extent in record["global_dim"][:rank][::-1]),
            strides=(*(int(stride) for stride in record["global_stride"][: rank - 1][::-1]), size),
            box=tuple(int(extent) for extent in record["box_dim"][:rank][::-1]),
            swizzle=int(record["swizzle_mode"]),
        )
    except InputError as error:
        raise PtxError(str(error)) from None


def replaced(data: bytes, field: str, value: int, ordinal: int = 0) -> bytes:
    """Return the 128 bytes of a map with one field set, as tensormap.replace names and counts them.

    Bytes that were no map, zeros as a rule, become one. Raises PtxError for a field that there is not.

    >>> data = replaced(bytes(128), "global_address", 4096)
    >>> data == replaced(data, "box_dim", 0, ordinal=1), data == replaced(data, "box_dim", 8, ordinal=1)
    (True, False)
    """
    record = np.frombuffer(data.ljust(BYTES, b"\0"), _RECORD).copy()
    if field == "mark" or field not in (_RECORD.names or ()):
        raise PtxError(f"a tensor map has no field {field!r}")
    places = record[field].reshape(-1)
    limit = np.iinfo(places.dtype).max
    if not 0 <= ordinal < places.size or not 0 <= value <= limit:
        raise PtxError(
            f"{field} {ordinal} of a tensor map cannot be {value}: there are {places.size}, to {limit}"
        )
    record["mark"] = _MARK
    places[ordinal] = value
    return record.tobytes()
