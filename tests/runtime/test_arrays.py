"""What kernels take and what they give back."""

import re
import sys

import numpy as np
import pytest

from tests.arrays import SUPPORTED, UNSUPPORTED
from tinytorch import ops
from tinytorch.core import kernels
from tinytorch.core.tensor import Tensor
from tinytorch.runtime import arrays

CALLS = {
    "vectorized_matmul": lambda x: kernels.vectorized_matmul(x, x),
    "matmul_baseline": lambda x: kernels.matmul_baseline(x, x),
    "cache_friendly_matmul": lambda x: kernels.cache_friendly_matmul(x, x),
    "vectorized_relu": kernels.vectorized_relu,
    "vectorized_operations": lambda x: kernels.vectorized_operations(x, x),
    "parallel_relu": kernels.parallel_relu,
    "quantized_matmul": lambda x: kernels.quantized_matmul(x, x, None, None),
    "quantized_relu": lambda x: kernels.quantized_relu(x, None),
    "cached_conv2d": lambda x: kernels.cached_conv2d(np.asarray(x)[None, None], np.asarray(x)[None, None]),
    "ops.matmul": lambda x: ops.matmul(x, x),
    "ops.relu": ops.relu,
    "ops.linear": lambda x: ops.linear(x, x),
    "ops.quantize": ops.quantize,
    "ops.pack_weight": ops.pack_weight,
}


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("dtype", UNSUPPORTED, ids=str)
def test_other_dtypes_are_named(name, dtype):
    with pytest.raises(TypeError, match=re.escape(f"dtype {dtype}")):
        CALLS[name](np.zeros((2, 2), dtype))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_ragged_lists(name):
    with pytest.raises(ValueError, match="inhomogeneous"):
        CALLS[name]([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("value", [None, "text", object(), {"a": 1}], ids=["None", "str", "object", "dict"])
@pytest.mark.parametrize("name", ["vectorized_matmul", "vectorized_relu", "quantized_relu", "ops.linear"])
def test_what_is_no_array(name, value):
    with pytest.raises(TypeError, match="dtype"):
        CALLS[name](value)


def test_masked_arrays_are_refused():
    with pytest.raises(TypeError, match="filled"):
        ops.relu(np.ma.masked_array([1.0, -1.0], [True, False]))


class Exporter:
    """Something that only speaks DLPack."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_anything_with_a_protocol():
    class HasArray:
        def __array__(self, dtype=None, copy=None):
            return np.array([-1.0, 1.0])

    for given in (
        [-1.0, 1.0],
        (-1.0, 1.0),
        HasArray(),
        Exporter(np.array([-1.0, 1.0])),
        memoryview(np.array([-1.0, 1.0])),
    ):
        result = ops.relu(given)
        assert type(result) is np.ndarray
        assert np.array_equal(result, [0, 1])
    assert ops.relu(-3.0) == 0


def test_result_is_of_the_kind_given():
    x = np.ones((2, 2), np.float32)
    assert type(ops.matmul(x, x)) is np.ndarray
    assert type(ops.matmul(Tensor(x), x)) is Tensor
    assert type(ops.linear(x, Tensor(x))) is Tensor
    assert type(ops.quantize(Tensor(x))[0]) is Tensor
    for name, call in CALLS.items():
        if not name.startswith("ops.") and name != "vectorized_operations":
            assert type(call(x)) is Tensor


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8"])
def test_torch(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    x = torch.arange(-8, 8).reshape(4, 4).abs().to(getattr(torch, dtype))
    result = ops.matmul(x, x)
    assert type(result) is torch.Tensor
    assert result.dtype == x.dtype
    assert torch.equal(result, x @ x)
    assert torch.equal(ops.relu(x.T), x.T)
    if dtype in ("float32", "float64"):
        out = torch.zeros(4, 4, dtype=x.dtype)
        assert ops.matmul(x, x, out=out) is out
        assert torch.equal(out, x @ x)
    assert kernels.vectorized_relu(x).dtype == arrays.read("x", x).dtype


def test_torch_tensors_that_kernels_cannot_take():
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    x = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(TypeError, match=r"requires grad.*detach"):
        ops.relu(x)
    with torch.no_grad():
        assert torch.equal(ops.relu(x), x)
    with pytest.raises(TypeError, match="to_dense"):
        ops.relu(x.detach().to_sparse())
    with pytest.raises(TypeError, match="meta"):
        ops.relu(torch.ones(2, device="meta"))
    with pytest.raises(TypeError, match="complex64"):
        ops.relu(torch.ones(2, dtype=torch.complex64))


@pytest.mark.parametrize("dtype", SUPPORTED, ids=str)
def test_contiguous_copies_only_what_it_must(dtype):
    x = np.ones((3, 4), dtype)
    assert arrays.contiguous(x, dtype) is x
    x.setflags(write=False)
    alias = arrays.contiguous(x, dtype)
    assert np.shares_memory(alias, x)
    assert alias.flags.writeable  # to numba; kernels do not write inputs
    assert not np.shares_memory(arrays.contiguous(x.T, dtype), x)


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(arrays, "available_memory", lambda: 1 << 27)
    arrays.empty((1 << 24,), np.dtype(np.float64))
    with pytest.raises(MemoryError, match=r"shape \(33554432,\) and dtype float64 needs 0.2 GiB"):
        arrays.empty((1 << 25,), np.dtype(np.float64))
    out = np.zeros((6000, 6000), np.float32)
    column = np.ones((6000, 1), np.float16)
    with pytest.raises(MemoryError):
        ops.matmul(column, column.T)
    assert not out.any()
    with pytest.raises(MemoryError, match=r"shape \(6000, 6000\)"):  # no work, and a large result
        ops.matmul(out[:, :0], out[:0])
    with pytest.raises(MemoryError, match=r"and dtype float32 needs 0.1 GiB"):
        ops.pack_weight(np.broadcast_to(np.float32(1), (6000, 6000)))


def test_out_must_be_the_memory_itself():
    class Copies:
        def __array__(self, dtype=None, copy=None):
            return np.zeros(2)

    for out in (Copies(), [0.0, 0.0], np.float64(0), 3.0):
        with pytest.raises(TypeError, match="out must be an array to write to"):
            ops.relu(np.ones(2), out=out)
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    with pytest.raises(ValueError, match="negated"):
        ops.relu(np.ones(3, np.float32), out=torch.zeros(3, dtype=torch.complex64).conj().imag)


@pytest.mark.parametrize("threads", [1000, 10**8])
def test_any_number_of_threads(threads):
    from tinytorch import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(threads)
    try:
        x = np.ones((300, 300), np.float32)
        assert np.all(ops.matmul(x, x) == 300)
        assert np.all(ops.relu(np.ones(10**6, np.float32)) == 1)
    finally:
        set_num_threads(before)


def test_frameworks_are_not_imported():
    import subprocess

    code = (
        "import sys, numpy; import tinytorch.ops; from tinytorch import ops; ops.relu(numpy.ones(3)); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'scipy.signal', 'rich', 'safetensors')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, tinytorch; tinytorch.__version__; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (7, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", SUPPORTED, ids=str)
def test_arrays_that_begin_on_a_line(shape, dtype):
    kept = [arrays.aligned(shape, np.dtype(dtype)) for _ in range(5)]  # wherever the memory is
    for array in kept:
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
        assert array.ctypes.data % arrays.LINE == 0
        assert array.flags.c_contiguous and array.flags.writeable
        array[...] = 1
    assert all((array == 1).all() for array in kept)


def test_results_are_arrays_of_their_own():
    a = np.ones((130, 130), np.float32)
    for made in (ops.matmul(a, a), ops.linear(a, ops.pack_weight(a)), ops.relu(a)):
        assert made.flags.owndata


def test_what_begins_on_a_line_is_not_copied():
    array = arrays.aligned((8, 40), np.dtype(np.float32))
    array[...] = np.arange(320).reshape(8, 40)
    assert arrays.on_line(array) is array
    for other in (array[1:, 1:], array.T, array[::-1], array.reshape(-1)[4:]):
        copy = arrays.on_line(other)
        assert copy.ctypes.data % arrays.LINE == 0 and copy.flags.c_contiguous
        np.testing.assert_array_equal(copy, other)
