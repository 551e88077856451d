"""Kernels in files that a compiler has left: .ptx, which can be run, and .cubin, which can only be read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinytorch.gpu import launch
from tinytorch.gpu.frontends import parameters, sources
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.sass.assemble import assembled
from tinytorch.gpu.sass.opcodes import code
from tinytorch.gpu.sass.resources import architecture
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError

_TARGET = re.compile(r"^[ \t]*\.target\s+(sm_\d+[af]?)", re.MULTILINE)
MOST_BYTES = 256 * 2**20  # a PTX or cubin of more is none that one would read


def from_ptx(
    path: Path,
    kernel: str | None,
    grid: Any,
    block: Any,
    args: Sequence[Any],
    *,
    shared: int = 0,
) -> Compiled:
    """Return a kernel of a .ptx file: the one of a name, or the only one.

    Values are passed in the order of the PTX parameters; the architecture is the one that the file names.
    Machine code is made of it where ptxas is at hand; the notes say why if there is none. Raises InputError
    for a file that is no PTX, and for values that do not fit.
    """
    text = _content(path).decode("utf-8", errors="replace")
    there = parameters.entries(text)
    target = _TARGET.search(text)
    if not there or target is None:
        raise InputError(f"{path} is no PTX: it has no .target and .entry")
    entry = _chosen(path, there, kernel)
    cubin, notes = assembled(text, target[1])
    return Compiled(
        frontend="PTX",
        language="PTX",
        entry=entry,
        arch=target[1],
        ptx=text,
        cubin=cubin,
        grid=launch.grid(grid),
        block=launch.block(block),
        shared=launch.shared(shared),
        arguments=parameters.match(entry, parameters.slots(text, entry), args),
        sources={**sources.named_in(text), str(path): text},
        notes=notes,
    )


def from_cubin(path: Path, kernel: str | None, grid: Any = 1, block: Any = 1, *, shared: int = 0) -> Compiled:
    """Return a kernel of a .cubin file: its machine code alone, which is read and not run.

    Raises InputError for a file that is no cubin.
    """
    content = _content(path)
    try:
        number, there = architecture(content), list(code(content))
    except MissingExtraError:
        raise
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    entry = _chosen(path, there, kernel)
    return Compiled(
        frontend="cubin",
        language="SASS",
        entry=entry,
        arch=f"sm_{number}",
        ptx="",
        cubin=content,
        grid=launch.grid(grid),
        block=launch.block(block),
        shared=launch.shared(shared),
        arguments=(),
        sources={},
        notes=("a cubin holds no PTX: its machine code is read, and nothing is run",),
    )


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _chosen(path: Path, there: Sequence[str], kernel: str | None) -> str:
    if kernel in there:
        return str(kernel)
    if kernel is None and len(there) == 1:
        return there[0]
    wanted = f"no kernel {kernel!r}" if kernel else "several kernels" if there else "no kernel"
    some = ", ".join([*there[:20], *(["…"] if len(there) > 20 else [])])
    raise InputError(f"{path} has {wanted}; name one of: {some or 'none'}")
