"""Watching: every way into a kernel tells what it costs, once, and nobody is told of anything else."""

import sys

import numpy as np
import pytest

from tinytorch import ops
from tinytorch.core import kernels
from tinytorch.core.cnn import Conv2D
from tinytorch.core.tensor import Tensor
from tinytorch.ops.watching import watching
from tinytorch.ops.weights.blocks import pack_blocks
from tinytorch.ops.weights.sparse import pack_sparse
from tinytorch.runtime.cost import Cost

X, W = np.ones((32, 64), np.float32), np.ones((64, 16), np.float32)
PRODUCT = Cost(2 * 32 * 64 * 16, X.nbytes + W.nbytes, 32 * 16 * 4)
IMAGE, FILTER = np.ones((2, 3, 8, 8)), np.ones((5, 3, 3, 3))


@pytest.mark.parametrize(
    ("call", "operation", "cost", "dtype"),
    [
        (lambda: ops.matmul(X, W), "matmul", PRODUCT, "float32"),
        (lambda: ops.matmul(X[::2], W), "matmul", Cost(2**15, 4096 + 4096, 1024), "float32"),
        (lambda: kernels.vectorized_matmul(Tensor(X), W), "matmul", PRODUCT, "float32"),
        (lambda: kernels.cache_friendly_matmul(X, W), "matmul", PRODUCT, "float32"),
        (lambda: kernels.matmul_baseline(X, W), "matmul", PRODUCT, "float32"),
        (lambda: kernels.quantized_matmul(X, W, None, None), "matmul", PRODUCT, "int8"),
        (lambda: ops.matmul_integer(X.astype("i1"), W.astype("i1")), "matmul",
         Cost(2 * 32 * 64 * 16, 32 * 64 + 64 * 16, 32 * 16 * 4), "int8"),
        (lambda: ops.relu(X), "relu", Cost(2048, 8192, 8192), "float32"),
        (lambda: ops.relu([[1, -2]]), "relu", Cost(2, 16, 16), "int64"),
        (lambda: kernels.parallel_relu(X), "relu", Cost(2048, 8192, 8192), "float32"),
        (lambda: kernels.vectorized_operations(X, X), "vectorized_operations",
         Cost(8 * 2048, 2 * 8192, 3 * 8192), "float32"),
        (lambda: ops.quantize(X), "quantize", Cost(3 * 2048, 8192, 2048), "float32"),
        (lambda: ops.conv2d(IMAGE, FILTER), "conv2d",
         Cost(2 * 2 * 5 * 36 * 27, IMAGE.nbytes + FILTER.nbytes, 2 * 5 * 36 * 8), "float64"),
        (lambda: ops.conv2d(IMAGE[0], FILTER), "conv2d",
         Cost(2 * 5 * 36 * 27, IMAGE[0].nbytes + FILTER.nbytes, 5 * 36 * 8), "float64"),
        (lambda: ops.linear(X, W, activation="relu"), "linear",
         Cost(PRODUCT.operations + 2 * 512, PRODUCT.read, PRODUCT.written), "float32"),
        (lambda: ops.linear(X, W, bias=np.ones(16, np.float32)), "linear",
         Cost(PRODUCT.operations + 2 * 512, PRODUCT.read + 64, PRODUCT.written), "float32"),
    ],
)  # fmt: skip
def test_one_call_one_cost(call, operation, cost, dtype):
    with watching() as seen:
        call()
    (work,) = seen
    assert (work.operation, work.cost, str(work.dtype)) == (operation, cost, dtype)


def test_packed_weights_bring_their_own_bytes_and_operations():
    for weight, dtype in (
        (ops.pack_weight(W), "float32"),
        (ops.pack_weight(W, "int8"), "int8"),
        (ops.pack_weight(W, "int8", weight_only=True), "float32"),
        (ops.pack_weight(W, "int4"), "float32"),
    ):
        with watching() as seen:
            ops.linear(X, weight)
        assert seen[0].cost.read == X.nbytes + weight.nbytes
        assert seen[0].cost.operations == 2 * (32 * 64 * 16 + 512)
        assert str(seen[0].dtype) == dtype


def test_what_was_pruned_is_not_counted():
    weight = np.ones((64, 64), np.float32)
    weight[:48] = 0
    for packed in (pack_blocks(weight), pack_sparse(weight)):
        with watching() as seen:
            ops.linear(np.ones((2, 64), np.float32), packed)
        assert seen[0].cost.operations == 2 * 2 * (16 * 64 + 64)
        assert seen[0].cost.read == 2 * 64 * 4 + packed.nbytes


def test_layers():
    with watching() as seen:
        Conv2D(3, 5, 3)(IMAGE)
    assert [work.operation for work in seen] == ["conv2d"]


def test_a_call_that_is_refused_does_not_end_it():
    with watching() as seen:
        with pytest.raises(TypeError):
            ops.relu("a")
        ops.relu(X)
    assert [work.cost for work in seen] == [Cost(2048, 8192, 8192)]


def test_a_batch_is_part_of_the_call():
    with watching() as seen:
        ops.relu(X)
        kernels.parallel_batch_processing([X] * 8, lambda x: ops.matmul(x, W), num_workers=3)
    assert [work.operation for work in seen] == ["relu"] + ["matmul"] * 8
    assert all(work.cost == PRODUCT for work in seen[1:])


def test_others_are_left_alone():
    heard = []

    def profiler(frame, event, arg):
        heard.append(event)

    sys.setprofile(profiler)
    try:
        with watching():
            pass
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    with watching() as outer:
        ops.relu(X)
        with watching() as inner:
            ops.relu(X)
        ops.relu(X)
    assert len(inner) == 1
    assert len(outer) == 3
    with pytest.raises(ValueError, match="does not fit"), watching():
        ops.linear(X, X)
    assert sys.getprofile() is None
