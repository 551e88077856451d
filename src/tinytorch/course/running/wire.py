"""Messages between the checks and a process that is not trusted: a JSON header, then the bytes of arrays.

Nothing is pickled. Whatever the other end writes, plain values come out of it or MalformedError.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from tinytorch.course.subject import Mine, Other, Probe

_START = struct.Struct(">4sIQ")  # the mark, bytes of the header, bytes of all arrays
_MARK = b"tito"
#: What honest messages stay below: lists of 200 000 numbers, 256 MB of arrays, lists in lists. JSON takes up
#: to 40 times its length when it is read.
MOST_HEADER, MOST_BYTES, MOST_DEPTH = 4 << 20, 256 << 20, 32
_MOST_BITS, _MOST_SIDES = 1024, 16
_DTYPES = {
    np.dtype(kind).name: np.dtype(kind)
    for kind in (
        *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64, np.complex64, np.complex128, ml_dtypes.bfloat16),
    )
}


class MalformedError(ValueError):
    """What was read is no message."""


class TooLargeError(ValueError):
    """A value is too large to be sent; says what of it."""


def packed(message: dict[str, Any], most: int = MOST_BYTES) -> bytes:
    """Return a message as bytes: a dict with strings as keys, of what a `Subject` takes and returns.

    Raises TooLargeError if its arrays take more bytes than `most`. What cannot be sent becomes `Other`.

    >>> unpacked_from_bytes(packed({"x": (1, [2.5, None])}))
    {'x': (1, [2.5, None])}
    """
    arrays: list[np.ndarray] = []
    value = {name: _tagged(part, arrays, 0) for name, part in message.items()}
    told = [[array.dtype.name, array.shape, _layout(array)] for array in arrays]
    header = json.dumps({"message": value, "arrays": told}).encode()
    size = sum(array.nbytes for array in arrays)
    if size > most or len(header) > MOST_HEADER:
        raise TooLargeError(f"{size + len(header)} bytes")
    return b"".join((_START.pack(_MARK, len(header), size), header, *map(_bytes, arrays)))


def unpacked(read: Callable[[int], bytes], most: int = MOST_BYTES) -> dict[str, Any]:
    """Return the next message; `read` returns as many bytes as it is asked for.

    Raises MalformedError, also for arrays of more bytes than `most`, and whatever `read` raises.
    """
    mark, header_size, size = _START.unpack(read(_START.size))
    if mark != _MARK or header_size > MOST_HEADER or size > most:
        raise MalformedError("no message begins here")
    try:
        header = json.loads(read(header_size))
        arrays = list(_arrays(header["arrays"], size, read))
        return {name: _value(part, arrays, 0) for name, part in header["message"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise MalformedError(str(error)) from None


def unpacked_from_bytes(content: bytes) -> dict[str, Any]:
    """Return the message at the start of these bytes."""
    view, place = memoryview(content), 0

    def read(count: int) -> bytes:
        nonlocal place
        if place + count > len(view):
            raise MalformedError("it ends too early")
        place += count
        return bytes(view[place - count : place])

    return unpacked(read)


def _tagged(value: Any, arrays: list[np.ndarray], depth: int) -> Any:
    """Return a value as JSON can hold it; arrays go to the list."""
    if depth > MOST_DEPTH:
        raise TooLargeError(f"more than {MOST_DEPTH} lists in each other")

    def within(parts: Iterable[Any]) -> list[Any]:
        return [_tagged(part, arrays, depth + 1) for part in parts]

    tagged: Any
    match value:
        case None | bool() | float() | str():
            tagged = value
        case int():
            tagged = value if value.bit_length() <= _MOST_BITS else {"other": "very large int"}
        case np.ndarray() | np.generic():
            tagged = _tagged_array(value, arrays)
        case list():
            tagged = within(value)
        case tuple():
            tagged = {"tuple": within(value)}
        case dict():
            tagged = {"dict": dict(zip(map(str, value), within(value.values()), strict=True))}
        case Probe():
            tagged = {"probe": value.name, "made_with": _tagged(value.made_with, arrays, depth + 1)}
        case Mine():
            tagged = {"mine": value.name}
        case _:
            tagged = {"other": value.type_name if isinstance(value, Other) else type(value).__name__}
    return tagged


def _tagged_array(value: Any, arrays: list[np.ndarray]) -> dict[str, Any]:
    array = np.asarray(value)
    if array.dtype.name not in _DTYPES:
        return {"other": f"array of {array.dtype}"}
    arrays.append(array.astype(array.dtype.newbyteorder("="), copy=False))
    return {"array" if isinstance(value, np.ndarray) else "number": len(arrays) - 1}


def _value(tagged: Any, arrays: list[np.ndarray], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise MalformedError("too deep")

    def within(parts: Iterable[Any]) -> list[Any]:
        return [_value(part, arrays, depth + 1) for part in parts]

    value: Any
    match tagged:
        case list():
            value = within(tagged)
        case {"array": int() as number} if 0 <= number < len(arrays):
            value = arrays[number]
        case {"number": int() as number} if 0 <= number < len(arrays):
            value = arrays[number][()]
        case {"tuple": list() as parts}:
            value = tuple(within(parts))
        case {"dict": dict() as parts}:
            value = dict(zip(parts, within(parts.values()), strict=True))
        case {"probe": str() as name, "made_with": made_with}:
            value = Probe(name, _value(made_with, arrays, depth + 1))
        case {"mine": str() as name}:
            value = Mine(name)
        case {"other": str() as name}:
            value = Other(name)
        case dict():
            raise MalformedError("no kind of value")
        case _:
            value = tagged
    return value


def _layout(array: np.ndarray) -> str:
    return "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else "gaps"


def _bytes(array: np.ndarray) -> bytes:
    return array.tobytes("F" if _layout(array) == "F" else "C")


def _arrays(told: Any, size: int, read: Callable[[int], bytes]) -> Iterator[np.ndarray]:
    for name, shape, layout in told:
        dtype = _DTYPES[name]
        if len(shape) > _MOST_SIDES or not all(type(side) is int and side >= 0 for side in shape):
            raise MalformedError("no shape")
        count = math.prod(shape) * dtype.itemsize
        if count > size or max(shape, default=0) > MOST_BYTES:
            raise MalformedError("an array goes beyond the bytes that were sent")
        size -= count
        flat = np.frombuffer(read(count), dtype)
        array = empty(tuple(shape), dtype, layout)
        array[...] = flat.reshape(shape, order="F" if layout == "F" else "C")
        yield array
    if size:
        raise MalformedError("more bytes than arrays")


def empty(shape: tuple[int, ...], dtype: np.dtype, layout: str) -> np.ndarray:
    """Return an array in a layout: "C", "F", or "gaps" between the places of the last axis."""
    if layout == "gaps" and shape:
        return np.zeros((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2]
    return np.empty(shape, dtype, order="F" if layout == "F" else "C")
