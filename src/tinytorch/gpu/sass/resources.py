"""What a kernel takes of a multiprocessor: registers, stack, shared and constant memory, by cuobjdump."""

import re
import struct
from dataclasses import dataclass

from tinytorch.gpu.sass import tools
from tinytorch.runtime.errors import InputError

_FUNCTION = re.compile(r"Function (?P<name>.+?):\s*\n\s*(?P<numbers>REG:.*)")
_NUMBER = re.compile(r"(\w+)(?:\[\d+\])?:(\d+)")
#: Bytes that the system keeps for itself in each block. Machine code of compute capability 9.0 and newer
#: counts them with the kernel's own, if it has any (seen with ptxas 12.8 and
#: 13.5, whose -v leaves them out).
RESERVED = 1024


@dataclass(frozen=True, slots=True)
class Resources:
    """What one kernel takes, in registers a thread and bytes."""

    kernel: str
    registers: int
    stack: int | None  # a thread: arrays in local memory, what was spilled, and calls; None with recursion
    shared: int  # static, a block, without what the system reserves
    local: int  # a thread, as old GPUs laid it out: those of today count it as stack
    constant: int  # parameters and the code's constants; the module's __constant__ variables are not counted


def resources(cubin: bytes) -> dict[str, Resources]:
    """Return what each kernel of a cubin takes, by name.

    Raises InputError if it is no cubin; MissingExtraError, one too, if cuobjdump is not installed.
    """
    reserved = RESERVED if architecture(cubin) >= 90 else 0
    done = tools.run("cuobjdump", cubin, lambda file: ["--dump-resource-usage", str(file)])
    return {
        match["name"]: _resources(match["name"], match["numbers"], reserved)
        for match in _FUNCTION.finditer(done.stdout)
    }


def architecture(cubin: bytes) -> int:
    """Return the compute capability that a cubin is for, times ten, from its ELF header.

    It stands in the flags: in their lowest byte up to version 7 of the format, then in the one above.
    """
    if not cubin.startswith(b"\x7fELF\x02") or len(cubin) < 64:
        raise InputError("this is no cubin: it is no 64-bit ELF file")
    machine, flags = struct.unpack_from("<H", cubin, 18)[0], struct.unpack_from("<I", cubin, 48)[0]
    if machine != 190:  # EM_CUDA
        raise InputError("this is no cubin: it is machine code for something else")
    return flags & 0xFF if cubin[8] <= 7 else flags >> 8 & 0xFF


def _resources(kernel: str, numbers: str, reserved: int) -> Resources:
    found: dict[str, int] = {}
    for name, value in _NUMBER.findall(numbers):
        found[name] = found.get(name, 0) + int(value)
    return Resources(
        kernel=kernel,
        registers=found["REG"],
        stack=found.get("STACK"),
        shared=max(0, found["SHARED"] - reserved),
        local=found["LOCAL"],
        constant=found.get("CONSTANT", 0),
    )
