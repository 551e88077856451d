"""The machine's memory, and which part of it lies near which CPUs (NUMA)."""

import platform
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from tinytorch.machine import sysctl, windows
from tinytorch.machine.files import ROOT, cpu_list, read


@dataclass(frozen=True)
class NumaNode:
    """Memory that is equally near to some CPUs; a node may have no CPU, or no memory."""

    node: int
    cpus: tuple[int, ...]
    bytes: int | None


def memory_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory the system has, in bytes; a container's limit is another matter."""
    if platform.system() == "Darwin":
        return sysctl.number("hw.memsize")
    if platform.system() == "Windows":
        import psutil

        return int(psutil.virtual_memory().total)
    return _total(read(root / "proc/meminfo"))


def numa_nodes(root: Path = ROOT) -> tuple[NumaNode, ...] | None:
    """Return the NUMA nodes; None where the system does not tell of any."""
    if platform.system() == "Windows":
        return _windows(windows.information())
    folder = root / "sys/devices/system/node"
    nodes = []
    for node in cpu_list(read(folder / "online")):  # a list of nodes is written as one of CPUs
        own = folder / f"node{node}"
        nodes.append(NumaNode(node, cpu_list(read(own / "cpulist")), _total(read(own / "meminfo"))))
    return tuple(nodes) or None


def _total(meminfo: str | None) -> int | None:
    """Find the total in a meminfo file, whose kB are KiB."""
    match = re.search(r"\bMemTotal:\s*([0-9]{1,16}) kB", meminfo or "")
    return int(match[1]) << 10 if match else None


def _windows(data: bytes) -> tuple[NumaNode, ...] | None:
    nodes = [
        NumaNode(struct.unpack_from("<I", record, 8)[0], cpus, None)  # it tells what is free, not the total
        for record, cpus in windows.records(data, windows.NODE)
        if len(record) >= 12
    ]
    return tuple(nodes) or None
