"""Which launches are recorded: every micro-kernel with the strides, masks and patterns that are tried.

Launches are small, a few warps: a counter that is right for one warp is right for many. The first launch of
every kernel comes before the second of any, so that a recording that runs out of time has lost only the tail
of the long sweeps.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.gpu.plan import Array, Launch, Scalar

#: The dtype whose elements an access of so many bits is made of, and how many it takes.
PARTS = {8: ("u1", 1), 16: ("u2", 1), 32: ("u4", 1), 64: ("u4", 2), 128: ("u4", 4)}
_WARP = 32
#: Two blocks of two warps.
_GRID, _BLOCK = (2, 1, 1), (64, 1, 1)
_THREADS = 128
_STRIDES = (0, 1, 2, 3, 4, 5, 8, 16, 32)
_OFFSETS = (1, 2, 3, 4, 7, 8, 15, 16, 31)
_MASKS = (
    *(0xFFFFFFFF, 0x55555555, 0x0000FFFF, 0xFFFF0000, 0x11111111),
    *(0xF0F0F0F0, 0x80000001, 0x00000001, 0x00000000),
)


def launches() -> list[Launch]:
    """Return every launch, the first of each kernel first.

    >>> launches()[0].kernel
    'load_8'
    """
    every = [*_global(), *_shared(), *_branches(), *_atomics(), *_triton()]
    seen: Counter[str] = Counter()
    turns = []
    for launch in every:
        turns.append(seen[launch.module + launch.kernel])
        seen[launch.module + launch.kernel] += 1
    return [launch for _, launch in sorted(zip(turns, every, strict=True), key=lambda pair: pair[0])]


def _array(name: str, bits: int, elements: int, fill: str = "zero", written: bool = False) -> Array:
    dtype, parts = PARTS[bits]
    return Array(name, dtype, elements * parts, fill, written)


def _index(values: Sequence[int]) -> Array:
    return Array("index", "i4", len(values), tuple(values))


def _number(name: str, value: int, dtype: str = "i4") -> Scalar:
    return Scalar(name, dtype, value)


def patterns() -> dict[str, list[int]]:
    """Return places for 128 threads: whom each takes its element from, or writes it to.

    >>> patterns()["pairs"][:4]
    [0, 0, 1, 1]
    """
    threads = range(_THREADS)
    return {
        "own": list(threads),
        "same": [0] * _THREADS,
        "pairs": [i // 2 for i in threads],
        "quads": [i // 4 for i in threads],
        "backwards": list(reversed(threads)),
        "scattered": [i * 389 % 4093 for i in threads],
        "few": [i * 7 % 5 for i in threads],
        "halves swapped": [i ^ 16 for i in threads],
    }


def bank_patterns() -> dict[str, list[int]]:
    """Return places in shared memory for two warps; none is beyond 1056.

    >>> bank_patterns()["far pairs"][:4]
    [0, 0, 32, 32]
    """
    lanes = [thread % _WARP for thread in range(64)]
    return {
        "same": [7 for _ in lanes],
        "pairs": [lane // 2 for lane in lanes],
        "quads": [lane // 4 for lane in lanes],
        "far pairs": [lane // 2 * 32 for lane in lanes],
        "crossed pairs": [lane % 16 * 32 for lane in lanes],
        "swizzled": [lane ^ 5 for lane in lanes],
        "scattered": [lane * 389 % 1021 for lane in lanes],
        "two words of a bank": [lane % 2 * 32 for lane in lanes],
    }


def _global() -> Iterator[Launch]:
    for bits in PARTS:
        for operation in ("load", "store"):
            yield from _moves(operation, bits)
    for bits in (32, 64, 128):
        for mask in _MASKS:
            arguments = (
                _array("in", bits, _THREADS, "count"),
                _array("out", bits, _THREADS, written=True),
                _number("mask", mask, "u4"),
            )
            yield Launch("global", f"masked_{bits}", f"mask {mask:08x}", _GRID, _BLOCK, arguments)
    for bits in (32, 128):
        for name, places in patterns().items():
            arguments = (
                _index(places),
                _array("in", bits, 4096, "count"),
                _array("out", bits, _THREADS, written=True),
            )
            yield Launch("global", f"gather_{bits}", name, _GRID, _BLOCK, arguments)
    for name in ("own", "backwards", "scattered", "halves swapped"):
        arguments = (
            _index(patterns()[name]),
            _array("in", 32, _THREADS, "count"),
            _array("out", 32, 4096, written=True),
        )
        yield Launch("global", "scatter_32", name, _GRID, _BLOCK, arguments)
    for count in (1, 31, 32, 33, 63, 64, 97, 127, 128):
        arguments = (
            _array("in", 32, count, "count"),
            _array("out", 32, count, written=True),
            _number("count", count),
        )
        yield Launch("global", "bounded_32", f"count {count}", _GRID, _BLOCK, arguments)


def _moves(operation: str, bits: int) -> Iterator[Launch]:
    """Yield loads or stores of a width with every stride, then with every offset."""
    many = bits == 32 and operation == "load"
    strides = range(33) if many else [s for s in _STRIDES if s or operation == "load"]
    offsets = range(1, 32) if many or (bits == 8 and operation == "load") else _OFFSETS
    for stride, offset in [*((stride, 0) for stride in strides), *((1, offset) for offset in offsets)]:
        reach = _THREADS * max(stride, 1) + 32
        near, far = _array("in", bits, _THREADS, "count"), _array("out", bits, reach, written=True)
        if operation == "load":
            near, far = _array("in", bits, reach, "count"), _array("out", bits, _THREADS, written=True)
        arguments = (near, far, _number("stride", stride), _number("offset", offset))
        name = f"stride {stride} offset {offset}"
        yield Launch("global", f"{operation}_{bits}", name, _GRID, _BLOCK, arguments)


def _shared() -> Iterator[Launch]:
    for bits in PARTS:
        strides = range(1, 34) if bits >= 32 else (1, 2, 3, 4, 8, 16, 32, 33)
        for name, places in {**_bank_strides(strides), **bank_patterns()}.items():
            yield _banked("read", bits, name, places)
        for name, places in _bank_strides((1, 2, 3, 4, 8, 16, 32, 33)).items():
            yield _banked("write", bits, name, places)
        for name in ("swizzled", "scattered"):
            yield _banked("write", bits, name, bank_patterns()[name])
    for width in (32, 33):
        arguments = (
            _array("in", 32, 64 * 64, "count"),
            _array("out", 32, 64 * 64, written=True),
            _number("n", 64),
        )
        yield Launch("shared", f"transpose_{width}", "64 x 64", (2, 2, 1), (32, 32, 1), arguments)
    for name, places in _bank_strides((1, 2, 3, 4, 5, 8, 16)).items():
        yield _banked("matrices", 128, name, places[:_WARP])
    for name, places in _bank_strides((1, 2, 3, 8)).items():
        arguments = (
            _index(places[:_WARP]),
            _array("in", 128, _WARP, "count"),
            _array("out", 128, _WARP, written=True),
        )
        yield Launch("shared", "copy_async", name, (1, 1, 1), (_WARP, 1, 1), arguments, 16 * 256)


def _bank_strides(strides: Sequence[int]) -> dict[str, list[int]]:
    return {f"stride {stride}": [thread % _WARP * stride for thread in range(64)] for stride in strides}


def _banked(operation: str, bits: int, name: str, places: Sequence[int]) -> Launch:
    """Return a launch of one block whose threads take these places in shared memory."""
    count = max(places) + 1
    writes = operation == "write"
    arguments = (
        _index(places),
        _array("in", bits, count * (2 if writes else 1), "count"),
        _array("out", bits, count if writes else len(places), written=True),
        _number("count", count),
    )
    kernel = operation if operation == "matrices" else f"{operation}_{bits}"
    return Launch("shared", kernel, name, (1, 1, 1), (len(places), 1, 1), arguments, count * bits // 8)


def _branches() -> Iterator[Launch]:
    out = _array("out", 32, _THREADS, written=True)
    for ways in range(1, 33):
        yield Launch("branches", "switch_ways", f"ways {ways}", _GRID, _BLOCK, (out, _number("ways", ways)))
    for first, second in zip(_MASKS[:4], (0, 0x0000FFFF, 0xFF00FF00, 0x0FF00FF0), strict=True):
        arguments = (
            _array("out", 32, 8 * _THREADS, written=True),
            _number("first", first, "u4"),
            _number("second", second, "u4"),
        )
        yield Launch("branches", "nested", f"masks {first:08x} {second:08x}", _GRID, _BLOCK, arguments)
    for turns in (1, 2, 5, 8, 32):
        arguments = (_array("in", 32, 32 * _THREADS, "count"), out, _number("turns", turns))
        yield Launch("branches", "uneven_loop", f"turns {turns}", _GRID, _BLOCK, arguments)
        yield Launch("branches", "leave_loop", f"turns {turns}", _GRID, _BLOCK, arguments)
    for mask in _MASKS:
        arguments = (_array("in", 32, _THREADS, "count"), out, _number("mask", mask, "u4"))
        yield Launch("branches", "early_exit", f"mask {mask:08x}", _GRID, _BLOCK, arguments)


def _atomics() -> Iterator[Launch]:
    for name, places in patterns().items():
        for kernel, dtype in (("32", "u4"), ("float", "f4"), ("64", "u8")):
            arguments = (_index(places), Array("out", dtype, 4096, written=True))
            yield Launch("atomics", f"atomic_add_{kernel}", name, _GRID, _BLOCK, arguments)
    for name in ("own", "backwards", "scattered"):
        arguments = (
            _index(patterns()[name]),
            _array("out", 32, 4096, "count", written=True),
            _array("old", 32, _THREADS, written=True),
        )
        yield Launch("atomics", "atomic_max_old", name, _GRID, _BLOCK, arguments)
    for name in ("own", "same", "pairs", "few"):
        arguments = (_index(patterns()[name][:64]), _array("out", 32, 256, written=True))
        yield Launch("atomics", "atomic_shared", name, (1, 1, 1), _BLOCK, arguments)
    for threads in (32, 64, 256):
        arguments = (_array("in", 32, 2 * threads, "count"), _array("out", 32, 2, written=True))
        yield Launch("atomics", "block_sum", f"{threads} threads", (2, 1, 1), (threads, 1, 1), arguments)


def _triton() -> Iterator[Launch]:
    """Yield launches of Triton's kernels; their last two parameters are scratch memory, which none uses."""
    scratch = (_number("scratch", 0, "u8"), _number("profile", 0, "u8"))
    one, many, block = (1, 1, 1), (2, 1, 1), (128, 1, 1)

    def launch(module: str, name: str, grid: tuple[int, int, int], *arguments: Array | Scalar) -> Launch:
        kernel = module.removeprefix("triton_").removesuffix("_16").removesuffix("_any")
        return Launch(module, kernel, name, grid, block, (*arguments, *scratch))

    for module, counts in (("triton_copy_16", (1024, 1008, 512)), ("triton_copy_any", (1024, 1008, 999))):
        for n in counts:
            x, y = _array("x", 32, n, "count"), _array("y", 32, n, written=True)
            yield launch(module, f"n {n}", many, x, y, _number("n", n))
    for stride in (0, 1, 2, 3, 4, 8, 32):
        x, y = _array("x", 32, 256 * max(stride, 1), "count"), _array("y", 32, 256, written=True)
        yield launch("triton_strided", f"stride {stride}", many, x, y, _number("stride", stride))
    for name, places in patterns().items():
        index = _index([*places, *places])
        x, y = _array("x", 32, 4096, "count"), _array("y", 32, 256, written=True)
        yield launch("triton_gathered", name, one, index, x, y)
    x, y = _array("x", 32, 1024, "count"), _array("y", 32, 1024, written=True)
    yield launch("triton_transposed", "32 x 32", one, x, y)
    for columns in (512, 500, 77):
        x, columns_ = _array("x", 32, 2 * columns, "count"), _number("columns", columns)
        y = _array("y", 32, 2, written=True)
        yield launch("triton_row_sum", f"columns {columns}", many, x, y, columns_)
        y = _array("y", 32, 2 * columns, written=True)
        yield launch("triton_below_maximum", f"columns {columns}", many, x, y, columns_)
