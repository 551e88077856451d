"""Whether this is a whole computer: the virtual machine and the container that the process runs in."""

import os
import platform
import re
from pathlib import Path

from tinytorch.machine import sysctl, windows
from tinytorch.machine.files import ROOT, cpuinfo, exists, read

NO_HYPERVISOR = "none"
UNNAMED = "a hypervisor"
#: Clocks that a hypervisor lends its guests, and whose they are.
_CLOCKS = {"kvm-clock": "KVM", "hyperv_clocksource_tsc_page": "Hyper-V", "xen": "Xen"}
#: Words in the maker's and the product's name of virtual machines; of a cloud's rented hardware some, too.
_PRODUCTS = re.compile(
    r"kvm|qemu|vmware|virtual|xen|bhyve|parallels|openstack|google compute engine|amazon ec2|droplet",
    re.IGNORECASE,
)
#: Files that an engine leaves in its containers, and names in the paths of their control groups.
_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
_GROUPS = re.compile("kubepods|docker|libpod|containerd|lxc")


def virtualization(root: Path = ROOT) -> str | None:
    """Return the hypervisor below this system, as it names itself; "none" for none, None for unknown."""
    if platform.system() == "Darwin":
        present = sysctl.number("kern.hv_vmm_present")
        return None if present is None else UNNAMED if present else NO_HYPERVISOR
    if platform.system() == "Windows":
        bios = windows.BIOS
        return _virtual(
            windows.registry(bios, "SystemManufacturer"), windows.registry(bios, "SystemProductName")
        )
    named = read(root / "sys/hypervisor/type")
    if named:
        return named
    dmi = root / "sys/class/dmi/id"
    product = _virtual(read(dmi / "sys_vendor"), read(dmi / "product_name"))
    flags = cpuinfo(root).get("flags")  # x86 has a flag for it; ARM calls its list otherwise
    if not flags:
        return product
    if "hypervisor" not in flags.split():
        return NO_HYPERVISOR
    return product or _clock(root) or UNNAMED


def _virtual(maker: str | None, product: str | None) -> str | None:
    """Return the names if they are a virtual machine's: what a board is called says nothing else."""
    name = " ".join(part for part in (maker, product) if part)
    return name if _PRODUCTS.search(name) and ".metal" not in name else None


def _clock(root: Path) -> str | None:
    clocks = read(root / "sys/devices/system/clocksource/clocksource0/available_clocksource") or ""
    return next((_CLOCKS[clock] for clock in clocks.split() if clock in _CLOCKS), None)


def container(root: Path = ROOT) -> str | None:
    """Return what kind of container has left its mark here; None if nothing has."""
    told = read(root / "run/systemd/container") or os.environ.get("container")  # noqa: SIM112 - its name
    if told:
        return told
    for mark, engine in _MARKS.items():
        if exists(root / mark):
            return engine
    group = _GROUPS.search(read(root / "proc/self/cgroup") or "")
    return group[0] if group else None
