"""The GPU analyses from plain arguments: against counting by hand, closed forms and chance; errors."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.kernels import KernelOptimizationProfiler
from tinytorch.gpu.arch import product
from tinytorch.gpu.models.scaling import Interconnect, data_parallel
from tinytorch.machine.gpus import Gpu
from tinytorch.machine.info import describe
from tinytorch.profiler import optimization
from tinytorch.runtime.errors import InputError

KEYS = {
    "memory_coalescing": "access_pattern data_shape coalescing_efficiency memory_transactions "
    "optimization_potential",
    "warp_divergence": "conditional_operations total_operations divergence_ratio efficiency_loss "
    "warp_efficiency optimization_suggestions",
    "shared_memory": "data_size_bytes shared_memory_available utilization_ratio reuse_factor bank_conflicts "
    "performance_gain optimization_opportunities",
    "tensor_core": "operation_type data_types tensor_core_compatible theoretical_speedup actual_utilization "
    "performance_gain optimization_requirements",
    "kernel_fusion": "operation_sequence fusion_opportunities memory_savings_factor performance_improvement "
    "implementation_complexity",
    "multi_gpu": "data_size num_gpus communication_overhead compute_scaling scaling_efficiency "
    "bottleneck_type optimization_strategies",
}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """Be a machine without a GPU, whichever this one is."""
    here = replace(describe(), gpus=())
    monkeypatch.setattr(optimization, "describe", lambda: here)


@pytest.fixture
def profiler():
    return KernelOptimizationProfiler()


def every(profiler):
    """Run all six."""
    profiler.analyze_memory_coalescing("strided", (64, 64))
    profiler.analyze_warp_divergence(100, 1000)
    profiler.analyze_shared_memory_usage(4096, 16, pattern="columns")
    profiler.analyze_tensor_core_utilization("matmul", ["float16"])
    profiler.analyze_kernel_fusion_opportunities(["matmul", "relu", "add"], device="H100 SXM")
    profiler.analyze_multi_gpu_scaling(14e9, 512)
    return profiler.profile_results


def test_the_keys_of_the_contract(profiler):
    results = every(profiler)
    assert set(results) == set(KEYS)
    for name, result in results.items():
        assert set(KEYS[name].split()) | {"recommendations", "provenance"} <= set(result)
        json.dumps(result)
        numbers = {k for k, v in result.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        given_by_the_caller = {
            "conditional_operations",
            "total_operations",
            "data_size",
            "num_gpus",
            "stride",
        }
        assert numbers - given_by_the_caller <= set(result["provenance"]), name


def test_fixed_points(profiler):
    rows = profiler.analyze_memory_coalescing("row_major", (1024, 1024))
    assert rows["coalescing_efficiency"] > 0.9
    assert profiler.analyze_warp_divergence(100, 1000)["divergence_ratio"] == 0.1
    assert profiler.analyze_tensor_core_utilization("matmul", ["float16"])["tensor_core_compatible"]
    fused = profiler.analyze_kernel_fusion_opportunities(["matmul", "relu", "add"], device="T4")
    assert len(fused["fusion_opportunities"]) == 1


def test_recommendations_and_the_report_follow(profiler):
    every(profiler)
    text = profiler.generate_optimization_report()
    assert text.startswith("Kernel Optimization Analysis Report\n")
    for heading in (
        "Memory coalescing",
        "Warp divergence",
        "Shared memory",
        "Tensor cores",
        "Kernel fusion",
        "Several GPUs",
    ):
        assert f"\n{heading}\n---" in text
    for part in ("8 sectors, 4 would do", "31 of them for bank conflicts", "wgmma of H100 SXM", "512: 93%"):
        assert part in text
    assert profiler.optimization_recommendations
    assert all(told in text for told in profiler.optimization_recommendations)


# --- coalescing


def by_hand(pattern, shape, itemsize, stride):
    """Count sectors with sets, a warp at a time."""
    elements = math.prod(shape)
    order = range(elements)
    if pattern == "column_major":
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        order = [
            sum(i * s for i, s in zip(reversed(at), strides, strict=True)) for at in np.ndindex(*shape[::-1])
        ]
    elif pattern == "strided":
        order = range(0, elements, stride)
    touched = needed = requests = 0
    for begin in range(0, len(order), 32):
        lanes = order[begin : begin + 32]
        touched += len({i * itemsize // 32 for i in lanes})
        needed += -(-len(lanes) * itemsize // 32)
        requests += 1
    return touched, needed, requests


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["row_major", "column_major", "strided"]),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.sampled_from(["int8", "float16", "bfloat16", "float32", "float64"]),
    st.integers(1, 50),
)
def test_sectors_are_those_counted_by_hand(pattern, shape, dtype, stride):
    found = KernelOptimizationProfiler({"gpu_name": "T4"}).analyze_memory_coalescing(
        pattern, shape, dtype=dtype, stride=stride
    )
    itemsize = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[dtype]
    touched, needed, requests = by_hand(pattern, shape, itemsize, stride)
    assert (found["memory_transactions"], found["ideal_transactions"]) == (touched, needed)
    assert found["requests"] == requests
    assert found["coalescing_efficiency"] == pytest.approx(needed / touched)
    assert found["optimization_potential"] == pytest.approx(touched / needed)


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (4, 16), (8, 32), (32, 32)])
def test_strides_of_float32(profiler, stride, sectors):
    found = profiler.analyze_memory_coalescing("strided", (1 << 16,), stride=stride)
    assert found["sectors_per_request"] == sectors
    assert bool(found["recommendations"]) == (stride > 1)
    if stride > 1:
        assert f"{4 * stride} bytes apart" in found["recommendations"][0]


def test_random_order_follows_its_seed_and_a_large_array_is_extrapolated(profiler):
    first, second, third = (
        profiler.analyze_memory_coalescing("random", (300, 300), seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first["memory_transactions"] != third["memory_transactions"]
    assert "seed 1" in first["provenance"]["memory_transactions"]
    large = profiler.analyze_memory_coalescing("row_major", (1 << 15, 1 << 15))
    assert large["memory_transactions"] == (1 << 30) * 4 // 32
    assert "extrapolated" in large["provenance"]["memory_transactions"]


# --- divergence


@pytest.mark.parametrize("sides", [(0.5, 0.5), (0.02,), (0.25,) * 4, (0.9, 0.1)])
@pytest.mark.parametrize("warp", [32, 64])
def test_divergence_is_what_lanes_that_choose_by_chance_do(sides, warp):
    conditional, total = 300, 1000
    rng = np.random.default_rng(3)
    chosen = rng.choice(len(sides) + 1, size=(20_000, warp), p=(*sides, max(0, 1 - sum(sides))))
    per_side = conditional / len(sides)
    useful = issued = (total - conditional) * warp * len(chosen)
    for side in range(len(sides)):
        takes = chosen == side
        useful += per_side * takes.sum()
        issued += per_side * takes.any(axis=1).sum() * warp
    parted = np.mean([len(np.unique(lanes)) > 1 for lanes in chosen[:4000]])
    found = KernelOptimizationProfiler({"warp_size": warp}).analyze_warp_divergence(
        conditional, total, probabilities=sides
    )
    assert found["warp_efficiency"] == pytest.approx(useful / issued, abs=0.003)
    assert found["efficiency_loss"] == pytest.approx(1 - found["warp_efficiency"])
    assert found["chance_of_divergence"] == pytest.approx(parted, abs=0.03)
    assert found["active_threads"] == pytest.approx(warp * found["warp_efficiency"])
    worst, best = found["warp_efficiency_range"]
    assert worst - 1e-9 <= found["warp_efficiency"] <= best


def test_no_conditions_no_loss_and_no_advice(profiler):
    found = profiler.analyze_warp_divergence(0, 10)
    assert (found["efficiency_loss"], found["optimization_suggestions"]) == (0, [])
    assert profiler.analyze_warp_divergence(10, 10)["optimization_suggestions"]


# --- shared memory


@pytest.mark.parametrize("stride", range(1, 34))
def test_bank_conflicts_of_a_stride_are_those_of_number_theory(profiler, stride):
    found = profiler.analyze_shared_memory_usage(1024, 4, stride=stride)
    assert found["bank_conflicts"] == math.gcd(stride, 32) - 1


def test_wide_accesses_and_padding(profiler):
    for width, phases in ((8, 2), (16, 4)):
        found = profiler.analyze_shared_memory_usage(1024, 4, width=width)
        assert (found["wavefronts_per_request"], found["bank_conflicts"]) == (phases, 0)
    padded = [
        profiler.analyze_shared_memory_usage(4096, 16, pattern="columns", padding=p)["bank_conflicts"]
        for p in (0, 1, 2)
    ]
    assert padded == [31, 0, 1]


@settings(deadline=None, max_examples=40)
@given(st.floats(0.1, 500), st.sampled_from([1, 2, 3, 8, 32]), st.sampled_from(["T4", "A100", "H100"]))
def test_the_gain_is_the_time_of_the_traffic(reuse, stride, name):
    size = 8192
    found = KernelOptimizationProfiler({"gpu_name": name}).analyze_shared_memory_usage(
        size, reuse, stride=stride
    )
    chip = product(name)
    banks = chip.sms * 128 * chip.clock_mhz * 1e6
    apart = reuse * size / chip.bandwidth
    staged = size / chip.bandwidth + size / banks + reuse * size * math.gcd(stride, 32) / banks
    assert found["performance_gain"] == pytest.approx(apart / staged)
    assert found["performance_gain_without_conflicts"] >= found["performance_gain"] - 1e-9


def test_what_does_not_fit_or_does_not_pay_is_said(profiler):
    large = profiler.analyze_shared_memory_usage(300_000, 16)
    assert large["utilization_ratio"] == pytest.approx(300_000 / 232_448)
    assert "work in 2 tiles or more" in large["recommendations"][0]
    half = profiler.analyze_shared_memory_usage(150_000, 16)
    assert half["blocks_per_sm"] == 1
    assert "limited by shared memory;" in half["provenance"]["blocks_per_sm"]
    assert "would let two run" in half["recommendations"][0]
    once = profiler.analyze_shared_memory_usage(1000, 1)
    assert once["performance_gain"] < 1
    assert "read it where it is used" in once["recommendations"][0]
    lost = profiler.analyze_shared_memory_usage(4096, 16, pattern="columns")
    assert "conflicts undo" in lost["recommendations"][1]
    assert profiler.analyze_shared_memory_usage(4096, 16)["recommendations"] == []


def test_what_two_blocks_may_have_is_the_most(profiler):
    told = profiler.analyze_shared_memory_usage(150_000, 16)["recommendations"][0]
    assert "at most 113 KiB" in told  # 228 KiB halved, less 1 KiB that the driver takes of each
    assert profiler.analyze_shared_memory_usage(113 << 10, 16)["blocks_per_sm"] == 2
    assert profiler.analyze_shared_memory_usage((113 << 10) + 1, 16)["blocks_per_sm"] == 1


@pytest.mark.parametrize(("name", "blocks"), [("T4", 16), ("H100", 32), ("RTX 4090", 24)])
def test_small_blocks_are_as_many_as_an_sm_has_room_for(profiler, name, blocks):
    found = profiler.analyze_shared_memory_usage(1, 16, device=name)
    assert found["blocks_per_sm"] == blocks
    assert f"limited by the {blocks} blocks that it has room for" in found["provenance"]["blocks_per_sm"]


def test_what_cannot_be_launched_gains_nothing(profiler):
    found = profiler.analyze_shared_memory_usage(1 << 30, 3, device="H100")
    assert found["utilization_ratio"] > 1
    assert (found["blocks_per_sm"], found["performance_gain"]) == (0, 1.0)
    assert found["performance_gain_without_conflicts"] == 1.0
    told = found["recommendations"][0]
    assert "1 GiB do not fit the 227 KiB that a block may have" in told
    assert "cannot be launched: work in 4,620 tiles or more" in told
    barely = profiler.analyze_shared_memory_usage((227 << 10) + 1, 3, device="H100")
    assert "232,449 bytes do not fit the 227 KiB" in barely["recommendations"][0]
    gain = profiler.analyze_shared_memory_usage(227 << 10, 3, device="H100")["performance_gain"]
    assert gain > 1
    assert f"of tiles that fit {gain:.3g}, the time" in found["provenance"]["performance_gain"]


# --- tensor cores


@pytest.mark.parametrize(
    ("device", "dtypes", "runs"),
    [
        ("V100 SXM", "float16", True),
        ("V100 SXM", "bfloat16", False),
        ("T4", "bfloat16", False),
        ("T4", "int8", True),
        ("A100", "bfloat16", True),
        ("A100", "tf32", True),
        ("A100", "float32", False),
        ("A100", "float64", True),
        ("A100", "float8_e4m3fn", False),
        ("H100", "float8_e4m3fn", True),
        ("B200", "fp4", True),
        ("H100", ["float16", "float16"], True),
        ("H100", ["float16", "float32"], True),
        ("H100", ["bfloat16", "float16"], False),
        ("H100", ["float16", "bfloat16", "float32"], False),
        ("H100", ["int8", "int8", "int32"], True),
        ("H100", [np.float16], True),
    ],
)
def test_which_dtypes_run_on_tensor_cores(profiler, device, dtypes, runs):
    found = profiler.analyze_tensor_core_utilization("matmul", dtypes, device=device)
    assert found["tensor_core_compatible"] is runs
    if runs:
        assert found["theoretical_speedup"] >= (1 if dtypes == "float64" else 4)
        assert found["actual_utilization"] > 0.9
    else:
        assert (found["theoretical_speedup"], found["performance_gain"], found["actual_utilization"]) == (
            1,
            1,
            0,
        )
        assert len(found["optimization_requirements"]) == 1


def test_what_shapes_lose(profiler):
    def analyze(shape, **options):
        return profiler.analyze_tensor_core_utilization(
            "linear", "float16", shape=shape, device="A100", **options
        )

    whole = analyze((4096, 4096, 4096))
    assert whole["actual_utilization"] == pytest.approx(1024 / (10 * 108))
    assert whole["theoretical_speedup"] == 16
    assert whole["performance_gain"] == pytest.approx(16, rel=0.05)
    edges = analyze((130, 4096, 130))
    assert edges["tile_efficiency"] == pytest.approx(130 * 130 / (256 * 256))
    assert edges["actual_utilization"] == pytest.approx(edges["tile_efficiency"] * 4 / 108)
    assert any("beyond the edges" in text for text in edges["recommendations"])
    assert any("split K" in text for text in edges["recommendations"])
    odd = analyze((4096, 4096, 4097))
    assert not odd["aligned"]
    assert odd["tensor_core_compatible"]
    assert "make N a multiple of 8" in odd["recommendations"][0]
    thin = analyze((1, 4096, 4096), tile=(1, 64))
    assert 1.5 < thin["performance_gain"] < 2  # bound by memory: half the bytes is what there is to gain
    assert analyze((4096, 4096, 4096), blocks_per_sm=2)["wave_efficiency"] == pytest.approx(1024 / (5 * 216))


def test_what_is_no_product_has_no_use_for_them(profiler):
    found = profiler.analyze_tensor_core_utilization("relu", ["float16"])
    assert not found["tensor_core_compatible"]
    assert "no product of matrices" in found["optimization_requirements"][0]


# --- fusion on a GPU


def test_fusion_on_a_gpu_is_bytes_by_bandwidth_where_memory_bounds(profiler):
    chip = product("H100 SXM")
    side = 1 << 13
    found = profiler.analyze_kernel_fusion_opportunities(
        ["relu", "scale", "add"], shape=(side, 1, side), device="H100 SXM"
    )
    size = 4 * side * side
    assert found["memory_savings_factor"] == pytest.approx(7 / 3)
    apart, fused = 7 * size / chip.bandwidth + 3 * 4e-6, 3 * size / chip.bandwidth + 4e-6
    assert found["performance_improvement"] == pytest.approx(apart / fused)
    assert found["device"] == "H100 SXM"
    assert found["fusion_opportunities"][0]["measured"] is None
    assert found["fusion_opportunities"][0]["call"] is None


def test_a_product_on_a_gpu_takes_its_tensor_cores(profiler):
    side = 8192
    found = {
        dtype: profiler.analyze_kernel_fusion_opportunities(
            ["matmul", "relu"], shape=(side,) * 3, dtype=dtype, device="A100"
        )["fusion_opportunities"][0]["modelled_seconds"]["fused"]
        for dtype in ("float16", "float32")
    }
    chip = product("A100")
    work, other = 2 * side**3, side * side / chip.peak("fp32")
    assert found["float16"] == pytest.approx(work / chip.peak("fp16") + other + 4e-6)
    assert found["float32"] == pytest.approx(work / chip.peak("fp32") + other + 4e-6)
    with pytest.raises(InputError, match="no rate is known for bf16 on V100 SXM"):
        profiler.analyze_kernel_fusion_opportunities(["matmul", "relu"], dtype="bfloat16", device="V100")


# --- several GPUs


def test_one_gpu_waits_for_nobody(profiler):
    found = profiler.analyze_multi_gpu_scaling(14e9, 1)
    assert (found["communication_overhead"], found["compute_scaling"], found["scaling_efficiency"]) == (
        0,
        1,
        1,
    )
    assert found["bottleneck_type"] == "compute"
    assert found["optimization_strategies"] == []


def test_the_curve_is_the_models_for_1_to_1024_gpus(profiler):
    found = profiler.analyze_multi_gpu_scaling(14e9, 512, flops=1e16, device="A100", dtype="fp16")
    assert [one["gpus"] for one in found["curve"]] == [2**i for i in range(11)]
    for mode in ("strong", "weak"):
        model = data_parallel(product("A100"), 14e9, 1e16, mode=mode, dtype="fp16")
        assert [one[f"{mode}_speedup"] for one in found["curve"]] == [one.speedup for one in model]
    (here,) = (one for one in found["curve"] if one["gpus"] == 512)
    assert found["compute_scaling"] == here["strong_speedup"]
    assert found["scaling_efficiency"] == pytest.approx(found["compute_scaling"] / 512)
    assert found["communication_overhead"] == pytest.approx(
        1 - found["compute_seconds"] / found["step_seconds"]
    )


@pytest.mark.parametrize(
    ("options", "bottleneck"),
    [
        ({"data_size": 14e9, "num_gpus": 64, "flops": 1e12}, "network bandwidth"),
        ({"data_size": 1e4, "num_gpus": 512, "flops": 1e9}, "network latency"),
        ({"data_size": 14e9, "num_gpus": 8, "flops": 1e12, "interconnect": "PCIe 4"}, "link bandwidth"),
        ({"data_size": 1e3, "num_gpus": 8, "flops": 1e9}, "link latency"),
        ({"data_size": 1e6, "num_gpus": 8, "flops": 1e18}, "compute"),
    ],
)
def test_the_bottleneck_is_what_takes_the_time(profiler, options, bottleneck):
    assert profiler.analyze_multi_gpu_scaling(**options)["bottleneck_type"] == bottleneck


def test_strategies_tell_what_the_same_analysis_finds_of_the_change(profiler):
    given = {"data_size": 14e9, "num_gpus": 1024, "flops": 4e16}
    found = profiler.analyze_multi_gpu_scaling(**given)
    told = {text.partition(":")[0]: text for text in found["optimization_strategies"]}
    changed = {
        "gradients in half the bytes": {"data_size": 7e9},
        "a network twice as fast": {"network": 100e9},
        "gradients that travel while all of the rest is computed": {"overlap": 1.0},
        "four times the batch, or gradients of four batches added up before they travel": {"flops": 16e16},
    }
    for name, change in changed.items():
        brought = profiler.analyze_multi_gpu_scaling(**(given | change))["scaling_efficiency"]
        assert f"efficiency {brought:.0%} instead of {found['scaling_efficiency']:.0%}" in told[name]
    assert any("are too many for this step" in text for text in found["optimization_strategies"])


def test_interconnects_by_name_by_number_and_as_they_are(profiler):
    def seconds(**options):
        found = profiler.analyze_multi_gpu_scaling(1e9, 8, device="H100", **options)
        return found["communication_seconds"]

    assert seconds() == seconds(interconnect="NVLink 4") == seconds(interconnect=450e9)
    assert seconds(interconnect="pcie 4") == seconds(interconnect=32e9) > 10 * seconds()
    assert seconds(interconnect=Interconnect(450e9)) == seconds()
    assert seconds(gpus_per_node=4) > seconds()


# --- which GPU


def test_the_device_is_given_detected_or_assumed(monkeypatch):
    def available(config=None, **options):
        found = KernelOptimizationProfiler(config).analyze_shared_memory_usage(1000, 8, **options)
        return found["shared_memory_available"], found["provenance"]["performance_gain"]

    size, how = available()
    assert size == 232_448
    assert "H100 SXM (assumed: there is no GPU here" in how
    assert available(device="T4")[0] == 64 << 10
    assert available({"gpu_name": "T4"})[0] == 64 << 10
    assert "given by hardware_config" in available({"gpu_name": "T4"})[1]
    size, how = available({"compute_capability": "8.6"})
    assert (size, how) == (99 << 10, "unknown: the bandwidth, SMs or clock of a GPU of 8.6 are not known")
    changed = KernelOptimizationProfiler()
    changed.hardware_config["gpu_name"] = "A100"
    assert changed.analyze_shared_memory_usage(1000, 8)["shared_memory_available"] == 163 << 10
    real = Gpu("NVIDIA GeForce RTX 4090", "8.9", 24 << 30, 2520, 10501, "550", 384)
    old = Gpu("NVIDIA TITAN Xp", "6.1", 12 << 30, 1911, 5705, "550", 384)
    here = describe()
    for gpu, told in ((real, "RTX 4090 (detected"), (old, "H100 SXM (assumed, as of the GPU here")):
        monkeypatch.setattr(optimization, "describe", lambda gpu=gpu: replace(here, gpus=(gpu,)))
        assert told in available()[1]


def test_overrides_are_honoured():
    none = KernelOptimizationProfiler({"tensor_cores": False})
    found = none.analyze_tensor_core_utilization("matmul", ["float16"])
    assert not found["tensor_core_compatible"]
    assert "hardware_config says" in found["optimization_requirements"][0]
    small = KernelOptimizationProfiler({"gpu_memory_gb": 8})
    assert "do not fit the 8 GiB" in small.analyze_multi_gpu_scaling(14e9, 8)["optimization_strategies"][0]
    large = KernelOptimizationProfiler().analyze_multi_gpu_scaling(14e9, 8)
    assert not any("do not fit" in text for text in large["optimization_strategies"])
    two = KernelOptimizationProfiler({"gpu_name": "T4", "compute_capability": "9.0"})
    with pytest.raises(InputError, match=r"has compute capability 7\.5, and hardware_config says 9\.0"):
        two.analyze_warp_divergence(1, 2)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"gpu_name": "Voodoo 2"}, "'Voodoo 2' is not known; known are"),
        ({"compute_capability": "1.0"}, "'1.0' is not known; known are"),
        ({"gpu_memory_gb": "much"}, "gpu_memory_gb of hardware_config must be a number above 0"),
        ({"warp_size": 0}, "warp_size of hardware_config must be at least 1"),
    ],
)
def test_overrides_that_cannot_be(config, said):
    with pytest.raises(ValueError, match=said):
        KernelOptimizationProfiler(config).analyze_multi_gpu_scaling(1e9, 8)


def test_a_gpu_of_which_little_is_known_is_told_of_as_far_as_it_goes():
    config = {"gpu_name": "RTX A6000", "compute_capability": (8, 6)}
    found = KernelOptimizationProfiler(config).analyze_tensor_core_utilization("matmul", "bfloat16")
    assert found["tensor_core_compatible"]
    unknown = ("theoretical_speedup", "actual_utilization", "wave_efficiency", "performance_gain")
    assert [found[key] for key in unknown] == [None] * 4


# --- bad input


@pytest.mark.parametrize(
    ("name", "args", "options", "said"),
    [
        ("memory_coalescing", ("diagonal", (8, 8)), {}, "no pattern 'diagonal': the patterns are row_major"),
        ("memory_coalescing", ("row_major",), {}, "give data_shape, or kernel="),
        ("memory_coalescing", (3, (8, 8)), {}, "how many blocks the grid has"),
        ("memory_coalescing", ("row_major", (0, 8)), {}, "a data shape is whole numbers above 0"),
        ("memory_coalescing", ("row_major", "big"), {}, "a data shape is whole numbers above 0"),
        ("memory_coalescing", ("row_major", (8,)), {"dtype": "float17"}, "dtype 'float17' is not known"),
        ("memory_coalescing", ("strided", (8,)), {"stride": 0}, "stride must be at least 1"),
        ("memory_coalescing", ("row_major", (8,)), {"device": "Voodoo 2"}, "'Voodoo 2' is not known; known"),
        ("memory_coalescing", ("row_major", (8,)), {"grid": 1}, "grid are of a kernel's launch"),
        ("memory_coalescing", (), {}, "give access_pattern and data_shape, or kernel="),
        ("warp_divergence", (2, 1), {}, "2 conditional of 1 operations cannot be"),
        ("warp_divergence", ("some", 1), {}, "counted by a number, not 'some'"),
        ("warp_divergence", (1,), {}, "give total_operations, or kernel="),
        ("warp_divergence", (1, 2), {"probabilities": [0.7, 0.7]}, "probabilities of 0 to 1"),
        ("warp_divergence", (1, 2), {"probabilities": 0.7}, "are those of a branch's sides"),
        ("warp_divergence", (math.nan, 2), {}, "cannot be"),
        ("shared_memory_usage", (0, 2), {}, "kernel_data_size must be at least 1"),
        ("shared_memory_usage", (2**63, 2), {}, "is more than any GPU has"),
        ("shared_memory_usage", (8, 0), {}, "reuse_factor must be a number above 0, not 0"),
        ("shared_memory_usage", (8, math.inf), {}, "reuse_factor must be a number above 0"),
        ("shared_memory_usage", (8, 2), {"pattern": "rows"}, "the patterns are strided, columns"),
        ("shared_memory_usage", (8, 2), {"width": 3}, "1, 2, 4, 8 or 16 bytes"),
        ("tensor_core_utilization", ("matmull", "float16"), {}, "'matmull' is not known; products are"),
        ("tensor_core_utilization", ("matmul", "float17"), {}, "dtype 'float17' is not known"),
        ("tensor_core_utilization", ("matmul", []), {}, "data_types are one to three"),
        ("tensor_core_utilization", ("matmul", "fp16"), {"shape": (1, 2)}, r"shape must be \(M, K, N\)"),
        ("tensor_core_utilization", ("matmul", "fp16"), {"tile": (0, 2)}, "tile must be"),
        ("tensor_core_utilization", ("matmul", "fp16"), {"blocks_per_sm": 0}, "blocks_per_sm must be"),
        ("multi_gpu_scaling", (14e9, 0), {}, "num_gpus must be at least 1"),
        ("multi_gpu_scaling", (14e9, 12), {}, "12 GPUs do not fill nodes of 8"),
        ("multi_gpu_scaling", (-1, 8), {}, "data_size must be a number above 0, not -1"),
        ("multi_gpu_scaling", (1e9, 8), {"interconnect": "string"}, "'string' is not known; known are NV"),
        ("multi_gpu_scaling", (1e9, 8), {"interconnect": 0}, "interconnect must be a number above 0"),
        ("multi_gpu_scaling", (1e9, 8), {"flops": "many"}, "flops must be a number above 0, not 'many'"),
        ("multi_gpu_scaling", (1e9, 8), {"mode": "sideways"}, "scaling is strong or weak, not 'sideways'"),
        ("multi_gpu_scaling", (1e9, 8), {"dtype": "fp4"}, "no rate is known for fp4 on H100 SXM"),
        ("multi_gpu_scaling", (1e9, 8), {"utilization": 0}, "shares from 0 to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_error(profiler, name, args, options, said):
    with pytest.raises(ValueError, match=said) as told:
        getattr(profiler, f"analyze_{name}")(*args, **options)
    assert "\n" not in str(told.value)
    assert profiler.profile_results == {}


def test_a_stride_is_a_whole_number_however_large(profiler):
    for stride in (1.5, math.inf, "two"):
        with pytest.raises(TypeError, match="stride must be an integer, not"):
            profiler.analyze_memory_coalescing("strided", (64, 64), stride=stride)
    one = profiler.analyze_memory_coalescing("strided", (64, 64), stride=10**30)
    assert (one["requests"], one["memory_transactions"]) == (1, 1)


def test_numbers_of_numpy_are_plain_in_results(profiler):
    told = [
        profiler.analyze_memory_coalescing("strided", np.array([64, 64]), stride=np.int64(2)),
        profiler.analyze_warp_divergence(np.float32(3), np.int64(7)),
        profiler.analyze_shared_memory_usage(np.int64(4096), np.float32(8)),
        profiler.analyze_multi_gpu_scaling(np.float32(1e9), np.int64(8)),
    ]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_an_unknown_keyword_is_told(profiler):
    with pytest.raises(TypeError, match="'strides' is no argument"):
        profiler.analyze_memory_coalescing("row_major", (8,), strides=2)
    launch = r"takes grid, args, block, .*; a Triton kernel's constants go in meta=\{\.\.\.\}"
    for name in ("BLOCK", "constants"):
        with pytest.raises(TypeError, match=f"'{name}' is no argument .* {launch}"):
            profiler.analyze_memory_coalescing(kernel="add.py:add", grid=1, **{name: 256})


def test_memory_is_for_warps_of_32():
    wide = KernelOptimizationProfiler({"warp_size": 64})
    for call in (
        lambda: wide.analyze_memory_coalescing("row_major", (64,)),
        lambda: wide.analyze_shared_memory_usage(64, 2),
    ):
        with pytest.raises(InputError, match="warps of 32; hardware_config says 64"):
            call()
