"""How fast the CPU may run: the limits of its clock, and who chooses between them."""

import platform
from dataclasses import dataclass
from pathlib import Path

from tinytorch.machine import sysctl
from tinytorch.machine.files import CPUS, ROOT, number, read
from tinytorch.machine.quota import affinity


@dataclass(frozen=True)
class Frequency:
    """Of the first CPU that this process may use; None for what is unknown, as in most virtual machines."""

    governor: str | None  # Linux's name of the policy, such as "powersave"
    min_mhz: float | None
    max_mhz: float | None


def frequency(root: Path = ROOT) -> Frequency:
    """Return the clock's limits as they are set now, else those of the hardware."""
    if platform.system() == "Darwin":
        low, high = sysctl.number("hw.cpufrequency_min"), sysctl.number("hw.cpufrequency_max")
        return Frequency(None, low / 1e6 if low else None, high / 1e6 if high else None)
    if platform.system() == "Windows":
        import psutil

        told = psutil.cpu_freq()
        return Frequency(None, None, float(told.max) if told and told.max else None)
    folder = root / CPUS / f"cpu{min(affinity() or (0,))}/cpufreq"
    return Frequency(
        read(folder / "scaling_governor") or None, _limit(folder, "min_freq"), _limit(folder, "max_freq")
    )


def _limit(folder: Path, name: str) -> float | None:
    khz = number(read(folder / f"scaling_{name}")) or number(read(folder / f"cpuinfo_{name}"))
    return khz / 1000 if khz else None
