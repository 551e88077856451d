"""numba-cuda kernels compile on no GPU; an array's many parameters keep its name."""

import linecache

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numba import cuda

from tests.gpu.kernels import numba_kernels as kernels
from tinytorch.gpu import analyze
from tinytorch.gpu.frontends import parameters
from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run
from tinytorch.runtime.errors import InputError


@cuda.jit(fastmath=True)
def mixed(x, z, pair, flag, small):
    if flag:
        x[0, 0] = z.real + pair[0] + pair[1] / small


@cuda.jit(device=True)
def device(x):
    return x + 1


@cuda.jit
def halve(x):
    return x // 2


@cuda.jit
def calls(x):
    i = cuda.grid(1)
    x[i] = device(halve(i))


@cuda.jit
def of_records(x, out):
    i = cuda.grid(1)
    out[i] = x[i].weight * x[i].counts[1]
    x[i].weight = i


@cuda.jit
def wrong(x):
    x.nothing()


def plain(x, n):
    i = cuda.grid(1)
    if i < n:
        x[i] = i


def test_an_array_becomes_its_sizes_address_shape_and_strides():
    x = np.zeros((6, 4), np.float64)[::2]
    made = from_numba_cuda(kernels.increment_2d, (1, 2), (8, 4), (x,), arch="sm_80")
    values = {argument.name: argument.value for argument in made.arguments}
    assert list(values) == [
        "x.meminfo", "x.parent", "x.size", "x.itemsize", "x", "x.shape[0]", "x.shape[1]",
        "x.strides[0]", "x.strides[1]",
    ]  # fmt: skip
    assert values.pop("x") is x
    assert list(values.values()) == [None, None, 12, 8, 3, 4, 64, 8]
    assert (made.grid, made.block, made.arch) == ((1, 2, 1), (8, 4, 1), "sm_80")
    assert ".target sm_80" in made.ptx
    assert kernels.__file__ in made.sources


def test_scalars_keep_their_type():
    values = (np.zeros((1, 1)), 1 + 2j, (3, 2.5), True, np.int16(7))
    arguments = from_numba_cuda(mixed, 1, 1, values).arguments[9:]
    assert [(a.name, a.type, a.value) for a in arguments] == [
        ("z.real", "float64", 1), ("z.imag", "float64", 2), ("pair[0]", "int64", 3),
        ("pair[1]", "float64", 2.5),
        ("flag", "bool", True), ("small", "int16", 7),
    ]  # fmt: skip


@pytest.mark.parametrize("case", kernels.CASES, ids=lambda case: case.name)
def test_arguments_match_the_parameters_one_to_one(case):
    made = case.compile()
    slots = parameters.slots(made.ptx, made.entry)
    assert len(slots) == len(made.arguments)
    for slot, argument in zip(slots, made.arguments, strict=True):
        if isinstance(argument.value, np.generic):
            assert int(slot.type[1:]) == 8 * argument.value.itemsize
        else:
            assert slot.type == "u64"


def test_a_plain_function_and_a_tensor():
    torch = pytest.importorskip("torch")
    x = torch.zeros(4, dtype=torch.int64)
    made = from_numba_cuda(plain, 1, 32, (x, 4))
    made.array("x")[1] = 5
    assert x[1] == 5


def launch(made):
    kernel = parse(made.ptx).kernel(made.entry)
    return run(kernel, made.grid, made.block, made.arguments).arrays


@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_device_functions_are_compiled_for_the_same_gpu(arch):
    """numba asks the driver which GPU that is; here there need not be one."""
    made = from_numba_cuda(calls, 1, 32, (np.zeros(32, np.int32),), arch=arch)
    assert f".target {arch}" in made.ptx
    np.testing.assert_array_equal(launch(made)["x"], np.arange(32) // 2 + 1)


def test_arrays_of_records():
    x = np.zeros(32, np.dtype([("weight", "f4"), ("counts", "i2", 3)], align=True))
    x["weight"], x["counts"] = np.arange(32) * 0.5, np.arange(96).reshape(32, 3)
    after = launch(from_numba_cuda(of_records, 1, 32, (x, np.zeros(32))))
    np.testing.assert_array_equal(after["out"], x["weight"] * x["counts"][:, 1])
    np.testing.assert_array_equal(after["x"]["weight"], np.arange(32))
    np.testing.assert_array_equal(after["x"]["counts"], x["counts"])


@pytest.mark.parametrize(
    ("kernel", "args", "more", "told"),
    [
        (plain, (np.zeros(3),), {}, r"plain takes 2 arguments \(x, n\), not 1"),
        (plain, (np.zeros(3), 1), {"arch": "sm_70"}, "sm_70"),
        (plain, (np.zeros(3), 1), {"arch": "sm_99"}, "compute capability 'sm_99'"),
        (plain, (np.zeros(3), 1), {"shared": -1}, "dynamic shared memory"),
        (plain, (np.array(["a"]), 1), {}, "which no kernel reads"),
        (plain, (np.zeros(3, [("any", "O")]), 1), {}, "which no kernel reads"),
        (plain, (object(), 1), {}, "object"),
        (wrong, (np.zeros(3),), {}, "nothing"),
        (device, (1,), {}, "is a device function"),
        (3, (), {}, "function under @cuda.jit, not int"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(kernel, args, more, told):
    with pytest.raises(InputError, match=told) as caught:
        from_numba_cuda(kernel, 1, 32, args, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("block", [0, 1025, (32, 33), (1, 1, 65), 1.5, "32", True])
def test_blocks_that_no_gpu_launches(block):
    with pytest.raises(InputError, match="block"):
        from_numba_cuda(plain, 1, block, (np.zeros(3), 1))


@pytest.mark.parametrize("name", ["/no/such/folder/cell.py", "<ipython-input-1-abc>"])
def test_a_notebooks_cell_has_its_text(name, monkeypatch):
    text = "@cuda.jit\ndef one(x):\n    x[0] = 1\n"
    monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
    cell = {"cuda": cuda}
    exec(compile(text, name, "exec"), cell)
    found = analyze(from_numba_cuda(cell["one"], 1, 1, (np.zeros(1),)))
    assert [line.text for line in found.lines if line.accesses] == ["x[0] = 1"]
