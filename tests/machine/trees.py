"""Trees of /proc and /sys as several machines have them, laid for a test."""

import struct

from tinytorch.machine.files import cpu_list


def lay(root, files):
    """Write files below a root and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def topology(cpu, siblings, package="0", core="0"):
    """Return the files of a CPU's place."""
    folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
    return {
        f"{folder}/physical_package_id": package,
        f"{folder}/core_id": core,
        f"{folder}/thread_siblings_list": siblings,
    }


def cache(cpu, index, level, kind, size, shared, ways="8", line="64"):
    """Return the files of one of a CPU's caches."""
    folder = f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
    return {
        f"{folder}/level": level,
        f"{folder}/type": kind,
        f"{folder}/size": size,
        f"{folder}/shared_cpu_list": shared,
        f"{folder}/ways_of_associativity": ways,
        f"{folder}/coherency_line_size": line,
    }


def caches(cpu, core, l1, l2, cluster, l3, socket):
    """Return the files of a CPU's four caches: sizes, and which CPUs share them."""
    return {
        **cache(cpu, 0, "1", "Data", l1, core, ways="12"),
        **cache(cpu, 1, "1", "Instruction", "32K", core),
        **cache(cpu, 2, "2", "Unified", l2, cluster, ways="16"),
        **cache(cpu, 3, "3", "Unified", l3, socket, ways="20"),
    }


CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: {model}
flags\t\t: fpu vme {flags}

processor\t: 1
model name\t: another
"""


def server():
    """Two sockets of two cores of two threads each, as Linux numbers them: second threads come last."""
    files = {"sys/devices/system/cpu/online": "0-7"}
    for cpu in range(8):
        first = cpu % 4
        package = first // 2
        core, socket = (
            f"{first},{first + 4}",
            f"{2 * package}-{2 * package + 1},{2 * package + 4}-{2 * package + 5}",
        )
        files |= topology(cpu, core, str(package), str(first % 2))
        files |= caches(cpu, core, "48K", "2M", core, "307200K", socket)
        clock = f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        files |= {
            f"{clock}/scaling_governor": "powersave",
            f"{clock}/scaling_min_freq": "800000",
            f"{clock}/scaling_max_freq": "3500000",
            f"{clock}/cpuinfo_max_freq": "4000000",
        }
    files |= {
        "proc/cpuinfo": CPUINFO.format(model="Intel(R) Xeon(R) 8592+", flags="avx2 avx512f"),
        "proc/meminfo": "MemTotal:       32000000 kB\nMemFree:         1000000 kB",
        "sys/class/dmi/id/sys_vendor": "Dell Inc.",
        "sys/class/dmi/id/product_name": "PowerEdge R760",
        "sys/devices/system/node/online": "0-1",
    }
    for node, cpus in enumerate(("0-1,4-5", "2-3,6-7")):
        folder = f"sys/devices/system/node/node{node}"
        files[f"{folder}/cpulist"] = cpus
        files[f"{folder}/meminfo"] = f"Node {node} MemTotal:       16000000 kB\nNode {node} MemFree: 10 kB"
    return files


def hybrid():
    """Two fast cores of two threads (CPUs 0 to 3) and a cluster of four small ones (4 to 7)."""
    files = {"sys/devices/system/cpu/online": "0-7"}
    for cpu in range(8):
        fast = cpu < 4
        core = f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" if fast else str(cpu)
        files |= topology(cpu, core, "0", str(cpu))
        cluster = core if fast else "4-7"
        files |= caches(
            cpu, core, "48K" if fast else "32K", "1280K" if fast else "2048K", cluster, "12M", "0-7"
        )
    return files


def arm():
    """Two clusters of two cores whose numbers start again in each, without a model's name."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\nprocessor\t: 1\n",
        "sys/devices/system/cpu/online": "0-3",
    }
    for cpu in range(4):
        files |= topology(cpu, str(cpu), "0", str(cpu % 2))
        files |= cache(cpu, 0, "1", "Data", "64K", str(cpu), ways="4")
        files |= cache(cpu, 1, "1", "Instruction", "64K", str(cpu))
        files |= cache(cpu, 2, "2", "Unified", "1M", str(cpu))
    return files


def record(relation, body, at, cpus):
    """Return one record of GetLogicalProcessorInformationEx: `at` is where the count of groups lies."""
    groups = sorted({cpu // 64 for cpu in cpus})
    masks = b"".join(
        struct.pack("<QH6x", sum(1 << cpu % 64 for cpu in cpus if cpu // 64 == group), group)
        for group in groups
    )
    inner = body.ljust(at - 8, b"\0") + struct.pack("<H", len(groups)) + masks
    return struct.pack("<II", relation, 8 + len(inner)) + inner


def windows_laptop():
    """Return the records of one package: two cores of two threads, three caches, one node."""
    unified, instruction, data = range(3)
    found = [record(3, b"", 30, range(4)), record(1, struct.pack("<I", 0), 30, range(4))]
    for core in cpu_list("0,2"):
        cpus = (core, core + 1)
        found.append(record(0, b"\1", 30, cpus))
        found.append(record(2, struct.pack("<BBHII", 1, 8, 64, 32 << 10, instruction), 38, cpus))
        found.append(record(2, struct.pack("<BBHII", 1, 12, 64, (32 + 8 * core) << 10, data), 38, cpus))
        found.append(record(2, struct.pack("<BBHII", 2, 10, 64, 1280 << 10, unified), 38, cpus))
    found.append(record(2, struct.pack("<BBHII", 3, 255, 64, 12 << 20, unified), 38, range(4)))
    return b"".join(found)
