"""CUDA C++ to PTX and machine code through NVRTC, NVIDIA's run-time compiler: no driver, no GPU.

The declaration of the kernel in the source names the arguments and tells what the pointers point to; PTX
knows neither.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinytorch.gpu import launch
from tinytorch.gpu.frontends import parameters, sources
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError, install, needs

#: The element types that fit behind a pointer to a C++ type; what is missing here is not checked.
_ELEMENTS = {
    "float": ("float32",), "double": ("float64",), "bool": ("bool", "uint8"),
    "half": ("float16",), "__half": ("float16",), "__nv_bfloat16": ("bfloat16", "uint16"),
    "char": ("int8", "uint8"), "signed char": ("int8",), "unsigned char": ("uint8", "bool"),
    "int8_t": ("int8",), "uint8_t": ("uint8", "bool"),
    "short": ("int16",), "unsigned short": ("uint16", "float16", "bfloat16"),
    "int16_t": ("int16",), "uint16_t": ("uint16", "float16", "bfloat16"),
    "int": ("int32",), "unsigned": ("uint32",), "unsigned int": ("uint32",),
    "int32_t": ("int32",), "uint32_t": ("uint32",),
    "long": ("int64",), "long long": ("int64",), "int64_t": ("int64",),
    "unsigned long": ("uint64",), "unsigned long long": ("uint64",), "uint64_t": ("uint64",),
    "float2": ("float32", "complex64"), "float4": ("float32",), "double2": ("float64", "complex128"),
    "int2": ("int32",), "int4": ("int32",), "uint2": ("uint32",), "uint4": ("uint32",),
    "__half2": ("float16",), "half2": ("float16",), "__nv_bfloat162": ("bfloat16", "uint16"),
}  # fmt: skip
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_KERNEL = re.compile(r"__global__[^;{}()]*?(?:__launch_bounds__\s*\([^)]*\)[^;{}()]*?)?\b(\w+)\s*\(([^)]*)\)")
_QUALIFIERS = re.compile(r"\b(const|volatile|__restrict__|__restrict|__grid_constant__|struct)\b")


@dataclass(frozen=True)
class _Built:
    ptx: str
    cubin: bytes
    entry: str


def from_cuda_cpp(
    source: str | Path,
    kernel: str,
    grid: Any,
    block: Any,
    args: Sequence[Any],
    *,
    arch: str = "sm_90",
    shared: int = 0,
    options: Sequence[str] = (),
) -> Compiled:
    """Compile a __global__ function of CUDA C++ source, or of the .cu file of a Path, for a GPU of `arch`.

    `kernel` is its name, or a name expression for a template: "scale<float, 32>". `shared` is the dynamic
    shared memory in bytes. `args` are NumPy arrays, CPU tensors, numbers, None for a null pointer, and for a
    struct its bytes. `options` go to NVRTC as they stand. Raises InputError for source that NVRTC refuses,
    with its first error, and for arguments that do not fit the declaration.
    """
    text, name = _read(source)
    there = kernels(text)
    if _plain(kernel) not in there and "##" not in text and "#define" not in text:
        raise InputError(f"{name} has no kernel {kernel!r}; it has {', '.join(there) or 'none'}")
    target = launch.target(arch)
    blocks, threads = launch.grid(grid), launch.block(block)
    built = _build(text, name, kernel, target, options)
    declared = _declared(text, kernel, parameters.slots(built.ptx, built.entry))
    return Compiled(
        frontend="CUDA C++",
        language="CUDA C++",
        entry=built.entry,
        arch=target,
        ptx=built.ptx,
        cubin=built.cubin,
        grid=blocks,
        block=threads,
        shared=launch.shared(shared),
        arguments=parameters.match(kernel, declared, args),
        sources={**sources.named_in(built.ptx), str(Path(name).absolute()): text},
    )


def kernels(text: str) -> dict[str, str]:
    """Return the __global__ functions that CUDA C++ text declares: name, and what stands in its brackets.

    >>> kernels("template <class T> __global__ void scale(T* x, int n) {}")
    {'scale': 'T* x, int n'}
    """
    return dict(_KERNEL.findall(_COMMENT.sub(" ", text)))


def _plain(kernel: str) -> str:
    """Return the name in a name expression: "ours::scale<float>" is scale."""
    return kernel.partition("<")[0].rpartition("::")[2].strip()


def _read(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str):
        return source, "kernel.cu"
    try:
        return source.read_text(encoding="utf-8"), str(source)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source} cannot be read: {error}") from None


def _build(text: str, name: str, kernel: str, target: str, options: Sequence[str]) -> _Built:
    nvrtc = needs("cuda.bindings.nvrtc", "CUDA C++ kernels", "gpu")
    try:
        program = _call(nvrtc.nvrtcCreateProgram(text.encode(), name.encode(), 0, [], []))
    except RuntimeError as error:  # the bindings are there, and the library that they load is not
        raise MissingExtraError(f"CUDA C++ kernels need NVRTC: {install('gpu')} ({error})") from None
    try:
        there = _call(nvrtc.nvrtcGetSupportedArchs())
        if launch.number(target) not in there:
            known = ", ".join(f"sm_{one}" for one in there)
            raise InputError(f"NVRTC compiles for {known}, not for {target}; Triton does for sm_70, too")
        expression = "<" in kernel or "::" in kernel
        if expression:
            _call(nvrtc.nvrtcAddNameExpression(program, kernel.encode()))
        flags = [f"--gpu-architecture={target}", "-lineinfo", *_include(), *options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
        if status:
            raise InputError(_told(_text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)))
        ptx = _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
        cubin = _bytes(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
        if expression:
            entry = _call(nvrtc.nvrtcGetLoweredName(program, kernel.encode())).decode()
        else:
            entry = _entry(ptx, kernel)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return _Built(ptx, cubin, entry)


def _entry(ptx: str, kernel: str) -> str:
    """Return the name in the PTX of a function that is no template: its own, or as C++ mangles it."""
    there = parameters.entries(ptx)
    mangled = f"_Z{len(kernel)}{kernel}"
    found = [name for name in there if name == kernel or name.startswith(mangled)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f'{kernel} is overloaded; give one of them a name of its own, or extern "C"')
    raise InputError(
        f"{kernel} is a template or in a namespace: name it as {kernel}<float>, ours::{kernel} or "
        f"ours::{kernel}<float>; the PTX holds {', '.join(there) or 'no kernel'}"
    )


def _call(answer: tuple[Any, ...]) -> Any:
    status, *values = answer
    if status:
        raise InputError(f"NVRTC: {status.name}")
    return values[0] if values else None


def _bytes(size: Any, fetch: Any, program: Any) -> bytes:
    content = b" " * _call(size(program))
    _call(fetch(program, content))
    return content


def _text(size: Any, fetch: Any, program: Any) -> str:
    return _bytes(size, fetch, program).rstrip(b"\0 ").decode(errors="replace")


def _told(log: str) -> str:
    """Return the first error of NVRTC's log, with its line and how many more there are."""
    log = log.replace("\0", "\n")  # which stands between NVRTC's and those of ptxas
    errors = [line.strip() for line in log.splitlines() if re.search(r"\berror *:", line)]
    if not errors:
        return f"NVRTC does not compile it: {' '.join(log.split())[:300]}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"


def _include() -> list[str]:
    """Return the flags for NVIDIA's headers (cuda_fp16.h and the like), where a wheel has brought them."""
    found = importlib.util.find_spec("nvidia")
    places = list(found.submodule_search_locations or ()) if found else []
    folders = [folder for place in places for folder in Path(place).glob("cu*/include")]
    folders += [Path(place) / "cuda_runtime" / "include" for place in places]
    return [f"--include-path={folder}" for folder in folders if (folder / "cuda_fp16.h").is_file()]


def _declared(text: str, kernel: str, found: list[parameters.Slot]) -> list[parameters.Slot]:
    """Return the parameters under the names of the declaration, with what their pointers point to."""
    parts = [part.strip() for part in kernels(text).get(_plain(kernel), "").split(",")]
    if len(parts) != len(found):
        return found  # made by a macro, or with commas in its types: PTX's own names do
    return [_described(slot, part) for slot, part in zip(found, parts, strict=True)]


def _described(slot: parameters.Slot, declaration: str) -> parameters.Slot:
    declaration = declaration.partition("=")[0]
    name = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", declaration)
    if name is None:
        return slot
    pointer = "*" in declaration or name[2] is not None
    kind = " ".join(_QUALIFIERS.sub(" ", declaration[: name.start()].replace("*", " ")).split())
    elements = frozenset(_ELEMENTS.get(kind, ())) if declaration.count("*") <= 1 else frozenset()
    return replace(
        slot, name=name[1], pointer=pointer or slot.pointer, points_to=elements if pointer else frozenset()
    )
