"""Small PTX programs for tests: a body in a kernel, with registers enough."""

import numpy as np

from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.program import Kernel
from tinytorch.gpu.ptx.run import Run, run

_TEXT = """.version 8.5
.target sm_90
.address_size 64
{module}
.visible .entry k({parameters})
{{
    .reg .pred %p<32>;
    .reg .b16 %h<32>;
    .reg .b32 %r<64>;
    .reg .f32 %f<32>;
    .reg .b64 %rd<64>;
    .reg .f64 %fd<32>;
{body}
}}
"""


def kernel_of(body: str, parameters: str = ".param .u64 out", module: str = "") -> Kernel:
    """Return a kernel with a body."""
    return parse(_TEXT.format(body=body, parameters=parameters, module=module)).kernel()


def launch(body: str, grid=1, block=32, module: str = "", **arguments) -> Run:
    """Run a body whose parameters are the keyword arguments: arrays and 32-bit integers."""
    options = {
        n: arguments.pop(n) for n in ("shared", "blocks", "unwritten", "steps", "memory") if n in arguments
    }
    kinds = {name: "u64" if isinstance(value, np.ndarray) else "u32" for name, value in arguments.items()}
    parameters = ", ".join(f".param .{kind} {name}" for name, kind in kinds.items())
    kernel = kernel_of(body, parameters, module)
    return run(kernel, grid, block, [Argument(n, v) for n, v in arguments.items()], **options)


#: %rd0 = out + 4 * (thread in the grid), %r0 = the thread in the grid, %r1 = the thread in the block.
MINE = """
    ld.param.u64 %rd0, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mad.lo.s32 %r0, %r2, %r3, %r1;
    mul.wide.u32 %rd1, %r0, 4;
    add.s64 %rd0, %rd0, %rd1;
"""


def ints(n: int) -> np.ndarray:
    """Return n zeros of int32."""
    return np.zeros(n, np.int32)
