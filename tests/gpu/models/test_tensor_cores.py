import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.arch import CAPABILITIES, PRODUCTS, product
from tinytorch.gpu.models.tensor_cores import (
    BITS,
    alignment,
    dtype_name,
    instruction,
    least_tile,
    speedup,
    use,
)
from tinytorch.runtime.errors import InputError

ROWS = st.sampled_from(list(CAPABILITIES.values()))
SIZES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("version", "dtypes"),
    [
        ("7.0", {"fp16"}),
        ("7.2", {"fp16", "int8"}),
        ("7.5", {"fp16", "int8", "int4"}),
        ("8.0", {"fp16", "bf16", "tf32", "fp64", "int8", "int4"}),
        ("8.9", {"fp16", "bf16", "tf32", "fp64", "int8", "int4", "fp8"}),
        ("9.0", {"fp16", "bf16", "tf32", "fp64", "int8", "fp8"}),
        ("10.0", {"fp16", "bf16", "tf32", "fp64", "int8", "fp8", "fp6", "fp4"}),
        ("12.0", {"fp16", "bf16", "tf32", "int8", "fp8", "fp6", "fp4"}),
    ],
)
def test_each_capability_has_tensor_cores_for_its_dtypes(version, dtypes):
    assert {dtype for dtype in BITS if instruction(version, dtype)} == dtypes


@pytest.mark.parametrize(
    ("version", "dtype", "name", "shape"),
    [
        ("7.0", "fp16", "mma.sync", (8, 8, 4)),
        ("7.2", "int8", "wmma", (16, 16, 16)),
        ("7.5", "fp16", "mma.sync", (16, 8, 8)),
        ("7.5", "int8", "mma.sync", (8, 8, 16)),
        ("8.0", "fp16", "mma.sync", (16, 8, 16)),
        ("8.6", "tf32", "mma.sync", (16, 8, 8)),
        ("8.0", "fp64", "mma.sync", (8, 8, 4)),
        ("8.9", "fp8", "mma.sync", (16, 8, 32)),
        ("9.0", "fp16", "wgmma", (64, 256, 16)),
        ("9.0", "tf32", "wgmma", (64, 256, 8)),
        ("9.0", "int8", "wgmma", (64, 256, 32)),
        ("9.0", "fp64", "mma.sync", (16, 8, 16)),
        ("10.0", "fp8", "tcgen05.mma", (128, 256, 32)),
        ("10.0", "fp6", "tcgen05.mma", (128, 256, 32)),
        ("10.0", "fp4", "tcgen05.mma", (128, 256, 64)),
        ("12.0", "bf16", "mma.sync", (16, 8, 16)),
        ("12.0", "fp4", "mma.sync", (16, 8, 64)),
    ],
)
def test_the_instruction_is_that_of_the_capability(version, dtype, name, shape):
    found = instruction(version, dtype)
    assert (found.name, found.shape) == (name, shape)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("float16", "fp16"),
        ("FP16", "fp16"),
        (np.float32, "fp32"),
        (np.dtype("int8"), "int8"),
        (np.dtype(ml_dtypes.bfloat16), "bf16"),
        (ml_dtypes.float8_e4m3fn, "fp8"),
        ("torch.float8_e5m2", "fp8"),
        ("tf32", "tf32"),
    ],
)
def test_dtypes_by_the_names_that_they_have(given, name):
    assert dtype_name(given) == name


@pytest.mark.parametrize("wrong", ["complex64", "", None, 16])
def test_a_dtype_that_is_not_known_lists_those_that_are(wrong):
    with pytest.raises(InputError, match="not known; known are fp64, fp32, tf32"):
        dtype_name(wrong)


@pytest.mark.parametrize("dtype", BITS)
def test_aligned_rows_fill_whole_16_bytes_and_no_fewer_elements_do(dtype):
    step = alignment(dtype)
    assert step * BITS[dtype] % 128 == 0
    assert all(fewer * BITS[dtype] % 128 for fewer in range(1, step))


@given(ROWS, st.sampled_from(list(BITS)), SIZES, SIZES, SIZES)
@settings(deadline=None, max_examples=200)
def test_what_is_of_use_is_counted_by_the_tiles_that_cover_it(row, dtype, m, n, k):
    found = use(row, dtype, m, n, k)
    assert found.compatible == (not found.requirements)
    if found.instruction is None:
        assert found.efficiency == 0 and not found.compatible
        return
    padded = [
        -(-size // step) * step for size, step in zip((m, n, k), least_tile(found.instruction), strict=True)
    ]
    assert found.efficiency == pytest.approx(m * n * k / np.prod(np.array(padded, float)))
    assert 0 < found.efficiency <= 1


def test_a_product_says_what_to_change():
    found = use("8.0", "fp16", 64, 1001, 1002)
    assert found.misaligned == ("N", "K") and not found.compatible
    assert found.requirements[0] == "make N a multiple of 8, so that rows begin at multiples of 16 bytes"
    assert use("7.0", "bf16", 64, 64, 64).requirements == (
        "compute capability 7.0 has no tensor cores for bf16: use fp16",
    )
    with pytest.raises(InputError, match="at least 1"):
        use("8.0", "fp16", 0, 8, 8)


def test_gains_are_those_of_the_peaks():
    assert speedup(product("V100 SXM"), "float16") == 8
    assert speedup(product("RTX 4090"), "int8") == 8
    with pytest.raises(InputError, match="T4 has no tensor cores for bf16; it has them for fp16, int8, int4"):
        speedup(product("T4"), "bf16")
    with pytest.raises(InputError, match="no tensor cores for fp32"):
        speedup(product("H100 SXM"), "fp32")


@pytest.mark.parametrize("row", PRODUCTS.values(), ids=str)
def test_tensor_cores_gain_at_16_bits_and_twice_that_at_8(row):
    assert speedup(row, "fp16") >= 2
    if row.name != "V100 SXM":
        doubled = 2 if row.halved == frozenset() else 4  # GeForce halves sums in fp32, not those in int32
        assert speedup(row, "int8") == pytest.approx(doubled * speedup(row, "fp16"))
