"""Virtual machines, containers and clocks, as several systems tell of them."""

from types import SimpleNamespace

import psutil
import pytest

from tests.machine import trees
from tests.machine.trees import CPUINFO, lay
from tinytorch.machine.frequency import Frequency, frequency
from tinytorch.machine.host import container, virtualization

DMI = "sys/class/dmi/id"
CLOCKS = "sys/devices/system/clocksource/clocksource0/available_clocksource"
GUEST = {"proc/cpuinfo": CPUINFO.format(model="x", flags="hypervisor avx2")}
METAL = {"proc/cpuinfo": CPUINFO.format(model="x", flags="avx2")}
ARM = {"proc/cpuinfo": "processor : 0\nFeatures : fp asimd\n"}


def product(maker, name):
    return {f"{DMI}/sys_vendor": maker, f"{DMI}/product_name": name}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, None),
        (METAL, "none"),
        (trees.server(), "none"),
        (GUEST, "a hypervisor"),
        (GUEST | {CLOCKS: "tsc kvm-clock acpi_pm"}, "KVM"),
        (GUEST | {CLOCKS: "tsc hpet"}, "a hypervisor"),
        (GUEST | product("QEMU", "Standard PC"), "QEMU Standard PC"),
        (GUEST | product("Dell Inc.", "PowerEdge"), "a hypervisor"),
        ({"sys/hypervisor/type": "xen"}, "xen"),
        (ARM, None),
        (ARM | product("Dell Inc.", "PowerEdge"), None),
        (ARM | product("Amazon EC2", "c7g.large"), "Amazon EC2 c7g.large"),
        (ARM | product("Amazon EC2", "c7g.metal"), None),
        ({f"{DMI}/product_name": "VirtualBox"}, "VirtualBox"),
    ],
)
def test_virtualization(tmp_path, files, told):
    assert virtualization(lay(tmp_path, files)) == told


def test_virtualization_of_macos(macos):
    assert virtualization() is None
    macos["kern.hv_vmm_present"] = 0
    assert virtualization() == "none"
    macos["kern.hv_vmm_present"] = 1
    assert virtualization() == "a hypervisor"


def test_virtualization_of_windows(on_windows):
    registry = on_windows(b"", 0)
    assert virtualization() is None
    registry |= {"SystemManufacturer": "Microsoft Corporation", "SystemProductName": "Virtual Machine"}
    assert virtualization() == "Microsoft Corporation Virtual Machine"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/user.slice"}, None),
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"run/systemd/container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"proc/self/cgroup": "0::/kubepods.slice/pod1/cri-containerd-2"}, "kubepods"),
        ({"proc/self/cgroup": "3:memory:/lxc/one\n0::/"}, "lxc"),
    ],
)
def test_container(tmp_path, monkeypatch, files, told):
    monkeypatch.delenv("container", raising=False)
    assert container(lay(tmp_path, files)) == told
    monkeypatch.setenv("container", "oci")
    assert container(tmp_path) == ("systemd-nspawn" if told == "systemd-nspawn" else "oci")


def test_clock(tmp_path, allow):
    allow(3)
    root = lay(tmp_path, trees.server())
    assert frequency(root) == Frequency("powersave", 800.0, 3500.0)
    (root / "sys/devices/system/cpu/cpu3/cpufreq/scaling_max_freq").write_text("<unknown>")
    assert frequency(root) == Frequency("powersave", 800.0, 4000.0)
    assert frequency(tmp_path / "absent") == Frequency(None, None, None)


def test_clock_of_macos(macos):
    assert frequency() == Frequency(None, None, None)
    macos |= {"hw.cpufrequency_min": 1_200_000_000, "hw.cpufrequency_max": 2_600_000_000}
    assert frequency() == Frequency(None, 1200.0, 2600.0)


@pytest.mark.parametrize(
    ("told", "limit"), [(SimpleNamespace(max=2400.0), 2400.0), (SimpleNamespace(max=0.0), None), (None, None)]
)
def test_clock_of_windows(on_windows, monkeypatch, told, limit):
    on_windows(b"", 0)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: told)
    assert frequency() == Frequency(None, None, limit)
