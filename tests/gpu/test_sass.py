"""Machine code as NVIDIA's tools show it: the facts that are known of one product on five generations."""

import functools
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("triton")
pytest.importorskip("cuda.bindings.nvrtc")

from tests.gpu.kernels.cuda_kernels import CASES
from tests.gpu.kernels.triton_kernels import add, dense_bfloat16
from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp
from tinytorch.gpu.frontends.triton import from_triton
from tinytorch.gpu.sass import tools
from tinytorch.gpu.sass.assemble import assemble
from tinytorch.gpu.sass.opcodes import MachineInstruction, code
from tinytorch.gpu.sass.resources import architecture, resources
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError

SHARED = (
    'extern "C" __global__ void f(float* x) { __shared__ float s[%d]; s[threadIdx.x] = x[0]; '
    "__syncthreads(); x[1] = s[5]; }"
)


@functools.lru_cache
def product(arch):
    return dense_bfloat16(arch).cubin


@pytest.mark.parametrize(
    ("arch", "matrix"), [("sm_80", "HMMA"), ("sm_90", "HGMMA"), ("sm_100", "UTCHMMA"), ("sm_120", "HMMA")]
)
def test_tensor_cores_of_each_generation(arch, matrix):
    kernel = code(product(arch))["dense"]
    assert kernel.tensor_cores() == Counter({matrix: 128 if matrix == "HMMA" else 8})
    taken = resources(product(arch))["dense"]
    assert 128 < taken.registers <= 255
    assert (taken.stack, taken.shared) == (0, 0)  # its shared memory is dynamic
    assert (kernel.local_loads, kernel.local_stores) == (0, 0)


def test_bfloat16_falls_off_the_tensor_cores_of_turing():
    kernel, taken = code(product("sm_75"))["dense"], resources(product("sm_75"))["dense"]
    assert not kernel.tensor_cores()
    assert taken.stack > 10_000
    assert kernel.local_loads > 1000 and kernel.local_stores > 1000


@pytest.mark.parametrize(("n", "width"), [(1024, 128), (1023, 32)])
def test_widths_follow_what_is_known_of_n(n, width):
    x, y, out = np.zeros((3, 1024), np.float32)
    made = from_triton(add, 2, (x, y, out, n), meta={"BLOCK": 512})
    widths = code(made.cubin)["add"].widths()
    assert set(widths["LDG"]) == set(widths["STG"]) == {width}


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_copies_past_the_registers_have_widths_too(arch):
    copies = "".join(
        f"cp.async.{kept}.shared.global [s+{1024 * i}], [a], {size};"
        for i, (kept, size) in enumerate((("cg", 16), ("ca", 8), ("ca", 4), ("ca", 4)))
    )
    ptx = f""".version 8.0
    .target sm_80
    .address_size 64
    .visible .entry k(.param .u64 p) {{
        .reg .b64 a; .reg .f32 x;
        .shared .align 16 .b8 s[4096];
        ld.param.u64 a, [p]; cvta.to.global.u64 a, a;
        {copies}
        cp.async.wait_all; bar.sync 0;
        ld.shared.f32 x, [s+1024]; st.global.f32 [a], x; ret;
    }}"""
    assert code(assemble(ptx, arch))["k"].widths()["LDGSTS"] == {128: 1, 64: 1, 32: 2}


def test_each_instruction_has_its_line():
    made = from_cuda_cpp(SHARED.replace("{", "{\n") % 64, "f", 1, 64, (np.zeros(2, np.float32),))
    (file,) = made.sources
    lines = {(i.base, i.line) for i in code(made.cubin)["f"].instructions if i.file == file}
    assert {("LDG", 2), ("STS", 2), ("LDS", 2), ("STG", 2)} <= lines


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"])
@pytest.mark.parametrize("words", [64, 512])
def test_static_shared_memory_is_the_kernels_own(arch, words):
    made = from_cuda_cpp(SHARED % words, "f", 1, 64, (np.zeros(2, np.float32),), arch=arch)
    assert resources(made.cubin)["f"].shared == 4 * words
    assert architecture(made.cubin) == int(arch.removeprefix("sm_"))


def test_waiting_lanes():
    source = """extern "C" __global__ void f(float* x, int n) {
        if (threadIdx.x % 3) { for (int i = 0; i < n; i++) x[threadIdx.x] *= x[i]; }
        x[threadIdx.x + 64] = __shfl_sync(0xffffffff, x[threadIdx.x], 3);
    }"""
    made = from_cuda_cpp(source, "f", 1, 32, (np.zeros(96, np.float32), 3))
    kernel = code(made.cubin)["f"]
    assert kernel.count("BSYNC") > 0
    assert kernel.opcodes().total() == len(kernel.instructions)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kernel_is_there(case):
    made = case.compile()
    assert made.entry in resources(made.cubin)
    assert code(made.cubin)[made.entry].instructions[-1].opcode != "NOP"


@pytest.mark.parametrize(
    ("opcode", "width"),
    [
        ("LDG.E.U8", 8),
        ("LDS.U16", 16),
        ("LDG.E", 32),
        ("STG.E.64", 64),
        ("LDG.E.128.CONSTANT", 128),
        ("LDG.E.ENL2.256", 256),
    ],
)
def test_width_of_an_opcode(opcode, width):
    assert MachineInstruction(opcode).width == width


def test_an_older_gpu_than_the_newest_tools_know():
    x = np.zeros(64, np.float32)
    made = from_triton(add, 1, (x, x, x, 64), arch="sm_70", meta={"BLOCK": 64})
    assert architecture(made.cubin) == 70
    assert code(made.cubin)["add"].count("LDG") == 2


def test_ptx_is_assembled():
    x = np.zeros(64, np.float32)
    made = from_triton(add, 1, (x, x, x, 64), arch="sm_80", meta={"BLOCK": 64})
    assert code(assemble(made.ptx, "sm_80"))["add"].opcodes() == code(made.cubin)["add"].opcodes()
    with pytest.raises(InputError, match="ptxas: "):
        assemble(made.ptx.replace("ld.global", "ld.nowhere"), "sm_80")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x7fELF\x02", b"\x7fELF\x02" + bytes(200)])
def test_what_is_no_cubin(content):
    for read in (resources, code, architecture):
        with pytest.raises(InputError, match="this is no cubin"):
            read(content)


def test_a_broken_cubin_is_one_error():
    made = product("sm_90")
    with pytest.raises(InputError, match="nvdisasm: "):
        code(made[: len(made) // 2])


def test_a_missing_tool_is_named(monkeypatch):
    monkeypatch.setattr(tools, "found", lambda name: ())
    with pytest.raises(MissingExtraError, match="cuobjdump is not installed; it comes with"):
        resources(product("sm_90"))
