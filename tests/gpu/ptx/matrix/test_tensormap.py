"""Tensor maps: boxes against NumPy slices of a padded tensor, and the layout that wgmma reads them in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.matrix import layouts
from tests.gpu.ptx.matrix.test_descriptors import descriptor
from tinytorch.gpu.ptx.matrix import descriptors
from tinytorch.gpu.ptx.matrix.bulk import BulkTensor, bulk_tensor_of
from tinytorch.gpu.ptx.matrix.tensormap import BYTES, TensorMap, decode_tensor_map, replaced
from tinytorch.gpu.ptx.program import NotCoveredError, PtxError
from tinytorch.runtime.errors import InputError

BASE = 1 << 20


def of(array: np.ndarray, box: tuple[int, ...], swizzle: int = 0) -> TensorMap:
    return TensorMap(BASE, array.itemsize, array.shape, array.strides, box, swizzle)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[np.ndarray, int, tuple[int, ...], tuple[int, ...]]:
    """Numbers of 4 bytes, how many of each row of 12 are the tensor's, a box of it, and where to cut."""
    outer = draw(st.lists(st.integers(1, 4), max_size=4))
    memory = np.arange(1, 1 + 12 * np.prod(outer, dtype=int), dtype="u4").reshape(*outer, 12)
    box = (*(draw(st.integers(1, 3)) for _ in outer), draw(st.sampled_from([4, 8])))
    corner = tuple(draw(st.integers(-9, 12)) for _ in box)
    return memory, draw(st.integers(1, 12)), box, corner


@settings(deadline=None, max_examples=100)
@given(cuts())
def test_a_box_is_a_slice_of_the_tensor_among_zeros(
    cut: tuple[np.ndarray, int, tuple[int, ...], tuple[int, ...]],
) -> None:
    memory, columns, box, corner = cut
    tensor = memory[..., :columns]
    addresses, inside = decode_tensor_map(of(tensor, box).encode()).addresses(np.array([corner[::-1]]))
    got = [
        memory.ravel()[(address - BASE) // 4] if within else 0
        for address, within in zip(addresses[0], inside[0], strict=True)
    ]
    for number, offsets in zip(got, np.ndindex(box), strict=True):
        at = tuple(first + offset for first, offset in zip(corner, offsets, strict=True))
        within = all(0 <= place < extent for place, extent in zip(at, tensor.shape, strict=True))
        assert number == (tensor[at] if within else 0)


@pytest.mark.parametrize("swizzle", [0, 1, 2, 3])
def test_wgmma_reads_a_box_as_a_bulk_copy_lays_it(swizzle: int) -> None:
    """Both by rows along k and by columns: the swizzle of the map is that of the descriptor."""
    width = (16, 32, 64, 128)[swizzle]
    tensor = np.zeros((64, 64), "u2")
    box = of(tensor, (16, width // 2), swizzle)
    start = 4096
    places = box.places(np.array([start]))[0].reshape(box.box)
    if swizzle:  # without one the rows of a box are not the blocks that a descriptor speaks of
        rows = descriptors.pieces_by_row(descriptor(start, 16, 8 * width, width), np.arange(16), 2)[0]
        np.testing.assert_array_equal(rows, places[:, :16:8])
    leading, stride = (8 * width, 16 * width) if width == 16 else (16 * width, 8 * width)
    columns = descriptors.pieces_by_column(
        descriptor(start, leading, stride, width), 16, np.arange(width // 16)
    )[0]
    np.testing.assert_array_equal(columns, places[:, ::8])


@pytest.mark.parametrize("swizzle", [0, 1, 2, 3])
def test_the_elements_of_a_box_fill_its_bytes(swizzle: int) -> None:
    box = TensorMap(BASE, 4, (99, 99), (400, 4), (24, (16, 32, 64, 128)[swizzle] // 4), swizzle)
    places = box.places(np.array([1024, 9216]))
    for start, row in zip((1024, 9216), places, strict=True):
        np.testing.assert_array_equal(np.sort(row), np.arange(start, start + box.nbytes, 4))
    with pytest.raises(PtxError, match="multiple of 128"):
        box.places(np.array([1024, 64]))


def test_fields_set_one_after_another_make_the_map() -> None:
    """As Triton's kernels do it that make their own descriptors."""
    want = TensorMap(BASE, 2, (100, 7, 64), (896, 128, 2), (8, 1, 32), 2)
    data = bytes(BYTES)
    for field, ordinal, value in (
        ("global_address", 0, BASE),
        ("rank", 0, 2),
        ("box_dim", 0, 32),
        ("box_dim", 1, 1),
        ("box_dim", 2, 8),
        ("global_dim", 0, 64),
        ("global_dim", 1, 7),
        ("global_dim", 2, 100),
        ("global_stride", 0, 128),
        ("global_stride", 1, 896),
        ("element_stride", 0, 1),
        ("element_stride", 1, 1),
        ("element_stride", 2, 1),
        ("elemtype", 0, 6),
        ("interleave_layout", 0, 0),
        ("swizzle_mode", 0, 2),
        ("fill_mode", 0, 0),
    ):
        data = replaced(data, field, value, ordinal)
    assert decode_tensor_map(data) == want
    assert want.nbytes == 8 * 32 * 2


def test_the_largest_extent_survives() -> None:
    large = TensorMap(0, 1, (2**32, 16), (16, 1), (256, 16))
    assert decode_tensor_map(large.encode()) == large


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": ()}, "1 to 5 dimensions"),
        ({"strides": (128,)}, "as many strides"),
        ({"size": 3}, "3 bytes"),
        ({"swizzle": 4}, "swizzle 4"),
        ({"base": 8}, "base 0x8"),
        ({"strides": (120, 2)}, "multiples of 16"),
        ({"strides": (128, 4)}, "contiguous"),
        ({"shape": (0, 64)}, "1 to"),
        ({"box": (257, 32)}, "1 to 256"),
        ({"box": (8, 33)}, "66 bytes"),
        ({"box": (8, 16)}, "64 bytes, as the swizzle"),
    ],
)
def test_a_map_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    fine = TensorMap(BASE, 2, (100, 64), (128, 2), (8, 32), 2)
    with pytest.raises(InputError, match=said):
        replace(fine, **change)  # type: ignore[arg-type]


def test_bytes_that_are_no_map_are_refused() -> None:
    fine = TensorMap(BASE, 2, (100, 64), (128, 2), (8, 32), 2)
    for data in (bytes(BYTES), fine.encode()[:-1], b"x" * BYTES):
        with pytest.raises(PtxError, match="no tensor map"):
            decode_tensor_map(data)
    for field, value in (("interleave_layout", 1), ("fill_mode", 1), ("element_stride", 2), ("elemtype", 13)):
        with pytest.raises(PtxError, match="not covered"):
            decode_tensor_map(replaced(fine.encode(), field, value))
    with pytest.raises(PtxError, match="1 to 256"):
        decode_tensor_map(replaced(fine.encode(), "box_dim", 0, 1))
    for field, ordinal, value in (("mark", 0, 0), ("colour", 0, 0), ("box_dim", 5, 1), ("rank", 0, 256)):
        with pytest.raises(PtxError, match="tensor map"):
            replaced(fine.encode(), field, value, ordinal)
    with pytest.raises(PtxError, match="3 coordinates"):
        fine.addresses(np.zeros((1, 3), "i8"))


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes",
            BulkTensor(2, False, False),
        ),
        (
            "cp.async.bulk.tensor.5d.shared::cta.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint",
            BulkTensor(5, False, True),
        ),
        ("cp.async.bulk.tensor.1d.global.shared::cta.tile.bulk_group", BulkTensor(1, True, False)),
        ("cp.async.bulk.commit_group", None),
        ("cp.async.cg.shared.global", None),
    ],
)
def test_names_are_read(name: str, want: BulkTensor | None) -> None:
    assert bulk_tensor_of(layouts.instruction(name)) == want


@pytest.mark.parametrize(
    "name",
    [
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes",
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster",
        "cp.async.bulk.tensor.6d.global.shared::cta.bulk_group",
        "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group",
    ],
)
def test_what_is_not_covered_is_said(name: str) -> None:
    with pytest.raises(NotCoveredError, match="cp"):
        bulk_tensor_of(layouts.instruction(name))
