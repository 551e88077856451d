"""ONNX Runtime: a model of one or two nodes, its inputs and output bound so that nothing is copied.

In the product both operands are inputs; in the dense layer weight and bias are initializers, which the
runtime packs when the session is made. The layer in int8 is the graph that its own dynamic quantization
writes and its optimizer fuses. The product of integers gets A without a sign, 128 too large, as it likes it.
"""

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.inputs import Arrays
from benchmarks.peers import Array, Contender, Kept, not_offered
from benchmarks.suites import Case

_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int8": TensorProto.UINT8}
#: Versions of the format that every ONNX Runtime of the last years reads.
_IR_VERSION, _OPSET = 8, 17
_options = onnxruntime.SessionOptions()


def start(threads: int) -> None:
    """Set the number of threads; they keep spinning after a call, as is the default."""
    _options.intra_op_num_threads = threads
    _options.inter_op_num_threads = 1
    _options.log_severity_level = 3


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return the call of a session for this case."""
    if case.dtype not in _TYPES or case.operation not in ("product", "linear", "int8", "integer"):
        raise not_offered(case.operation, case.dtype)
    if case.operation == "product":
        a, b = arrays.operands()
        session = _product(case.dtype)
        inputs = {"a": a, "b": b}
    elif case.operation == "integer":
        a, b = arrays.operands()
        session, inputs = _integers(b), {"a": (a.astype(np.int16) + 128).astype(np.uint8)}
    else:
        x, weight, bias = arrays.layer()
        session = (_layer if case.operation == "linear" else _int8_layer)(weight, bias)
        inputs = {"x": x}
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    binding.bind_ortvalue_output("out", onnxruntime.OrtValue.ortvalue_from_numpy(arrays.out))
    return {"onnxruntime": Contender(lambda: session.run_with_iobinding(binding))}


def _product(dtype: str) -> Any:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["out"])]
    inputs = {"a": ["rows", "inner"], "b": ["inner", "columns"]}
    return _session(dtype, nodes, inputs, {})


def _make_layer(weight: Array, bias: Array) -> Any:
    nodes = [
        helper.make_node("Gemm", ["x", "weight", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["out"]),
    ]
    constants = {"weight": weight, "bias": bias}
    return _session(weight.dtype.name, nodes, {"x": ["rows", weight.shape[0]]}, constants)


def _make_int8_layer(weight: Array, bias: Array) -> Any:
    scales = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    codes = np.rint(weight / scales).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["codes", "weight", "zero"], ["integers"]),
        helper.make_node("Cast", ["integers"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scale", "scales"], ["both"]),
        helper.make_node("Mul", ["floats", "both"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["out"]),
    ]
    constants = {"weight": codes, "scales": scales, "bias": bias}
    return _session("float32", nodes, {"x": ["rows", weight.shape[0]]}, constants)


def _make_integers(weight: Array) -> Any:
    nodes = [helper.make_node("MatMulInteger", ["a", "weight", "zero"], ["out"])]
    constants = {"weight": weight, "zero": np.uint8(128)}
    return _session("int8", nodes, {"a": ["rows", weight.shape[0]]}, constants, TensorProto.INT32)


# To write and read a model with a large weight takes seconds.
_layer, _int8_layer, _integers = Kept(_make_layer), Kept(_make_int8_layer), Kept(_make_integers)


def _session(
    dtype: str,
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    constants: dict[str, Array],
    result: int | None = None,
) -> Any:
    kind = _TYPES[dtype]
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("out", result or kind, ["rows", "columns"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    return onnxruntime.InferenceSession(
        model.SerializeToString(), _options, providers=["CPUExecutionProvider"]
    )
