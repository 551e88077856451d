import dataclasses

import pytest

from tinytorch.gpu.arch import CAPABILITIES, PRODUCTS, SOURCES, capability, product, product_of
from tinytorch.gpu.arch.sources import gathered
from tinytorch.runtime.errors import InputError

#: Dense TFLOP/s and TOP/s that NVIDIA quotes, sums kept in fp32 or int32.
QUOTED = {
    "V100 SXM": {"fp32": 15.7, "fp64": 7.8, "fp16": 125},
    "T4": {"fp32": 8.1, "fp16": 65, "int8": 130, "int4": 260},
    "A100 40GB SXM": {"fp32": 19.5, "fp64": 19.5, "tf32": 156, "fp16": 312, "bf16": 312, "int8": 624},
    "A100 80GB SXM": {"fp32": 19.5, "fp64": 19.5, "tf32": 156, "fp16": 312, "bf16": 312, "int8": 624},
    "A10": {"fp32": 31.2, "tf32": 62.5, "bf16": 125, "fp16": 125, "int8": 250, "int4": 500},
    "RTX 3090": {"fp32": 35.6, "tf32": 35.6, "bf16": 71, "fp16": 71, "int8": 284, "int4": 568},
    "L4": {"fp32": 30.3, "tf32": 60, "bf16": 121, "fp16": 121, "fp8": 242, "int8": 242},
    "L40S": {"fp32": 91.6, "tf32": 183, "bf16": 362, "fp16": 362, "fp8": 733, "int8": 733},
    "RTX 4090": {"fp32": 82.6, "fp64": 1.29, "tf32": 82.6, "bf16": 165.2, "fp8": 330.3, "int8": 660.6},
    "H100 SXM": {"fp32": 66.9, "fp64": 66.9, "tf32": 494.7, "bf16": 989.4, "fp8": 1978.9, "int8": 1978.9},
    "H200 SXM": {"fp32": 66.9, "fp64": 66.9, "tf32": 494.7, "bf16": 989.4, "fp8": 1978.9, "int8": 1978.9},
    "B200": {"fp32": 75, "fp64": 37, "tf32": 1125, "bf16": 2250, "fp8": 4500, "int8": 4500, "fp4": 9000},
    "RTX 5090": {"fp32": 104.8, "tf32": 104.8, "bf16": 209.5, "fp8": 419, "int8": 838, "fp4": 1676},
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name, peaks in QUOTED.items() for dtype in peaks]
)
def test_the_peaks_that_follow_are_those_that_the_vendor_quotes(name, dtype):
    assert product(name).peak(dtype) / 1e12 == pytest.approx(QUOTED[name][dtype], rel=0.02)


def test_every_product_is_held_against_what_is_quoted():
    assert QUOTED.keys() == PRODUCTS.keys()


@pytest.mark.parametrize("row", [*CAPABILITIES.values(), *PRODUCTS.values()], ids=str)
def test_every_cell_has_its_source(row):
    identity = {"major", "minor", "name", "capability", "sources"}
    cells = {cell.name for cell in dataclasses.fields(row)} - identity
    if not getattr(row, "halved", True):
        cells.discard("halved")  # that nothing is halved is what is so without a word
    assert row.sources.keys() == cells
    assert set(row.sources.values()) <= SOURCES.keys()


def test_a_cell_without_a_document_is_empty():
    empty = [
        getattr(row, cell)
        for row in (*CAPABILITIES.values(), *PRODUCTS.values())
        for cell, source in row.sources.items()
        if source == "none"
    ]
    assert empty and not any(empty)


def test_a_table_may_not_name_a_cell_twice_or_a_document_that_is_not_listed():
    with pytest.raises(AssertionError, match="twice"):
        gathered({"header": {"sms": 1}}, {"cccl": {"sms": 2}})
    with pytest.raises(AssertionError, match="hearsay"):
        gathered({"hearsay": {"sms": 1}})


@pytest.mark.parametrize("row", CAPABILITIES.values(), ids=str)
def test_the_limits_of_an_sm_agree_with_each_other(row):
    assert row.threads_per_sm % 32 == 0
    assert row.shared_per_block + row.shared_reserved == row.shared_per_sm == row.shared_sizes[-1]
    assert list(row.shared_sizes) == sorted(set(row.shared_sizes))
    assert set(row.tensor_fma) <= set(row.tensor_dtypes)
    assert (row.shared_reserved > 0) == (row.major >= 8)
    assert ("cp.async" in row.features) == (row.major >= 8)
    assert ("tma" in row.features) == (row.major >= 9)


@pytest.mark.parametrize(
    ("version", "threads", "blocks", "shared", "block"),
    [
        ("7.0", 2048, 32, 96, 96),
        ("7.5", 1024, 16, 64, 64),
        ("8.0", 2048, 32, 164, 163),
        ("8.6", 1536, 16, 100, 99),
        ("8.9", 1536, 24, 100, 99),
        ("9.0", 2048, 32, 228, 227),
        ("10.0", 2048, 32, 228, 227),
        ("12.0", 1536, 24, 100, 99),
        ("12.1", 1536, 24, 100, 99),
    ],
)
def test_the_limits_are_those_of_the_programming_guide(version, threads, blocks, shared, block):
    row = capability(version)
    assert (row.threads_per_sm, row.blocks_per_sm) == (threads, blocks)
    assert (row.shared_per_sm, row.shared_per_block) == (shared << 10, block << 10)


@pytest.mark.parametrize("spelled", ["9.0", (9, 0), "sm_90", "sm_90a", "SM90", "compute_90", " 9.0 ", "90"])
def test_a_capability_is_known_however_it_is_spelled(spelled):
    assert capability(spelled).arch == "sm_90"


@pytest.mark.parametrize("spelled", ["sm_121f", "12.1", (12, 1)])
def test_versions_of_two_digits(spelled):
    assert str(capability(spelled)) == "12.1"


@pytest.mark.parametrize("wrong", ["9.9", "sm_35", "hopper", "", (9,), "9.0.1", None, 9.0j])
def test_a_capability_that_is_not_known_lists_those_that_are(wrong):
    with pytest.raises(InputError, match=r"not known; known are 7\.0, .*12\.1"):
        capability(wrong)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("h100 sxm", "H100 SXM"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("Tesla V100-SXM2-32GB", "V100 SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB SXM"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("rtx_5090", "RTX 5090"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
    ],
)
def test_a_product_is_known_however_it_is_spelled(spelled, name):
    assert product(spelled).name == name


@pytest.mark.parametrize(
    "other", ["NVIDIA H100 PCIe", "NVIDIA A10G", "RTX 4090 Laptop GPU", "GeForce RTX 4090 D", "L40", ""]
)
def test_a_product_that_resembles_a_known_one_is_not_taken_for_it(other):
    with pytest.raises(InputError, match=r"not known; known are V100 SXM, T4, .*RTX 5090"):
        product(other)


def test_the_gpu_at_hand_goes_before_the_table():
    at_hand = product_of("Tesla V100-SXM2-16GB", "7.0", memory_bytes=16 << 30, clock_mhz=1380)
    assert (at_hand.memory_bytes, at_hand.clock_mhz, at_hand.tensor_clock_mhz) == (16 << 30, 1380, 1380)
    assert at_hand.peak("fp16") == pytest.approx(80 * 512 * 2 * 1.38e9)
    assert at_hand.sources["memory_bytes"] == "nvml"
    assert at_hand.sources["bandwidth"] == "volta"


def test_a_tensor_clock_of_its_own_is_kept_unless_the_gpu_is_slower():
    assert product_of("NVIDIA H200", clock_mhz=1980).tensor_clock_mhz == 1830
    assert product_of("NVIDIA H200", clock_mhz=1500).tensor_clock_mhz == 1500


def test_a_gpu_in_no_table_is_made_of_what_it_tells():
    made = product_of("NVIDIA GeForce RTX 4080", (8, 9), clock_mhz=2505, sms=76, bandwidth=716.8e9)
    assert made.peak("fp32") / 1e12 == pytest.approx(48.7, rel=0.01)
    assert made.peak("bf16") / 1e12 == pytest.approx(97.5, rel=0.01)  # halved, as on every GeForce
    assert made.ridge("fp32") == pytest.approx(68, rel=0.01)
    assert made.l2_bytes is None


def test_what_is_not_known_is_asked_for_not_guessed():
    with pytest.raises(InputError, match="no rate is known for bf16 on V100 SXM; known are fp32, fp64, fp16"):
        product("V100 SXM").peak("bf16")
    with pytest.raises(InputError, match="SMs and the clock"):
        product_of("NVIDIA RTX A6000", "8.6").peak("fp32")
    with pytest.raises(InputError, match="bandwidth"):
        product_of("NVIDIA RTX A6000", "8.6").ridge("fp32")
    with pytest.raises(InputError, match="is not told"):
        product_of("Radeon")
    with pytest.raises(InputError, match="no rate is known for fp16"):
        product_of("Orin", "8.7", clock_mhz=1300, sms=16).peak("fp16")
