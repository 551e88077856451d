"""What a call does, whoever's function it is: operations, bytes, and how much of it is the interpreter."""

from tinytorch.measure.counting.bytecodes import Interpreter, interpreter
from tinytorch.measure.counting.choose import bytes_in_and_out, what_it_does
from tinytorch.measure.counting.count import Count, Entry
from tinytorch.measure.counting.hardware import available, count_hardware
from tinytorch.measure.counting.numpy_counter import count_numpy
from tinytorch.measure.counting.torch_counter import count_torch, involves_torch

__all__ = [
    "Count",
    "Entry",
    "Interpreter",
    "available",
    "bytes_in_and_out",
    "count_hardware",
    "count_numpy",
    "count_torch",
    "interpreter",
    "involves_torch",
    "what_it_does",
]
