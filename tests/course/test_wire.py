"""What goes over the channel comes out as it was; what is no message comes out as an error, and soon."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest

from tinytorch.course.running import wire
from tinytorch.course.subject import Mine, Other, Probe


def there(value):
    return wire.unpacked_from_bytes(wire.packed({"value": value}))["value"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -3, 2**70, 2.5, float("inf"), "", "naïve 🙂 \ud800", [], (), {}),
        *([1, (2, [3.5, None])], {"a": (1,), "tuple": [], "array": 0}, Mine("relu"), Other("set")),
        *(Probe("relu_in_python"), Probe("sleeping", (0.5,))),
    ],
)
def test_plain_values_come_out_as_they_were(value):
    found = there(value)
    assert found == value
    assert type(found) is type(value)


def test_nan_comes_out_as_nan():
    assert np.isnan(there(float("nan")))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint64", "float16", "float32", "float64", "complex64", ml_dtypes.bfloat16]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (3, 4), (2, 0, 3), (2, 3, 4)])
def test_arrays_come_out_with_dtype_shape_and_values(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    found = there(array)
    assert isinstance(found, np.ndarray)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable and found.flags.aligned


@pytest.mark.parametrize(
    ("array", "contiguous"),
    [
        (np.arange(12.0).reshape(3, 4), (True, False)),
        (np.asfortranarray(np.arange(12.0).reshape(3, 4)), (False, True)),
        (np.arange(24.0).reshape(3, 8)[:, ::2], (False, False)),
        (np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1), (False, False)),
        (np.arange(12.0)[::-1], (False, False)),
    ],
)
def test_arrays_come_out_in_their_layout(array, contiguous):
    found = there(array)
    np.testing.assert_array_equal(found, array)
    assert (found.flags.c_contiguous, found.flags.f_contiguous) == contiguous


def test_numbers_of_numpy_stay_numbers():
    found = there(np.float32(0.1))
    assert type(found) is np.float32
    assert found == np.float32(0.1)


def test_big_endian_arrays_come_out_with_the_same_values():
    np.testing.assert_array_equal(there(np.arange(3, dtype=">i4")), [0, 1, 2])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.array([object()]), "array of object"),
        (np.array(["a"]), "array of <U1"),
        ({1, 2}, "set"),
        (10**1000, "very large int"),
    ],
)
def test_what_cannot_be_sent_is_told_by_its_type(value, told):
    assert there([value]) == [Other(told)]


def test_too_much_is_refused_before_it_is_made():
    with pytest.raises(wire.TooLargeError):
        wire.packed({"value": np.broadcast_to(np.float64(0), (1 << 40,))})
    deep = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(wire.TooLargeError):
        wire.packed({"value": deep})


def forged(header, body=b"", claimed=None, mark=b"tito"):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">4sIQ", mark, len(text), len(body) if claimed is None else claimed) + text + body


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is what print writes\n",
        forged({"message": {}, "arrays": []}, mark=b"TITO"),
        forged({"message": {}, "arrays": []}, claimed=10 << 30),
        forged(b"not json"),
        forged(b"\xff\xfe"),
        forged(b"[" * 1_000_000),
        forged(b"9" * 100_000),
        forged([]),
        forged({"message": []}),
        forged({"message": {"x": {"array": 0}}, "arrays": []}),
        forged({"message": {"x": {"array": -1}}, "arrays": [["int8", [0], "C"]]}),
        forged({"message": {"x": {"unheard": 0}}, "arrays": []}),
        forged({"message": {"x": {}}, "arrays": []}),
        forged({"message": {}, "arrays": [["object", [1], "C"]]}, b"12345678"),
        forged({"message": {}, "arrays": [["int8", [-1], "C"]]}, b"1"),
        forged({"message": {}, "arrays": [["int8", [True], "C"]]}, b"1"),
        forged({"message": {}, "arrays": [["int8", [1 << 62, 1 << 62], "C"]]}, b"1"),
        forged({"message": {}, "arrays": [["int8", [0, 1 << 62], "C"]]}),
        forged({"message": {}, "arrays": [["int8", [1] * 40, "C"]]}, b"1"),
        forged({"message": {}, "arrays": [["int8", [2], "C"]]}, b"1"),
        forged({"message": {}, "arrays": [["int8", [1], "C"]]}, b"12"),
        forged({"message": {}, "arrays": [["int8", "1", "C"]]}, b"1"),
        forged({"message": {}, "arrays": [None]}),
        forged({"message": {"x": [[[]]] * 3}, "arrays": {}})[:-4],
    ],
)
def test_what_is_no_message_is_malformed(content):
    with pytest.raises(wire.MalformedError):
        wire.unpacked_from_bytes(content)


def test_any_byte_changed_is_malformed_or_a_message():
    """Whatever is done to a message, nothing but these two comes of it."""
    rng = np.random.default_rng(1)
    good = wire.packed({"number": 1, "value": {"x": (np.arange(4.0), [1, None])}})
    malformed = 0
    for _ in range(3000):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] = rng.integers(256)
        try:
            assert isinstance(wire.unpacked_from_bytes(bytes(bad)), dict)
        except wire.MalformedError:
            malformed += 1
    assert malformed > 1000
