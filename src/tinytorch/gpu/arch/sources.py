"""The documents that the tables of GPUs are drawn from, and how a table is gathered from them.

A row of a table is written as groups of cells, one group for each document, so that no cell can be without
its source. A document that was not opened here is marked so: its cells are as they are commonly quoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """A document, and whether it was opened when the tables were written."""

    document: str
    opened: bool = True

    def __str__(self) -> str:
        """Return the document, and say so if it was not opened.

        >>> print(Source("A data sheet", opened=False))
        A data sheet (not opened)
        """
        return self.document if self.opened else f"{self.document} (not opened)"


#: By the key that the tables use.
SOURCES: Mapping[str, Source] = {
    # Of the compute capabilities
    "header": Source("NVIDIA, cuda_occupancy.h of the wheel nvidia-cuda-runtime 13.5"),
    "cccl": Source("NVIDIA/cccl, libcudacxx/include/cuda/__device/arch_traits.h at efee2cf"),
    # In the copy that was read the columns run together; the vendor's peaks of the products settle them.
    "wikipedia": Source("Wikipedia, CUDA: tensor cores, technical and architecture specifications"),
    "xla": Source("OpenXLA, xla/stream_executor/cuda/cuda_core_info_table.cc, after NVIDIA's white papers"),
    "forum": Source("NVIDIA forum, How to calculate the Tensor Core FP16 performance of H100 (244727)"),
    "xavier": Source("deviceQuery of a Jetson Xavier, gist r7vme/7276929c"),
    "orin": Source("deviceQuery of a Jetson Orin, gist atinfinity/8cede915"),
    "sm120": Source(
        "Notes on sm_120, quoting NVIDIA's guides 13.4, PTX ISA 9.4 and RTX Blackwell white paper"
    ),
    "ptx": Source("NVIDIA, PTX ISA, target notes of mma, wgmma and tcgen05", opened=False),
    # Of the products
    "sysrqmts": Source("sysrqmts.com, comparisons of the A100 SXM4 40 GB, Tesla T4 and Tesla V100 SXM3"),
    "hmc": Source("hmc-tech.com, GeForce RTX 4090 against RTX PRO 5000, and B200 against L4"),
    "klockwood": Source("glennklockwood.com, H100 and B200, after NVIDIA's white papers"),
    "acecloud": Source("acecloud.ai, B200, H200, H100 and A100 SXM, after NVIDIA's data sheets"),
    "llmbook": Source("llmbook.apartsin.com, appendix G.1, GPU comparison"),
    "pocketmags": Source("Linux Format, May 2025, GeForce RTX 5090"),
    "volta": Source("NVIDIA, V100 data sheet", opened=False),
    "turing": Source("NVIDIA, T4 data sheet", opened=False),
    "a100": Source("NVIDIA, A100 data sheet", opened=False),
    "a10": Source("NVIDIA, A10 data sheet", opened=False),
    "ga102": Source("NVIDIA, Ampere GA102 white paper", opened=False),
    "ada": Source("NVIDIA, Ada white paper and data sheets of the L4 and the L40S", opened=False),
    "hopper": Source("NVIDIA, H100 white paper", opened=False),
    "blackwell": Source("NVIDIA, Blackwell architecture briefs", opened=False),
    "nvml": Source("NVML, asked on the machine"),
    "none": Source("No document: the cell is left empty", opened=False),
}


def gathered(*groups: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the cells of a row, and by the names of the cells their sources.

    >>> gathered({"header": {"blocks_per_sm": 32}}, {"cccl": {"threads_per_sm": 2048}})[1]
    {'blocks_per_sm': 'header', 'threads_per_sm': 'cccl'}
    """
    cells: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for group in groups:
        for source, part in group.items():
            if source not in SOURCES or not cells.keys().isdisjoint(part):
                raise AssertionError(f"an unknown source, or a cell twice: {source}, {sorted(part)}")
            cells |= part
            sources |= dict.fromkeys(part, source)
    return cells, sources
