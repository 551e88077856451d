"""OpenVINO: a model compiled for the CPU and one infer request, its inputs and output bound.

In the product both operands are parameters; in the dense layer weight and bias are constants, which are
packed when the model is compiled and fused with the ReLU. The layer in int8 is the graph of compressed
weights, whose input OpenVINO quantizes by itself where its plugin for this CPU does.
"""

from typing import Any

import numpy as np
import openvino
from openvino import opset13 as opset

from benchmarks.inputs import Array, Arrays
from benchmarks.peers import Contender, not_offered
from benchmarks.suites import Case

_core = openvino.Core()
_config: dict[str, Any] = {}


def start(threads: int) -> None:
    """Set the number of threads; float32 stays float32 (the default may be bfloat16 where the CPU has it)."""
    _config.update(
        PERFORMANCE_HINT="LATENCY",
        INFERENCE_NUM_THREADS=threads,
        INFERENCE_PRECISION_HINT="f32",
    )


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return the call of a model compiled for this case."""
    if case.dtype == "float32" and case.operation == "product":
        a, b = arrays.operands()
        left, right = (opset.parameter(x.shape, x.dtype) for x in (a, b))
        product = opset.matmul(left, right, False, False)
        return _contender(openvino.Model([product], [left, right]), (a, b), arrays.out)
    if case.dtype == "float32" and case.operation == "linear":
        x, weight, bias = arrays.layer()
        rows = opset.parameter(x.shape, x.dtype)
        total = opset.add(opset.matmul(rows, opset.constant(weight), False, False), opset.constant(bias))
        return _contender(openvino.Model([opset.relu(total)], [rows]), (x,), arrays.out)
    if case.operation == "int8":
        x, weight, bias = arrays.layer()
        scales = (np.abs(weight).max(axis=0, keepdims=True) / 127).astype(np.float32)
        codes = opset.constant(np.rint(weight / scales).astype(np.int8))
        wide = opset.multiply(opset.convert(codes, "f32"), opset.constant(scales))
        rows = opset.parameter(x.shape, x.dtype)
        total = opset.add(opset.matmul(rows, wide, False, False), opset.constant(bias))
        return _contender(openvino.Model([opset.relu(total)], [rows]), (x,), arrays.out)
    raise not_offered(case.operation, case.dtype)


def _contender(model: Any, inputs: tuple[Array, ...], out: Array) -> dict[str, Contender]:
    request = _core.compile_model(model, "CPU", _config).create_infer_request()
    for index, array in enumerate(inputs):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
    request.set_output_tensor(0, openvino.Tensor(out, shared_memory=True))
    # Of the ways to run a request this one costs least; share_outputs: no copy of the result is made.
    return {"openvino": Contender(lambda: request.infer(share_outputs=True))}
