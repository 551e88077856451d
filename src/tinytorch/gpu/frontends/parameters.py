"""Values matched to the parameters of a PTX entry, one to one: what a launch passes, checked first.

PTX tells the size of a parameter and whether it is a pointer, a number or a block of bytes. What it leaves
open (an address is a u64, and so is a count) the declaration in the source tells, where there is one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.frontends import arrays
from tinytorch.gpu.launch import Argument
from tinytorch.runtime.errors import InputError

# Each reads a text once, whatever stands in it: what is not closed goes on to the end; brackets hold none.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*(?:\(([^()]*)\))?")
_PARAMETER = re.compile(
    r"\.param (?:\.align \d+ )?\.(?P<type>\w+) (?P<attributes>(?:\.\w+ (?:\d+ )?)*)(?P<name>[\w$]+) ?"
    r"(?:\[ ?(?P<size>\d{1,10}) ?\])?"
)
_TYPES = {f"{kind}{bits}" for kind in "usb" for bits in (8, 16, 32, 64)} | {"f16", "f32", "f64"}


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter: its PTX type, its bytes if it is a block of them, and what the source says of it."""

    name: str
    type: str  # "u64", "f32", "b8"
    size: int = 0  # of a block of bytes
    pointer: bool = False
    points_to: frozenset[str] = frozenset()  # element types that fit; empty if any does


def _plain(ptx: str) -> str:
    """Return a text without its comments."""
    return _COMMENT.sub(" ", ptx)


def entries(ptx: str) -> list[str]:
    """Return the names of the kernels of a PTX text.

    >>> entries(".visible .entry add(.param .u32 n)")
    ['add']
    """
    return [match[1] for match in _ENTRY.finditer(_plain(ptx))]


def slots(ptx: str, entry: str) -> list[Slot]:
    """Return the parameters of an entry as PTX declares them, under PTX's names.

    >>> slots(".entry add(.param .u64 .ptr .global .align 1 x, .param .f32 a)", "add")[0].pointer
    True
    """
    for match in _ENTRY.finditer(_plain(ptx)):
        if match[1] == entry:
            declared = " ".join((match[2] or "").split())
            return [_slot(part.strip()) for part in declared.split(",")] if declared else []
    raise InputError(f"no kernel {entry!r} in the PTX: it holds {', '.join(entries(ptx)) or 'none'}")


def _slot(declared: str) -> Slot:
    part = _PARAMETER.fullmatch(declared)
    if part is None:
        raise InputError(f"{declared[:60]!r} is no parameter of PTX")
    return Slot(part["name"], part["type"], int(part["size"] or 0), pointer=".ptr" in part["attributes"])


def match(kernel: str, slots: Sequence[Slot], values: Sequence[Any]) -> tuple[Argument, ...]:
    """Return one argument for each parameter. Raises InputError for a value that does not fit its own."""
    if len(slots) != len(values):
        names = ", ".join(slot.name for slot in slots)
        raise InputError(f"{kernel} takes {len(slots)} arguments ({names}), not {len(values)}")
    return tuple(_fit(slot, value) for slot, value in zip(slots, values, strict=True))


def _fit(slot: Slot, value: Any) -> Argument:
    if slot.size:
        return _block(slot, value)
    if arrays.is_array(value) and not (
        isinstance(value, np.ndarray) and value.ndim == 0 and not slot.pointer
    ):
        return _pointer(slot, value)
    if value is None and slot.type in ("u64", "b64"):
        return Argument(slot.name, None)
    if slot.pointer:
        one = f" (256:{min(slot.points_to, default='float32')} on the command line)"
        raise InputError(f"{slot.name} is a pointer; give an array{one} or None, not {value!r}")
    return _number(slot, value)


def _block(slot: Slot, value: Any) -> Argument:
    """A struct by value: its bytes, or a NumPy record, whose bytes they are."""
    content = value.tobytes() if isinstance(value, np.void | np.ndarray | np.generic) else value
    if not isinstance(content, bytes) or len(content) != slot.size:
        length = f"{len(content)} bytes" if isinstance(content, bytes) else type(value).__name__
        raise InputError(f"{slot.name} is a struct of {slot.size} bytes; give its bytes, not {length}")
    return Argument(slot.name, content)


def _pointer(slot: Slot, value: Any) -> Argument:
    if not slot.pointer and slot.type not in ("u64", "b64"):
        raise InputError(f"{slot.name} is a number ({slot.type}), not a pointer; give a number")
    argument = arrays.array(slot.name, value)
    if slot.points_to and argument.type not in slot.points_to:
        wanted = " or ".join(sorted(slot.points_to))
        raise InputError(f"{slot.name} points to {wanted}; the array given is of {argument.type}")
    return argument


def _number(slot: Slot, value: Any) -> Argument:
    if slot.type not in _TYPES:
        raise InputError(f"{slot.name} is of type {slot.type}, of which no number can be given")
    kind = {"u": "uint", "s": "int", "f": "float", "b": "uint"}[slot.type[0]]
    dtype = np.dtype(f"{kind}{slot.type[1:]}")
    if not isinstance(value, int | float | np.integer | np.floating | np.bool_):
        raise InputError(f"{slot.name} is a number ({slot.type}); give one, not {type(value).__name__}")
    if dtype.kind == "f":
        return Argument(slot.name, dtype.type(value))
    if isinstance(value, float | np.floating) and not float(value).is_integer():
        raise InputError(f"{slot.name} is an integer ({slot.type}); give one, not {value}")
    bits = 8 * dtype.itemsize
    if not -(2 ** (bits - 1)) <= value < 2**bits:
        raise InputError(f"{slot.name} is an integer of {bits} bits ({slot.type}); {value} does not fit")
    signed = np.dtype(f"int{bits}") if value < 0 else dtype  # PTX calls signed ones u32, too
    return Argument(slot.name, signed.type(int(value)))
