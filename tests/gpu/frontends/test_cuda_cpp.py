"""CUDA C++ compiles by NVRTC on no GPU; what is passed is held against the declaration."""

import numpy as np
import pytest

pytest.importorskip("cuda.bindings.nvrtc")

from tests.gpu.kernels.cuda_kernels import transpose
from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp, kernels
from tinytorch.runtime.errors import InputError

SOURCE = r"""
struct Pair { int a; double b; };
namespace ours {
template <class T, int N>
__global__ void __launch_bounds__(128) scale(const T* __restrict__ x, T* out, T by) {
    out[threadIdx.x] = x[N] * by;
}
}
// __global__ void commented(int n) {}
extern "C" __global__ void all(const float *x, Pair pair, unsigned long long count, unsigned char small,
                               double factor, /* what is written */ short y[]) {
    y[threadIdx.x] = x[0] + pair.a + pair.b + count + small * factor;
}
extern "C" { __global__ void inside(int n, int *p) { p[0] = n; } }
__global__ void mangled(int *out) { out[0] = 1; }
"""
X, Y, PAIR = np.zeros(64, np.float32), np.zeros(64, np.int16), bytes(16)


def test_what_is_handed_on():
    made = from_cuda_cpp(SOURCE, "all", (2, 3), 64, (X, PAIR, 5, -1, 2, Y), arch="8.0", shared=512)
    assert (made.frontend, made.entry, made.arch) == ("CUDA C++", "all", "sm_80")
    assert (made.grid, made.block, made.shared) == ((2, 3, 1), (64, 1, 1), 512)
    assert [(a.name, a.type) for a in made.arguments] == [
        ("x", "float32"), ("pair", "bytes"), ("count", "uint64"), ("small", "int8"),
        ("factor", "float64"), ("y", "int16"),
    ]  # fmt: skip
    assert ".target sm_80" in made.ptx
    assert made.cubin.startswith(b"\x7fELF")
    (name,) = made.sources
    assert made.sources[name] == SOURCE
    assert f'"{name}"' in made.ptx  # the name by which the line table calls it


@pytest.mark.parametrize(
    ("kernel", "args", "entry"),
    [
        ("ours::scale<float, 3>", (X, X, 2.0), "scale"),
        ("ours::scale<short, 3>", (Y, Y, 2), "scale"),
        ("inside", (1, None), "inside"),
        ("mangled", (None,), "_Z7mangledPi"),
    ],
)
def test_names_and_name_expressions(kernel, args, entry):
    made = from_cuda_cpp(SOURCE, kernel, 1, 32, args)
    assert entry in made.entry
    assert made.entry in made.ptx


def test_the_kernels_of_a_text():
    assert list(kernels(SOURCE)) == ["scale", "all", "inside", "mangled"]


def test_a_file_keeps_its_name(tmp_path):
    file = tmp_path / "mine.cu"
    file.write_text(SOURCE)
    made = from_cuda_cpp(file, "mangled", 1, 32, (None,))
    assert made.sources == {str(file): SOURCE}
    assert f'"{file}"' in made.ptx


def test_half_precision_headers_are_found():
    pytest.importorskip("nvidia.cu13")
    made = from_cuda_cpp(
        '#include <cuda_fp16.h>\nextern "C" __global__ void half_of(half* x) { x[0] = __hmul(x[0], x[1]); }',
        "half_of", 1, 32, (np.zeros(2, np.float16),),
    )  # fmt: skip
    assert "mul" in made.ptx
    assert "f16" in made.ptx


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((X,), r"all takes 6 arguments \(x, pair, count, small, factor, y\), not 1"),
        ((X.astype("f8"), PAIR, 5, 0, 2, Y), "x points to float32; the array given is of float64"),
        ((X, PAIR, 5, 0, 2, X), "y points to int16"),
        ((3, PAIR, 5, 0, 2, Y), r"x is a pointer; give an array \(256:float32 on the command line\) or None"),
        ((X, bytes(3), 5, 0, 2, Y), "pair is a struct of 16 bytes; give its bytes, not 3 bytes"),
        ((X, 7, 5, 0, 2, Y), "pair is a struct"),
        ((X, PAIR, 2**64, 0, 2, Y), "count is an integer of 64 bits"),
        ((X, PAIR, 5, 256, 2, Y), "small is an integer of 8 bits"),
        ((X, PAIR, 5, 0.5, 2, Y), "small is an integer"),
        ((X, PAIR, 5, float("nan"), 2, Y), "small is an integer"),
        ((X, PAIR, 5, X, 2, Y), "small is a number"),
        ((X, PAIR, 5, 0, "2", Y), "factor is a number"),
        ((X, PAIR, 5, 0, 1j, Y), "factor is a number"),
        ((X.tolist(), PAIR, 5, 0, 2, Y), "x is a pointer; give an array"),
        ((X.astype(">f4"), PAIR, 5, 0, 2, Y), "which no kernel reads"),
    ],
)
def test_arguments_that_do_not_fit(args, told):
    with pytest.raises(InputError, match=told) as caught:
        from_cuda_cpp(SOURCE, "all", 1, 32, args)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "kernel", "told"),
    [
        (
            "__global__ void f(int x) { y = 3; z = 4; }",
            "f",
            r'kernel\.cu\(1\): error: identifier "y" is undefined \(and 1 more\)',
        ),
        ("__global__ void f(int x) {", "f", "error"),
        ("#include <nothing.h>\n__global__ void f(int x) {}", "f", "nothing.h"),
        ("", "f", "no kernel 'f'; it has none"),
        (SOURCE, "commented", "no kernel 'commented'; it has scale, all, inside, mangled"),
        (SOURCE, "ours::scale<nothing, 3>", "nothing"),
        (SOURCE, "scale", "scale is a template or in a namespace: name it as scale<float>, ours::scale or"),
        ("__global__ void f(int x) {} __global__ void f(float x) {}", "f", "f is overloaded"),
    ],
)
def test_source_that_does_not_compile(source, kernel, told):
    with pytest.raises(InputError, match=told) as caught:
        from_cuda_cpp(source, kernel, 1, 32, (1,))
    assert "\n" not in str(caught.value)


def test_options_reach_nvrtc():
    source = "#ifndef WIDE\n#error no WIDE\n#endif\n__global__ void f(int* x) { x[0] = WIDE; }"
    with pytest.raises(InputError, match="no WIDE"):
        from_cuda_cpp(source, "f", 1, 32, (None,))
    assert from_cuda_cpp(source, "f", 1, 32, (None,), options=["-DWIDE=77"]).ptx


def test_rows_of_32_and_33_differ_in_shared_memory():
    assert "[4096]" in transpose(32).ptx
    assert "[4224]" in transpose(33).ptx


def test_an_architecture_that_nvrtc_has_left_behind():
    with pytest.raises(InputError, match=r"NVRTC compiles for .*sm_90.*, not for sm_70; Triton does"):
        from_cuda_cpp(SOURCE, "ours::scale<float, 3>", 1, 32, (X, X, 2.0), arch="sm_70")
