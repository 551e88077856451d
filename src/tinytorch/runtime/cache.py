"""Compiled code on disk: compiled once per machine, loaded by every later process.

One file an entry, named by the hash of everything that its machine code depends on: our source, the
versions of the compiler, the CPU with its features, the kernel and its signature. Nothing can be stale, so
nothing is ever looked up in an index, rewritten or locked: a writer makes a file aside and renames it, and
a reader believes a file only if its contents hash to what its first bytes say. Whatever goes wrong with
the folder, the kernel is compiled as if there were none.
"""

import contextlib
import functools
import hashlib
import inspect
import logging
import os
import pickle
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import serialize
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.runtime.nrt import rtsys

from tinytorch.runtime import folders

_log = logging.getLogger(__name__)
_MAGIC = b"tinytorch compiled 1\n"


def read(key: str) -> bytes | None:
    """Return what was written under `key`, or None if it is missing, damaged or not ours to trust."""
    path = _path(key)
    try:
        if not _trusted(path):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # still in use: see `_prune`
    head, body = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if head == _MAGIC + hashlib.sha256(body).digest():
        return body
    _log.info("%s is damaged; compiling anew", path)
    return None


def write(key: str, body: bytes) -> None:
    """Keep `body` under `key` if the folder allows it."""
    path = _path(key)
    content = _MAGIC + hashlib.sha256(body).digest() + body
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _prune(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        _warn_unwritable(str(path.parent), error.strerror or str(error))


@functools.lru_cache(maxsize=1)
def _warn_unwritable(where: str, why: str) -> None:
    _log.warning(
        "the compile cache %s cannot be written (%s): kernels are compiled anew in every process; "
        "set TINYTORCH_CACHE_DIR to a folder of yours",
        where,
        why,
    )


@functools.lru_cache(maxsize=1)
def _prune(where: Path) -> None:
    """Once a process, remove what nothing has read for two months: code of old versions and settings."""
    oldest = time.time() - 60 * 24 * 3600
    for path in where.iterdir():
        if path.name.endswith(".kernel") or path.name.startswith(".writing-"):
            with contextlib.suppress(OSError):  # another process may be doing the same
                if path.stat().st_mtime < oldest:
                    path.unlink()


@functools.lru_cache(maxsize=1)
def _warn_untrusted(place: Path) -> None:
    _log.warning("%s can be written by others; it is not used", place)


def _path(key: str) -> Path:
    return folders.cache() / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.kernel"


def _trusted(path: Path) -> bool:
    """Say whether only this user could have written the file: machine code is run, so it must be ours."""
    if os.name != "posix":
        return True
    for place in (path, path.parent):
        status = place.stat()
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
            _warn_untrusted(place)
            return False
    return True


@functools.lru_cache(maxsize=1)
def toolchain() -> str:
    """Describe what every kernel depends on: our source and the versions of what compiles it."""
    package = Path(__file__).parent.parent
    source = hashlib.sha256()
    for path in sorted(p for room in ("runtime", "simd", "ops") for p in (package / room).rglob("*.py")):
        source.update(path.relative_to(package).as_posix().encode())
        source.update(path.read_bytes())
    return "|".join(
        (
            source.hexdigest(),
            f"numba {numba.__version__}",
            f"llvmlite {llvmlite.__version__}",
            f"numpy {np.__version__}",
            f"python {sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}",
            # Settings of numba may change its code (bounds checks, optimization); its threads do not.
            *(
                f"{name}={value}"
                for name, value in sorted(os.environ.items())
                if name.startswith("NUMBA_") and name != "NUMBA_NUM_THREADS"
            ),
        )
    )


def identity(body: Callable[..., Any], *more: object) -> tuple[str, bool]:
    """Return a name that no other kernel has, and whether its code may be kept for later processes.

    A kernel may be someone else's than ours, so its own file counts; kernels made by one function differ in
    what they close over; one typed into an interpreter or a notebook has no file, and is not kept.
    """
    closed = serialize.dumps([cell.cell_contents for cell in body.__closure__ or ()])
    told = f"{body.__module__}.{body.__qualname__} {more}".encode()
    try:
        source, kept = Path(inspect.getfile(body)).read_bytes(), True
    except OSError:
        source, kept = secrets.token_bytes(16), False
    return f"{body.__name__}_{hashlib.sha256(source + closed + told).hexdigest()[:24]}", kept


class KernelCache(NullCache):
    """What numba asks for a compiled signature of one function, and hands the result to.

    numba's own cache keys on the file of that one function, so an edit to anything it calls goes unnoticed,
    and a damaged index ends the program; hence ours.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _key(self, signature: Any, target_context: Any) -> str:
        machine = target_context.codegen().magic_tuple()  # triple, CPU name, CPU features
        return "|".join((toolchain(), repr(machine), self._name, str(signature)))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled result, or None.

        Of numba's own preparations only its runtime's is needed to run finished code. The others import what
        a compilation needs, SciPy's linear algebra among it: 0.2 to 0.3 s of a process's first call.
        """
        rtsys.initialize(target_context)
        body = read(self._key(sig, target_context))
        _log.info("%s %s", "loading" if body else "compiling", self._name.rpartition("_")[0])
        if body is None:
            return None
        # The bytes are ours (_trusted) and whole (the hash), written by the same versions (the key).
        return CompileResult._rebuild(target_context, *pickle.loads(body))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled result, unless addresses of this process are part of its code."""
        if data.library.has_dynamic_globals or any(not part.can_cache for part in data.lifted):
            return
        write(self._key(sig, data.target_context), serialize.dumps(data._reduce()))
