"""Intel's matrix unit (AMX): eight registers of 16 rows of 64 bytes, multiplied in one instruction.

No kernel of ours uses it yet. Its peak is measured, because libraries use it and a roof must not lie below
what they reach. Linux lends the registers only to a process that asks.
"""

import ctypes
import functools
import platform
import sys
from collections.abc import Mapping

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from tinytorch.runtime.arrays import BFLOAT16, INT8, Array, DType
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value
from tinytorch.simd.target import Target

#: LLVM's names of the feature and of the instruction that multiplies bytes of 16 rows into 16 x 16 sums.
_FEATURES = {BFLOAT16: ("amx-bf16", "llvm.x86.tdpbf16ps"), INT8: ("amx-int8", "llvm.x86.tdpbssd")}
_REGISTERS, _ROWS, _ROW_BYTES = 8, 16, 64
#: Two registers are multiplied; sums in the six others cover an instruction's latency (52 cycles, one in 16).
_SUMS = _REGISTERS - 2
#: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) on x86-64.
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18


@functools.cache
def usable() -> bool:
    """Ask for the registers; says whether this process has them."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    if not llvm.get_host_cpu_features().get("amx-tile"):
        return False
    return ctypes.CDLL(None, use_errno=True).syscall(_ARCH_PRCTL, _REQUEST, _TILE_DATA) == 0


def multiplies(dtype: DType) -> bool:
    """Say whether this process can multiply tiles of a dtype."""
    if dtype not in _FEATURES or not llvm.get_host_cpu_features().get(_FEATURES[dtype][0]):
        return False
    return usable()


def turn_operations(dtype: DType) -> int:
    """Return the operations of a turn: each instruction does 16 x 16 sums over a row of numbers."""
    return 2 * _SUMS * _ROWS * _ROWS * (_ROW_BYTES // dtype.itemsize)


def configuration() -> Array:
    """Return the 64 bytes that say how large each register is: palette 1, all of them whole."""
    words = np.zeros(64, np.uint8)
    words[0] = 1
    words[16 : 16 + 2 * _REGISTERS].view(np.uint16)[:] = _ROW_BYTES
    words[48 : 48 + _REGISTERS] = _ROWS
    return words


def tile_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return "peak", which takes (turns, address of a configuration)."""
    return {"peak": Kernel(peak, dtype)}


def peak(code: Code, dtype: DType, turns: Value, settings: Value) -> None:
    """Do `turns` rounds of one multiplication of zeros into each sum: their time is that of any numbers."""
    byte, nothing = ir.IntType(8), ir.VoidType()

    def number(register: int) -> ir.Constant:
        return ir.Constant(byte, register)

    code.call("llvm.x86.ldtilecfg", nothing, code.address(settings).ir)
    for register in range(_REGISTERS):
        code.call("llvm.x86.tilezero", nothing, number(register))
    with code.loop(turns):
        for register in range(_SUMS):
            operands = (number(register), number(_SUMS), number(_SUMS + 1))
            code.call(_FEATURES[dtype][1], nothing, *operands)
    code.call("llvm.x86.tilerelease", nothing)
