"""What a kernel is decides who compiles it; files that are not what they should be are told of."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("triton")
pytest.importorskip("numba_cuda")
pytest.importorskip("cuda.bindings.nvrtc")

from tests.gpu.kernels import cuda_kernels, numba_kernels, triton_kernels
from tinytorch.gpu.frontends.load import load
from tinytorch.runtime.errors import InputError

X = np.zeros(64, np.float32)
HERE = Path(triton_kernels.__file__).parent

PTX = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry put(.param .u64 .ptr .global .align 4 put_param_0, .param .u32 put_param_1) {
    .reg .b32 %r<2>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [put_param_0];
    ld.param.u32 %r1, [put_param_1];
    cvta.to.global.u64 %rd2, %rd1;
    st.global.u32 [%rd2], %r1;
    ret;
}
"""


@pytest.mark.parametrize(
    ("kernel", "args", "block", "meta", "frontend"),
    [
        (triton_kernels.add, (X, X, X, 64), None, {"BLOCK": 64}, "Triton"),
        (f"{HERE / 'triton_kernels.py'}:add", (X, X, X, 64), None, {"BLOCK": 64}, "Triton"),
        (numba_kernels.increment, (X,), 32, None, "numba-cuda"),
        (f"{HERE / 'numba_kernels.py'}:increment", (X,), 32, None, "numba-cuda"),
        (f"{HERE / 'cuda_kernels.py'}:SUM:sum", (X, X, 3), 32, None, "CUDA C++"),
        (f"{HERE / 'cuda_kernels.py'}:SUM", (X, X, 3), 32, None, "CUDA C++"),
        (cuda_kernels.SUM, (X, X, 3), 32, None, "CUDA C++"),
    ],
)
def test_each_kernel_goes_to_its_frontend(kernel, args, block, meta, frontend):
    made = load(kernel, 1, args, block=block, meta=meta)
    assert made.frontend == frontend
    assert ".entry" in made.ptx


def test_cuda_ptx_and_cubin_files(tmp_path):
    (tmp_path / "sum.cu").write_text(cuda_kernels.SUM)
    made = load(tmp_path / "sum.cu", 1, (X, X, 3), block=32, arch="sm_80")
    (tmp_path / "sum.ptx").write_text(made.ptx)
    (tmp_path / "sum.cubin").write_bytes(made.cubin)
    ptx = load(tmp_path / "sum.ptx", 1, (X, X, 3), block=32)
    assert (ptx.frontend, ptx.entry, ptx.arch, ptx.ptx) == ("PTX", "sum", "sm_80", made.ptx)
    assert ptx.sources[str(tmp_path / "sum.cu")] == cuda_kernels.SUM
    cubin = load(f"{tmp_path / 'sum.cubin'}:sum", 1)
    assert (cubin.entry, cubin.arch, cubin.ptx, cubin.arguments) == ("sum", "sm_80", "", ())
    assert cubin.cubin == made.cubin


def test_machine_code_is_made_of_ptx(tmp_path):
    file = tmp_path / "put.ptx"
    file.write_text(PTX)
    made = load(f"{file}:put", 1, (X, 7), block=32)
    assert made.cubin is not None and not made.notes
    file.write_text(PTX.replace("st.global", "stt.global"))
    broken = load(f"{file}:put", 1, (X, 7), block=32)
    assert broken.cubin is None
    assert "no machine code: ptxas: " in broken.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "more", "told"),
    [
        ("a.ptx", "hello", {}, "is no PTX"),
        ("a.ptx", "", {}, "is no PTX"),
        ("a.ptx:get", PTX, {}, "no kernel 'get'; name one of: put"),
        (
            "a.ptx",
            PTX + PTX[PTX.index(".visible") :].replace("put", "set"),
            {},
            "several kernels; name one of: put, set",
        ),
        ("a.ptx", PTX, {"args": (X,)}, "put takes 2 arguments"),
        ("a.ptx", PTX, {"args": (X, X)}, "is a number"),
        ("a.ptx", PTX, {"args": (5, 5)}, "is a pointer"),
        ("a.ptx", PTX, {"block": None}, "say how many threads"),
        ("a.cubin", "hello", {}, "is no cubin"),
        ("a.cubin", "\x7fELF\x02" + 100 * "\0", {}, "machine code for something else"),
        ("a.cu", "int x;", {}, "has 0 kernels"),
        ("a.py", "x = 1", {}, "name a kernel"),
        ("a.py:f", "x = 1", {}, "has no 'f'"),
        ("a.py:x", "x = 1", {}, "'x' of .*a.py is no kernel but of"),
        ("a.txt", "x = 1", {}, "is no kernel; write file.py:kernel"),
    ],
)
def test_files_that_do_not_do(tmp_path, name, content, more, told):
    file, _, kernel = name.partition(":")
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    place = f"{tmp_path / file}{':' + kernel if kernel else ''}"
    with pytest.raises(InputError, match=told) as caught:
        load(place, 1, more.pop("args", (X, 5)), **{"block": 32, **more})
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match=r"there is no file /no/such\.cu"):
        load("/no/such.cu:f", 1, (), block=1)


CHILD = """
import sys
import numpy as np
import tinytorch.gpu.frontends.load as loading
import tinytorch.gpu.sass.opcodes

heavy = {"numba", "torch", "triton", "ml_dtypes", "cuda", "platformdirs", "llvmlite"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba_cuda", "triton", "cuda"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
from tinytorch.gpu.frontends import cuda_cpp, numba_cuda, triton
for compile in (
    lambda: triton.from_triton(None, 1, ()),
    lambda: numba_cuda.from_numba_cuda(lambda: None, 1, 1, ()),
    lambda: cuda_cpp.from_cuda_cpp("__global__ void f() {}", "f", 1, 1, ()),
):
    try:
        compile()
    except ValueError as error:
        print(error)
"""


def test_nothing_heavy_is_imported_and_a_missing_extra_is_named():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    first, *told = done.stdout.splitlines()
    assert first == "[]"
    assert told == [
        f"{what} kernels need `pip install 'tinytorch-kernels[gpu]'`"
        for what in ("Triton", "numba-cuda", "CUDA C++")
    ]


def test_a_triton_file_without_triton_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "needs_triton.py").write_text("import triton\n")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(InputError, match=r"Triton kernels need `pip install 'tinytorch-kernels\[gpu\]'`"):
        load(f"{tmp_path / 'needs_triton.py'}:add", 1)


def test_hostile_ptx_takes_no_more_time_than_other(tmp_path):
    """Half a megabyte of each took minutes where a pattern tried every beginning up to the end."""
    head = ".version 8.0\n.target sm_80\n.entry put("
    bad = (
        head + ".entry put(" * 50_000,
        "\n" * 500_000,
        "/*" * 250_000,
        head + ".param .u64 x " * 40_000 + ")",
    )
    begun = time.process_time()
    for text in (*bad, head + 500_000 * "a" + "!)", head + ".param .3u32 x)", head + ".param .a8 x)"):
        (tmp_path / "bad.ptx").write_text(text)
        with pytest.raises(InputError) as caught:
            load(f"{tmp_path}/bad.ptx", 1, (5,), block=32)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert time.process_time() - begun < 30
