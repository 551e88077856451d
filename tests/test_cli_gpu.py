"""`tito gpu`: a kernel of a file analysed, the GPUs that are known, scaling; one clear line if not."""

import json

import pytest

from tests.gpu.test_analysis import SPREAD
from tinytorch.cli import main

TRITON = """
import os

import triton
import triton.language as tl

print("imported")
os.system("echo imported by a program")

@triton.jit
def double(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, 2 * tl.load(x + 2 * i, mask=i < n), mask=i < n)

def given():
    import numpy as np
    return np.ones(2048, np.float32), np.zeros(1024, np.float32), 1024

def broken():
    return 1 / 0
"""
CUDA = """
#include <cuda_fp16.h>
extern "C" __global__ void twice(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] *= 2;
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))  # line tables there name other folders
    (tmp_path / "kernels.py").write_text(TRITON)
    (tmp_path / "twice.cu").write_text(CUDA)
    (tmp_path / "text.py").write_text(f"SOURCE = {CUDA!r}\n")
    (tmp_path / "spread.ptx").write_text(SPREAD)
    (tmp_path / "wrong.py").write_text("import numpy\n\nraise RuntimeError('no')\n")
    (tmp_path / "cut.cubin").write_bytes(b"\x7fELF\x02")
    (tmp_path / "cut.ptx").write_text(SPREAD[: len(SPREAD) // 2])
    return tmp_path


def tito(capsys, *arguments):
    status = main(["gpu", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_triton_kernel(capfd, folder):
    pytest.importorskip("triton")
    capsys = capfd
    kernel = f"{folder}/kernels.py:double"
    arrays = ("2048:float32", "1024:float32", 1024, "BLOCK=256")
    status, out, _ = tito(capsys, "analyze", kernel, *arrays, "--grid", 4, "--json")
    assert status == 0
    found = json.loads(out)  # what the file prints is not in it
    assert found["kernel"] == "double"
    assert found["block"] == [128, 1, 1]
    line = next(one for one in found["lines"] if one["accesses"])
    assert line["text"].startswith("tl.store(out + i")
    load = next(one for one in line["accesses"] if one["kind"] == "load")
    assert load["arrays"] == ["x"]
    assert load["sectors"] >= 2 * load["ideal_sectors"]
    made = tito(capsys, "analyze", kernel, "--grid", 4, "--json", "--args", "given", "BLOCK=256")
    assert made[0] == 0
    assert json.loads(made[1])["totals"] == found["totals"]


def test_in_words(capsys, folder):
    status, out, _ = tito(
        capsys, "analyze", folder / "spread.ptx", "4096:int32", 8, "--grid", 1, "--block", 64, "--gpu", "A100"
    )
    assert status == 0
    words = " ".join(out.split())
    assert "PTX for sm_80, blocks: 1, 1 of 1 run; threads of a block: 64" in words
    assert "line 15: x is read with 32 sectors a request where 4 would do" in words
    assert "2 of 2" in words  # branches that parted
    assert "nothing here was measured on a GPU" in words
    assert "A100 80GB SXM" in words


@pytest.mark.parametrize("kernel", ["twice.cu", "twice.cu:twice", "text.py:SOURCE:twice"])
def test_cuda(capsys, folder, kernel):
    pytest.importorskip("cuda.bindings.nvrtc")
    where = f"{folder}/{kernel}"
    status, out, err = tito(
        capsys, "analyze", where, "200:float32", 200, "--grid", 2, "--block", 128, "--arch", "sm_80", "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert found["arch"] == "sm_80"
    assert found["findings"] == []
    assert any(line["text"] == "x[i] *= 2;" and line["accesses"] for line in found["lines"])


def test_a_cubin(capsys, folder):
    pytest.importorskip("triton")
    from tinytorch.gpu.sass.assemble import assemble

    (folder / "spread.cubin").write_bytes(assemble(SPREAD, "sm_80"))
    status, out, _ = tito(capsys, "analyze", folder / "spread.cubin", "--block", 64)
    assert status == 0
    words = " ".join(out.split())
    assert "cubin for sm_80" in words
    assert "not run" in words
    assert "blocks of 2 warps per SM: occupancy" in words
    out = tito(capsys, "analyze", folder / "spread.cubin", "--block", 64, "--gpu", "A100")[1]
    assert "the grid has" not in out  # nobody said what grid
    assert "It was not run; of what could be read, nothing was found" in " ".join(out.split())


def test_arguments_may_stand_behind_options(capsys, folder):
    """argparse by itself takes those up to the first option alone."""
    kernel = folder / "spread.ptx"
    asked = [
        (kernel, "4096:int32", 8, "--grid", 1, "--block", 64),
        (kernel, "--grid", 1, "--block", 64, "4096:int32", 8),
        (kernel, "4096:int32", "--grid", 1, 8, "--block", 64),
    ]
    totals = [json.loads(tito(capsys, "analyze", *one, "--json")[1])["totals"] for one in asked]
    assert totals[0] == totals[1] == totals[2]


def test_options_that_there_are_not(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["gpu", "analyze", "x.ptx", "--grid", "1", "8", "--treads", "8"])
    assert ended.value.code == 2
    assert "unrecognized arguments: 8 --treads 8" in capsys.readouterr().err


def test_numbers_below_zero_are_no_options(capsys, folder):
    status, _, err = tito(
        capsys, "analyze", folder / "spread.ptx", "9:int32", "-1e-3", "--grid", 1, "--block", 32
    )
    assert status == 1
    assert "step is an integer (u32); give one, not -0.001" in err


def test_what_is_wrong_comes_first(capsys, folder):
    status, out, _ = tito(capsys, "analyze", folder / "spread.ptx", "60:int32", 1, "--grid", 1, "--block", 64)
    assert status == 1  # as of a test that fails
    assert "out of bounds" in " ".join(out.splitlines()[1:3])


def test_what_is_wrong_is_told_as_it_stands(capsys, folder):
    """Where a line is the 100th of a file, rich would draw what it takes for the name of a picture."""
    pytest.importorskip("cuda.bindings.nvrtc")
    (folder / "late.cu").write_text("\n" * 94 + CUDA)
    _, out, _ = tito(capsys, "analyze", folder / "late.cu", "60:float32", 64, "--grid", 1, "--block", 64)
    assert "late.cu:100: ld.global.f32" in out.replace("\n", "")
    assert "Beside what is wrong, nothing was found" in " ".join(out.split())


def test_the_page(capsys, folder):
    pytest.importorskip("vl_convert")
    page = folder / "page.html"
    status, out, _ = tito(
        capsys, "analyze", folder / "spread.ptx", "60:int32", 1, "--grid", 1, "--block", 64, "--html", page
    )
    assert status == 1  # something is wrong with it, and written is the page all the same
    assert f"written: {page}" in out.replace("\n", "")
    text = page.read_text()
    for part in (
        "out of bounds",
        "Lines of spread.ptx",
        "ld.global.u32",
        "lanes in global memory".capitalize(),
    ):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.py:double", "--grid", "1"], "there is no file"),
        (["kernels.py:triple", "--grid", "1"], "its kernels: double"),
        (["kernels.py:double"], "--grid 128"),
        (["kernels.py:double", "--grid", "0"], "missing a required argument: 'x'"),
        (
            ["kernels.py:double", "8:float32", "8:float32", "8", "--grid", "1"],
            "'BLOCK'; give what is tl.constexpr by name, as BLOCK=128",
        ),
        (["kernels.py:double", "8", "8", "8", "BLOCK=8", "--grid", "1"], "give an array, as 256:float32"),
        (["kernels.py:double", "8:float32", "8:float32", "8", "BLOCK=8", "--grid", "0"], "grid of (0, 1, 1)"),
        (["kernels.py:double", "8:float32", "8:float32", "8", "SIZE=8", "--grid", "1"], "parameter 'SIZE'"),
        (["kernels.py:double", "num_warp=8", "--grid", "1"], "Triton's options, as num_warps"),
        (["kernels.py:double", "8:float32", "eight", "--grid", "1"], "'eight' is no argument"),
        (["kernels.py:double", "8:float99", "8", "--grid", "1"], "no dtype 'float99'"),
        (["kernels.py:double", "--args", "broken", "--grid", "1"], "division by zero (kernels.py:"),
        (["kernels.py:double", "--args", "nothing", "--grid", "1"], "has no 'nothing'"),
        (["wrong.py:double", "--grid", "1"], "raised RuntimeError: no (wrong.py:3)"),
        (["spread.ptx", "9:int32", "1", "--grid", "1"], "--block 128"),
        (["spread.ptx", "9:int32", "--grid", "1", "--block", "32"], "takes 2 arguments"),
        (["spread.ptx", "9:int32", "1", "x=1", "--grid", "1", "--block", "32"], "only Triton's kernels"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "2048"], "cannot be launched"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "32", "--gpu", "H100"], "it for sm_90"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "32", "--gpu", "Voodoo"], "known are V100"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "32", "--steps", "3"], "steps"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "32", "--steps", "0"], "steps"),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--block", "32", "--arch", "9.0"], "is for sm_80"),
        (["kernels.py:double", "--args", "given", "BLOCK=8", "--grid", "1", "--block", "8"], "num_warps=4"),
        (["kernels.py:double", "--args", "given", "BLOCK=8", "num_warps=two", "--grid", "1"], "num_warps is"),
        (["text.py:__name__:twice", "--grid", "1", "--block", "8"], "no kernel 'twice'"),
        (["text.py:__spec__", "--grid", "1", "--block", "8"], "'__spec__' of text.py is no kernel but of"),
        (["cut.cubin"], "cut.cubin: this is no cubin"),
        (["cut.ptx", "9:int32", "1", "--grid", "1", "--block", "32"], "line "),
        (["spread.ptx", "9:int32", "1", "--grid", "1", "--html", "/no/such/place/x.html"], "--html"),
    ],
)  # fmt: skip
def test_one_clear_line(capsys, folder, monkeypatch, arguments, complaint):
    if any("kernels.py" in one for one in arguments):
        pytest.importorskip("triton")
    monkeypatch.chdir(folder)
    status, out, err = tito(capsys, "analyze", *arguments)
    assert status == 1
    line = err.splitlines()[-1]
    assert line.startswith("tito gpu analyze: ")
    assert complaint in line
    assert "Traceback" not in out + err


def test_sides_that_are_none(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["gpu", "analyze", "x.ptx", "--grid", "1,2,3,4"])
    assert ended.value.code == 2
    assert "one to three can be" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_no_number_is_cut_on_a_narrow_terminal(capsys, folder, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    launch = ("--grid", 1, "--block", 64)
    out = tito(capsys, "analyze", folder / "spread.ptx", "4096:int32", 8, *launch)[1]
    assert " ".join(("load x, 32 bits", "2", "32 sectors", "4")) in " ".join(out.split())
    known = " ".join(tito(capsys, "list")[1].split())
    assert "H200 SXM sm_90 132 141 4800 67 989 989 1979 1979 NVLink 4" in known


def test_list(capsys):
    status, out, _ = tito(capsys, "list")
    assert status == 0
    assert "H200 SXM" in out
    assert "sm_120" in out
    found = json.loads(tito(capsys, "list", "--json")[1])
    h100 = next(one for one in found["products"] if one["name"] == "H100 SXM")
    assert round(h100["peaks"]["bf16"] / 1e12) == 989
    assert {one["arch"] for one in found["capabilities"]} >= {"sm_70", "sm_90"}


def test_scaling(capsys, tmp_path):
    pytest.importorskip("vl_convert")
    page = tmp_path / "page.html"
    step = ("scaling", "--bytes", "14e9", "--flops", "4.2e16", "--gpu", "H100", "--count", 1024)
    status, out, _ = tito(capsys, *step, "--html", page)
    assert status == 0
    assert "1,024" in out
    assert "Over GPUs: efficiency" in page.read_text()
    found = json.loads(tito(capsys, *step, "--json")[1])
    slower = json.loads(tito(capsys, *step, "--json", "--link", "32e9", "--network", "1e9")[1])
    assert [one["gpus"] for one in found["curve"]] == [2**k for k in range(11)]
    assert slower["scaling_efficiency"] < found["scaling_efficiency"] < 1


def test_scaling_agrees_with_the_profiler(capsys):
    from tinytorch.profiler.optimization import KernelOptimizationProfiler

    found = json.loads(tito(capsys, "scaling", "--bytes", "1e9", "--count", 64, "--json")[1])
    same = KernelOptimizationProfiler().analyze_multi_gpu_scaling(1e9, 64, device="H100 SXM")
    assert found["scaling_efficiency"] == same["scaling_efficiency"]
    assert found["curve"] == same["curve"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--bytes", "1e9", "--link", "string"], "known are NVLink"),
        (["--bytes", "1e9", "--gpu", "string"], "known are V100"),
        (["--bytes", "1e9", "--count", "12"], "nodes of 8"),
        (["--bytes", "1e9", "--dtype", "fp1"], "'fp1' is not known"),
        (["--bytes", "1e308", "--network", "1e-308", "--count", "64"], "beyond what numbers can say"),
        (["--bytes", "1e9", "--flops", "1e-320"], "beyond what numbers can say"),
    ],
)
def test_scaling_that_cannot_be(capsys, arguments, complaint):
    status, _, err = tito(capsys, "scaling", *arguments)
    assert status == 1
    assert err.startswith("tito gpu scaling: ")
    assert complaint in err


def test_a_thousand_gpus_are_counted(capsys):
    status, out, _ = tito(capsys, "scaling", "--bytes", "1e9", "--count", 1024, "--mode", "weak")
    assert status == 0
    assert "1,024 times one GPU's" in " ".join(out.split())
