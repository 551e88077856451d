"""What PTX's arithmetic instructions compute, as functions of NumPy arrays with one element a lane.

`value_of` looks an instruction up among the forms that the rooms declare; anything else is not covered.
Of memory, control flow and other lanes nothing is known here.
"""

from tinytorch.gpu.ptx.semantics import bits, compare, convert, floating, integer, special
from tinytorch.gpu.ptx.semantics.value import Value, value_of

#: The rooms whose forms are covered: importing them declares these.
ROOMS = (integer, bits, compare, floating, special, convert)

__all__ = ["Value", "value_of"]
