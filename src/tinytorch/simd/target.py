"""What a CPU's vector unit can do: where instruction sets are told apart.

A target says how long a vector is, how many registers hold one, and which multiply-adds there are. Only
`simd.code` calls an instruction by its name, where a target has one; all else is written for any target.
`chosen` is the best that this CPU has, or what TINYTORCH_TARGET names: a lower one, so that its code can be
tested on a better machine.
"""

import functools
import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from tinytorch.runtime.arrays import DType


@dataclass(frozen=True)
class Target:
    """An instruction set, and how LLVM is to be told of it."""

    name: str
    needs: tuple[str, ...]  # LLVM's names of the features that a CPU must have
    forbids: tuple[str, ...]  # beginnings of the names of those that code for it must not use
    vector_bytes: int
    registers: int
    fused: bool  # a multiply-add with one rounding
    float16: bool  # conversion from float16
    #: Rows and vectors of the register tile, the accumulators of a product: see `tile`.
    rows: int
    vectors: int
    bfloat16_dot: bool = False  # pairs of bfloat16 multiplied and added to float32
    int8_dot: bool = False  # fours of int8 multiplied and added to int32, without saturation
    triple: str = ""  # "" is the machine that this runs on

    def lanes(self, dtype: DType) -> int:
        """Return how many numbers a vector holds."""
        return self.vector_bytes // dtype.itemsize

    @property
    def group(self) -> int:
        """How many integers are multiplied and added to one int32 at a time: int8, or pairs of int16."""
        return 4 if self.int8_dot else 2

    @property
    def offset(self) -> int:
        """What is added to the int8 codes of A: x86 multiplies unsigned bytes by signed ones."""
        return 128 if self.int8_dot and self.x86 else 0

    def has(self, feature: str) -> bool:
        """Say whether code for it may use a feature, by LLVM's name."""
        return feature in self.needs

    @property
    def x86(self) -> bool:
        """Say whether LLVM's x86 intrinsics are there."""
        return (self.triple or own_triple()).startswith(("x86_64", "i386", "i686"))


@functools.cache
def own_triple() -> str:
    """Return LLVM's name of what this process runs on: asking LLVM takes longer than a small product."""
    return str(llvm.get_process_triple())


_AVX2 = ("avx2", "fma", "f16c")
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c")
#: Best first. Register tiles: with MR rows and NV vectors, one step of K loads NV vectors of B, broadcasts
#: MR numbers of A and does MR * NV multiply-adds. MR * NV must cover the latency of a multiply-add (4 cycles
#: times 2 a cycle: at least 8), and MR * NV + NV + 1 registers must exist, or the tile spills to memory.
#: AVX-512, 32 registers: 6 x 4 and 8 x 3 and 12 x 2 are alike, 14 x 2 spills (Zen 4). AVX2, 16 registers:
#: 6 x 2 uses 15 of them and loads 8 times for 12 multiply-adds; 4 x 3 loads 7 times, 4 x 2 only 6 for 8.
#: NEON, 32 registers: 5 x 4 loads 9 times for 20; 8 x 3, 7 x 3 and 6 x 4 would fit, but LLVM spills (seen in
#: its assembly for three CPUs; no ARM machine has timed it). The fallback has no fused multiply-add: its
#: products need a register on their way to the sum, so 4 x 2.
TARGETS = (
    Target(
        *("avx512-bf16", (*_AVX512, "avx512vnni", "avx512bf16"), (), 64, 32, True, True, 6, 4),
        bfloat16_dot=True,
        int8_dot=True,
    ),
    Target("avx512-vnni", (*_AVX512, "avx512vnni"), ("avx512bf16",), 64, 32, True, True, 6, 4, int8_dot=True),
    Target("avx512", _AVX512, ("avx512bf16", "avx512vnni", "avxvnni"), 64, 32, True, True, 6, 4),
    Target(
        *("avx2-vnni", (*_AVX2, "avxvnni"), ("avx512", "avx10", "evex512"), 32, 16, True, True, 6, 2),
        int8_dot=True,
    ),
    Target("avx2", _AVX2, ("avx512", "avx10", "evex512", "avxvnni"), 32, 16, True, True, 6, 2),
    Target("neon-dot", ("neon", "dotprod"), ("sve", "sme"), 16, 32, True, True, 5, 4, int8_dot=True),
    Target("neon", ("neon",), ("sve", "sme", "dotprod", "i8mm", "bf16"), 16, 32, True, True, 5, 4),
    Target("generic", (), (), 16, 16, False, False, 4, 2),
)


@functools.lru_cache(maxsize=1)
def available() -> tuple[Target, ...]:
    """Return the targets whose code this CPU can run, best first."""
    features = llvm.get_host_cpu_features()
    has = {name for name, there in features.items() if there}
    if own_triple().startswith("aarch64"):
        has.add("neon")  # part of the architecture; some systems do not list it
    return tuple(target for target in TARGETS if has.issuperset(target.needs))


@functools.lru_cache(maxsize=1)
def chosen() -> Target:
    """Return the target that kernels are made for.

    Raises ValueError if TINYTORCH_TARGET names none that this CPU can run.
    """
    name = os.environ.get("TINYTORCH_TARGET")
    if not name:
        return available()[0]
    for target in available():
        if target.name == name:
            return target
    names = ", ".join(target.name for target in available())
    raise ValueError(f"TINYTORCH_TARGET is {name!r}; this CPU runs {names}")


def tile(target: Target, dtype: DType) -> tuple[int, int]:
    """Return (MR, NR): the rows and columns of C that a micro-kernel keeps in registers."""
    return target.rows, target.vectors * target.lanes(dtype)


def machine(target: Target) -> llvm.TargetMachine:
    """Return LLVM's code generator for a target."""
    if target.triple:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        features = ",".join(f"+{name}" for name in target.needs)
        return llvm.Target.from_triple(target.triple).create_target_machine(
            cpu="", features=features, opt=3, reloc="pic"
        )
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = host(target)
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def host(target: Target) -> tuple[str, str]:
    """Return (CPU name, feature string): this CPU, less what the target must not use."""
    if target.name == "generic":
        return "generic" if not target.x86 else "x86-64", ""
    flags = {
        name: there and not name.startswith(target.forbids)
        for name, there in llvm.get_host_cpu_features().items()
    }
    return llvm.get_host_cpu_name(), ",".join(f"{'+' if on else '-'}{name}" for name, on in flags.items())
