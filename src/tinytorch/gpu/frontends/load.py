"""Any kernel, made ready: what it is decides which frontend compiles it.

A kernel is the object itself, or the place of one: "kernels.py:add" for a Triton or numba-cuda kernel,
"kernels.py:SOURCE:add" for CUDA C++ in a string of that file, "add.cu:add", "add.ptx:add", "add.cubin:add";
or CUDA C++ text with one kernel in it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch.gpu.frontends import cuda_cpp, files, numba_cuda, triton
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError, install
from tinytorch.runtime.modules import imported

_PLACE = re.compile(r"(?P<file>.+?\.(?P<kind>py|cu|ptx|cubin))(?::(?P<name>.+))?", re.DOTALL)


def load(
    kernel: Any,
    grid: Any,
    args: Sequence[Any] = (),
    *,
    block: Any = None,
    arch: str = "sm_90",
    shared: int = 0,
    meta: Mapping[str, Any] | None = None,
) -> Compiled:
    """Compile any kernel for a launch, or read it from where it lies; a .py file is run for that.

    `meta` is for Triton alone, which needs no `block`; all others do. `arch` is not asked of a .ptx or .cubin
    file, which is for one already. Raises InputError saying what is not there, or does not fit.
    """
    if isinstance(kernel, Path):
        kernel = str(kernel)
    rest, where = "", "the CUDA C++ text"
    if isinstance(kernel, str) and "__global__" not in kernel:
        place = _PLACE.fullmatch(kernel)
        if place is None:
            raise InputError(f"{kernel!r} is no kernel; write file.py:kernel, or a .cu, .ptx or .cubin file")
        path, name = Path(place["file"]), place["name"]
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        if place["kind"] == "cubin":
            return files.from_cubin(path, name, grid, block or 1, shared=shared)
        if place["kind"] == "ptx":
            return files.from_ptx(path, name, grid, _block(block), args, shared=shared)
        if place["kind"] == "cu":
            chosen = _only(path.read_text(encoding="utf-8", errors="replace"), name, str(path))
            return cuda_cpp.from_cuda_cpp(path, chosen, grid, _block(block), args, arch=arch, shared=shared)
        kernel, _, rest = (name or "").partition(":")
        kernel, where = _found(path, kernel), str(path)
    if isinstance(kernel, str):
        chosen = _only(kernel, rest or None, where)
        return cuda_cpp.from_cuda_cpp(kernel, chosen, grid, _block(block), args, arch=arch, shared=shared)
    if triton.is_kernel(kernel):
        return triton.from_triton(kernel, grid, args, arch=arch, meta=meta)
    return numba_cuda.from_numba_cuda(kernel, grid, _block(block), args, arch=arch, shared=shared)


def _block(block: Any) -> Any:
    if block is None:
        raise InputError("say how many threads a block has: block=128 or (16, 16), --block 128 or 16,16")
    return block


def _only(text: str, name: str | None, where: str) -> str:
    """Return the name, or the one of the only kernel in CUDA C++ text."""
    there = list(cuda_cpp.kernels(text))
    if name is None and len(there) != 1:
        raise InputError(f"{where} has {len(there)} kernels; name one of: {', '.join(there) or 'none'}")
    return name or there[0]


def _found(path: Path, name: str) -> Any:
    try:
        module = imported(path)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise MissingExtraError(f"Triton kernels need {install('gpu')}") from error
    if not name or not hasattr(module, name):
        known = ", ".join(n for n, value in vars(module).items() if _is_kernel(value)) or "none that is known"
        raise InputError(
            f"{path} has no {name!r}; its kernels: {known}" if name else f"name a kernel: {known}"
        )
    found = getattr(module, name)
    if not (isinstance(found, str) or callable(found) or _is_kernel(found)):
        raise InputError(f"{name!r} of {path} is no kernel but of {type(found)}")
    return found


def _is_kernel(value: Any) -> bool:
    return triton.is_kernel(value) or numba_cuda.is_kernel(value)
