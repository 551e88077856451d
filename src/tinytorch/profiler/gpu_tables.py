"""What `tito gpu list` shows: the GPUs that are known, and what an SM of each compute capability can hold."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from tinytorch.gpu.arch import Capability, Product
from tinytorch.measure.report import new_table, print_whole
from tinytorch.runtime import units

#: Dtypes whose peaks are shown; all are in the JSON.
_SHOWN = ("fp32", "fp16", "bf16", "fp8", "int8")


def product_values(product: Product) -> dict[str, Any]:
    """Return a product as plain values: bytes, bytes a second, and dense operations a second by dtype."""
    return {
        "name": product.name,
        "compute_capability": str(product.capability),
        "arch": product.capability.arch,
        "sms": product.sms,
        "memory_bytes": product.memory_bytes,
        "bandwidth": product.bandwidth,
        "l2_bytes": product.l2_bytes,
        "link": product.link,
        "link_bandwidth": product.link_bandwidth,
        "peaks": {dtype: product.peak(dtype) for dtype in product.dtypes},
    }


def capability_values(capability: Capability) -> dict[str, Any]:
    """Return the limits of an SM as plain values."""
    return {
        "compute_capability": str(capability),
        "arch": capability.arch,
        "threads_per_sm": capability.threads_per_sm,
        "blocks_per_sm": capability.blocks_per_sm,
        "registers_per_sm": capability.registers_per_sm,
        "shared_per_sm": capability.shared_per_sm,
        "shared_per_block": capability.shared_per_block,
        "tensor_dtypes": list(capability.tensor_dtypes),
        "features": sorted(capability.features),
    }


def show(console: Console, products: list[dict[str, Any]], capabilities: list[dict[str, Any]]) -> None:
    """Print both as tables."""
    table = new_table("GPUs, and their peaks without sparsity in TFLOP/s or TOP/s")
    least = {
        "GPU": max(len(one["name"]) for one in products),
        "arch": 6,
        "SMs": 3,
        "GiB": 3,
        "link, GB/s": None,
    }
    for name in ("GPU", "arch", "SMs", "GiB", "GB/s", *_SHOWN, "link, GB/s"):
        table.add_column(
            name,
            justify="left" if name in ("GPU", "arch", "link, GB/s") else "right",
            min_width=least.get(name, 4),
        )
    for one in products:
        peaks = one["peaks"]
        table.add_row(
            escape(one["name"]),
            one["arch"],
            str(one["sms"]),
            f"{one['memory_bytes'] / 2**30:.0f}",
            f"{one['bandwidth'] / 1e9:.0f}",
            *(f"{peaks[dtype] / 1e12:.0f}" if dtype in peaks else "-" for dtype in _SHOWN),
            f"{one['link']}, {one['link_bandwidth'] / 1e9:.0f}",
        )
    print_whole(console, table)
    limits = new_table("What an SM holds, by compute capability")
    for name in ("arch", "threads", "blocks", "shared memory", "of a block", "tensor cores for", "has"):
        limits.add_column(name, justify="left" if name in ("arch", "tensor cores for", "has") else "right")
    for one in capabilities:
        limits.add_row(
            one["arch"],
            f"{one['threads_per_sm']:,}",
            str(one["blocks_per_sm"]),
            units.size(one["shared_per_sm"]),
            units.size(one["shared_per_block"]),
            ", ".join(one["tensor_dtypes"]),
            ", ".join(one["features"]),
        )
    print_whole(console, limits)
