"""Tensor cores: whether a product can run on them, what that could gain, and how much of the work is of use.

The dtype and the compute capability decide whether; shapes decide how well: rows begin at multiples of 16
bytes, the edges are computed in whole tiles, and the last wave of tiles keeps the GPU as long as a full one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch.gpu.models import tensor_cores
from tinytorch.gpu.models.roofs import bound
from tinytorch.gpu.models.tiles import Tiling, slots, tiling
from tinytorch.profiler.device import Device
from tinytorch.profiler.fusion import STEPS
from tinytorch.profiler.kernel import Analyzed
from tinytorch.profiler.results import TensorCoreAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.errors import InputError

#: What is a product of matrices at its heart.
PRODUCTS = ("matmul", "linear", "dense", "gemm", "bmm", "batch_matmul", "conv2d", "attention")
#: (M, K, N) where no shape is given, and the tile of the output that a block computes: as libraries' kernels.
SHAPE = (4096, 4096, 4096)
TILE = (128, 128)
#: What tensor cores sum up in, the first where nothing is said (PTX ISA, mma).
ACCUMULATORS = {
    "fp16": ("fp32", "fp16"),
    "bf16": ("fp32",),
    "tf32": ("fp32",),
    "fp64": ("fp64",),
    "fp8": ("fp32", "fp16"),
    "fp6": ("fp32", "fp16"),
    "fp4": ("fp32", "fp16"),
    "int8": ("int32",),
    "int4": ("int32",),
}
_NO_GAIN = "modelled: without tensor cores there is no speed-up"
#: Shares below which there is something to advise.
_GOOD = 0.9


@dataclass(frozen=True)
class Dtypes:
    """The dtypes of a product: of its operands, of its sums, and what forbids tensor cores, if anything."""

    operands: str
    sums: str
    forbidden: str = ""


def of_product(
    device: Device,
    operation: str,
    data_types: Any,
    *,
    shape: Sequence[int],
    tile: Sequence[int],
    blocks_per_sm: int,
) -> TensorCoreAnalysis:
    """Analyse a product (M, K) @ (K, N), or an operation that is none.

    Raises InputError for an operation, dtype, shape or tile that cannot be.
    """
    name = _operation(operation)
    dtypes = dtypes_of(data_types)
    m, k, n = _sizes("shape", "(M, K, N)", shape, 3)
    rows, columns = _sizes("tile", "(rows, columns)", tile, 2)
    resident = integer("blocks_per_sm", blocks_per_sm, 1)
    chip = device.product
    found = tensor_cores.use(chip.capability, dtypes.operands, m, n, k)
    cut = None if chip.sms is None else tiling((m, n), (rows, columns), slots(chip.sms, resident))
    reasons = _reasons(device, name, dtypes, found)
    compatible = not reasons
    speedup = _speedup(device, dtypes.operands) if compatible else 1.0
    gain = _gain(device, dtypes, (m, k, n), cut, compatible)
    requirements = reasons
    if compatible:
        requirements = [*found.requirements, *(_quantization(cut, (m, n), (rows, columns)) if cut else [])]
    used = None if compatible and cut is None else cut.efficiency if compatible and cut else 0.0
    by = found.instruction.name if found.instruction and compatible else None
    return {
        "operation_type": operation,
        "data_types": _listed(data_types),
        "shape": [m, k, n],
        "tile": [rows, columns],
        "device": chip.name,
        "tensor_core_compatible": compatible,
        "aligned": not found.misaligned,
        "instruction": by,
        "theoretical_speedup": speedup,
        "actual_utilization": used,
        "tile_efficiency": cut.tile_efficiency if cut else None,
        "wave_efficiency": cut.wave_efficiency if cut else None,
        "performance_gain": gain,
        "registers": None,
        "spilled": None,
        "instructions": {},
        "optimization_requirements": requirements,
        "recommendations": requirements,
        "provenance": {
            "tensor_core_compatible": device.modelled("the dtypes of its tensor cores"),
            "aligned": "modelled: whether the rows of both operands begin at multiples of 16 bytes",
            "theoretical_speedup": device.modelled("peak of its tensor cores by that of its fp32 units")
            if compatible
            else _NO_GAIN,
            "actual_utilization": device.modelled(
                f"tile by wave efficiency of tiles of {rows} x {columns}, {resident} on an SM"
            ),
            "tile_efficiency": "modelled: elements of the output by those of its tiles",
            "wave_efficiency": device.modelled("tiles by the slots of the waves they take"),
            "performance_gain": device.modelled(
                "roofline time in fp32 without tensor cores by that with them, in the same tiles"
            )
            if compatible
            else _NO_GAIN,
        },
    }


def of_kernel(kernel: Analyzed, shape: Sequence[int] | None) -> TensorCoreAnalysis:
    """Tell of a kernel's matrix instructions; `shape` (M, K, N) says how much of their work is of use.

    Raises InputError if its machine code could not be read.
    """
    found, device = kernel.found, kernel.device
    cores, code = found.tensor_cores, found.machine_code
    if cores.used is None or code is None:
        raise InputError(f"the machine code of {found.name} is not known: {'; '.join(found.notes)}")
    dtype = _matrix_dtype(kernel) if cores.used else None
    sizes = None if shape is None else _sizes("shape", "(M, K, N)", shape, 3)
    waves = found.occupancy.waves.efficiency if found.occupancy and found.occupancy.waves else None
    useful = _useful(kernel, sizes) if cores.used and sizes else None
    used = 0.0 if not cores.used else None if waves is None else waves * (useful or 1.0)
    advice = kernel.tensor_core_advice()
    return {
        "operation_type": found.name,
        "data_types": [] if dtype is None else [dtype],
        "shape": None if sizes is None else list(sizes),
        "tile": None,
        "device": device.product.name,
        "tensor_core_compatible": cores.used,
        "aligned": None,
        "instruction": cores.by or None,
        "theoretical_speedup": 1.0 if not cores.used else None if dtype is None else _speedup(device, dtype),
        "actual_utilization": used,
        "tile_efficiency": useful,
        "wave_efficiency": waves,
        "performance_gain": _kernel_gain(kernel) if cores.used else 1.0,
        "registers": code.registers,
        "spilled": code.spilled > 0,
        "instructions": dict(cores.instructions),
        "optimization_requirements": advice,
        "recommendations": advice,
        "provenance": {
            "data_types": kernel.ptx,
            "tensor_core_compatible": kernel.sass,
            "instruction": kernel.sass,
            "theoretical_speedup": device.modelled("peak of its tensor cores by that of its fp32 units")
            if cores.used
            else _NO_GAIN,
            "actual_utilization": "wave efficiency"
            + (" by tile efficiency" if useful else "; tile efficiency needs shape=(M, K, N)"),
            "tile_efficiency": f"{kernel.ptx}: 2 M K N by the operations that it did",
            "wave_efficiency": f"{kernel.sass}; {device.modelled('blocks by the slots of their waves')}",
            "performance_gain": device.modelled(
                "roofline time of its operations in fp32 by that on tensor cores, its sectors from memory"
            )
            if cores.used
            else _NO_GAIN,
            "registers": kernel.sass,
            "spilled": kernel.sass,
            "instructions": kernel.sass,
        },
    }


def _matrix_dtype(kernel: Analyzed) -> str | None:
    """Return the dtype of most operations that tensor cores do; None if the kernel was not run."""
    done = kernel.found.totals.operations if kernel.found.totals else {}
    tensor = {
        name: count for name, count in done.items() if name in kernel.device.product.capability.tensor_dtypes
    }
    return max(tensor, key=lambda name: tensor[name], default=None)


def _useful(kernel: Analyzed, shape: tuple[int, ...]) -> float | None:
    """Return the operations of a product by those that matrix instructions did; None if that is not known."""
    dtype = _matrix_dtype(kernel)
    if dtype is None or kernel.found.scale is None:
        return None
    m, k, n = shape
    useful = 2 * m * k * n / (kernel.totals.operations[dtype] * kernel.found.scale)
    if useful > 1:
        raise InputError(f"{kernel.found.name} does too few operations for a product of (M, K, N) = {shape}")
    return useful


def _kernel_gain(kernel: Analyzed) -> float | None:
    limits, totals, scale = kernel.found.bound, kernel.found.totals, kernel.found.scale
    if limits is None or totals is None or scale is None:
        return None
    plain = sum(totals.operations.values()) * scale / kernel.device.product.peak("fp32")
    return max(limits.memory_seconds, plain) / max(limits.memory_seconds, limits.compute_seconds)


def dtypes_of(given: Any) -> Dtypes:
    """Return the dtypes of a product: one of the operands; two alike; operands and sums; or both and sums.

    Raises InputError for one that is not known.

    >>> dtypes_of(["float16", "float32"])
    Dtypes(operands='fp16', sums='fp32', forbidden='')
    >>> dtypes_of("float32").forbidden
    ''
    """
    listed = _listed(given)
    if not 1 <= len(listed) <= 3:
        raise InputError(
            "data_types are one to three, of the operands and of the sums, as ['float16', 'float32'], not "
            f"{given!r}"
        )
    names = [_dtype(one) for one in listed]
    first = names[0]
    allowed = ACCUMULATORS.get(first, (first,))
    if len(names) == 1 or (len(names) == 2 and names[1] == first):
        return Dtypes(first, allowed[0])
    if len(names) == 3 and names[1] != first:
        return Dtypes(first, names[2], f"operands of {first} and {names[1]} differ: give both one dtype")
    if names[-1] not in allowed:
        return Dtypes(
            first,
            names[-1],
            f"tensor cores add products of {first} up in {' or '.join(allowed)}, not {names[-1]}",
        )
    return Dtypes(first, names[-1])


def _listed(given: Any) -> list[str]:
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return [one if isinstance(one, str) else getattr(one, "__name__", None) or str(one) for one in several]


def _dtype(name: str) -> str:
    if name.lower().removeprefix("torch.") == "int32":  # of sums alone
        return "int32"
    return tensor_cores.dtype_name(name)


def _operation(name: str) -> str:
    lower = str(name).lower()
    if lower not in PRODUCTS and lower not in STEPS:
        raise InputError(
            f"operation {name!r} is not known; products are {', '.join(PRODUCTS)}; others "
            f"{', '.join(sorted(set(STEPS) - set(PRODUCTS)))}"
        )
    return lower


def _sizes(name: str, what: str, given: Any, count: int) -> tuple[int, ...]:
    sizes = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(sizes) != count or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise InputError(f"{name} must be {what}, each at least 1, not {given!r}")
    return sizes


def _reasons(device: Device, name: str, dtypes: Dtypes, found: tensor_cores.TensorCoreUse) -> list[str]:
    """Return what keeps a product from tensor cores; nothing if it can run on them."""
    if name not in PRODUCTS:
        return [f"{name} is no product of matrices: tensor cores do nothing else"]
    if not device.tensor_cores:
        return ["hardware_config says that the GPU has no tensor cores"]
    if dtypes.forbidden:
        return [dtypes.forbidden]
    if dtypes.operands == "fp32" and "tf32" in device.product.capability.tensor_dtypes:
        return [
            "float32 itself has no tensor cores: allow tf32 (10 bits of mantissa), or use fp16 or bf16 "
            "and add up in float32"
        ]
    return [] if found.instruction else [found.requirements[0]]


def _speedup(device: Device, dtype: str) -> float | None:
    try:
        return tensor_cores.speedup(device.product, dtype)
    except InputError:  # the rate is not known
        return None


def _gain(
    device: Device, dtypes: Dtypes, shape: tuple[int, int, int], cut: Tiling | None, compatible: bool
) -> float | None:
    """Return the least time in fp32 on the other cores by that on tensor cores; None if a rate is unknown."""
    if not compatible:
        return 1.0
    if cut is None:
        return None
    m, k, n = shape
    # What tiles and waves lose is lost by both: the same tiles would be computed.
    work = 2 * m * k * n / cut.efficiency
    operand, total = tensor_cores.BITS[dtypes.operands] / 8, 4
    try:
        without = bound(device.product, "fp32", work, 4 * (m * k + k * n + m * n))
        within = bound(device.product, dtypes.operands, work, operand * (m * k + k * n) + total * m * n)
    except InputError:
        return None
    return without.seconds / within.seconds


def _quantization(cut: Tiling, output: tuple[int, int], tile: tuple[int, int]) -> list[str]:
    advice = []
    if cut.tile_efficiency < _GOOD:
        advice.append(
            f"{units.share(1 - cut.tile_efficiency)} of the tiles' work is beyond the edges: {output[0]} x "
            f"{output[1]} does not fill tiles of {tile[0]} x {tile[1]}: choose smaller ones, or batch rows"
        )
    if cut.wave_efficiency < _GOOD:
        advice.append(
            f"{cut.tiles} tiles in {cut.waves} wave{'s' * (cut.waves > 1)} of {cut.slots} leave "
            f"{units.share(1 - cut.wave_efficiency)} of the slots empty: choose other tiles, or split K"
        )
    return advice
