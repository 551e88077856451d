"""Triton kernels to PTX, compiled as a launch would compile them, for any GPU and on none.

Triton's own binder specializes the arguments: an integer 1 becomes a constant, one divisible by 16 is known
to be, and so is the address of an array that begins where its memory does.
"""

import contextlib
import hashlib
import importlib.util
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu import launch
from tinytorch.gpu.frontends import arrays, sources
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.launch import Argument, Boxed
from tinytorch.runtime import folders
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs

#: Triton's names of the numbers that a kernel can be given. (A float is passed as float32, Triton's rule.)
_NUMBERS = {
    "u1": np.bool_,
    **{f"{kind}{bits}": getattr(np, f"{word}{bits}") for kind, word in (("i", "int"), ("u", "uint"))
       for bits in (8, 16, 32, 64)},
    **{f"fp{bits}": getattr(np, f"float{bits}") for bits in (16, 32, 64)},
}  # fmt: skip

_COUNTS = ("num_warps", "num_stages", "num_ctas")


@dataclass(frozen=True)
class _Pointer:
    """An array as Triton's binder wants it: an element type and an address, which is all it looks at."""

    dtype: str
    behind: int  # bytes, of a place that is aligned to whatever one asks

    def data_ptr(self) -> int:
        return self.behind


def from_triton(
    kernel: Any,
    grid: Any,
    args: Sequence[Any],
    *,
    arch: str = "sm_90",
    meta: Mapping[str, Any] | None = None,
) -> Compiled:
    """Compile a @triton.jit kernel as `kernel[grid](*args, **meta)` would for a GPU of `arch`.

    `meta` holds arguments by name, tl.constexpr ones too, and options: num_warps, num_stages, num_ctas. The
    grid is in programs; a function of the arguments, as Triton takes one, may stand for it. A kernel under
    @triton.heuristics gets what they give; one under @triton.autotune needs its configuration in `meta`.
    Raises InputError for arguments that do not fit, and for what Triton cannot compile, with its message.
    """
    needs("triton", "Triton kernels", "gpu")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend

    function, keywords = _unwrapped(kernel, args, dict(meta or {}))
    number = launch.number(arch)
    if number < 70 or number == 72:
        raise InputError(f"Triton compiles for sm_70, sm_75 and newer, not for {arch}")
    gpu = GPUTarget("cuda", number, 32)
    backend = make_backend(gpu)
    values, signature, constants, attributes, options = _bound(function, backend, args, keywords)
    blocks = launch.grid(grid(values) if callable(grid) else grid)
    with _cache(), _one_line(function):
        import triton

        source = ASTSource(function, signature, constants, attributes)
        # Triton keeps what it compiled under a key that leaves the file out, and the line table names it.
        key = f"{source.hash()} {function.fn.__code__.co_filename}"
        source.hash = lambda: hashlib.sha256(key.encode()).hexdigest()
        compiled = triton.compile(source, target=gpu, options=options.__dict__)
    metadata = compiled.metadata
    ptx = compiled.asm["ptx"]
    clusters = metadata.num_ctas
    return Compiled(
        frontend="Triton",
        language="Python",
        entry=metadata.name,
        arch=launch.target(arch),
        ptx=ptx,
        cubin=compiled.asm["cubin"],
        grid=(blocks[0] * clusters, *blocks[1:]),
        block=(32 * metadata.num_warps, 1, 1),
        shared=metadata.shared,
        arguments=(*_arguments(values, signature, metadata), *_scratch(metadata, math.prod(blocks))),
        sources=sources.named_in(ptx),
    )


def is_kernel(value: Any) -> bool:
    """Say whether a value is a Triton kernel, under whatever decorators."""
    return type(value).__module__.startswith("triton.runtime.")


def _unwrapped(kernel: Any, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Take off @triton.autotune and @triton.heuristics; return the function and all keywords."""
    from triton.runtime.autotuner import Autotuner, Heuristics
    from triton.runtime.jit import JITFunction

    while isinstance(kernel, Autotuner | Heuristics):
        if isinstance(kernel, Autotuner):
            keywords = _configured(kernel, keywords)
        else:
            given = {**dict(zip(kernel.arg_names, args, strict=False)), **keywords}
            keywords |= {name: rule(given) for name, rule in kernel.values.items()}
        kernel = kernel.fn
    if type(kernel).__name__ == "InterpretedFunction":
        raise InputError("TRITON_INTERPRET was set when the kernel was made; unset it to compile")
    if not isinstance(kernel, JITFunction):
        raise InputError(f"a Triton kernel is a function under @triton.jit, not {type(kernel).__name__}")
    return kernel, keywords


def _configured(kernel: Any, keywords: dict[str, Any]) -> dict[str, Any]:
    missing = set(kernel.configs[0].kwargs) - set(keywords)
    if not missing:
        return keywords
    if len(kernel.configs) == 1:
        return {**kernel.configs[0].all_kwargs(), **keywords}
    choices = "; ".join(str(config) for config in kernel.configs[:4])
    raise InputError(f"the kernel is autotuned: choose {', '.join(sorted(missing))}, as in {choices}")


def _bound(function: Any, backend: Any, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    """Return (values by name, signature, constants, attributes, options), all as Triton's launch has them."""
    from triton import knobs
    from triton.runtime.jit import create_function_from_signature

    names = [parameter.name for parameter in function.params]
    known = set(names) | set(backend.parse_options({}).__dict__)
    for name in keywords:
        if name not in known:
            raise InputError(
                f"{function.__name__} has no parameter {name!r}; it has {', '.join(names)}, and Triton's "
                "options, as num_warps"
            )
    try:
        values = function.signature.bind(*args, **{n: v for n, v in keywords.items() if n in names})
    except TypeError as error:
        expected = ", ".join(names)
        constant = [p.name for p in function.params if p.is_constexpr and p.name not in keywords]
        how = f"; give what is tl.constexpr by name, as {constant[0]}=128" if constant else ""
        raise InputError(f"{function.__name__}({expected}): {error}{how}") from None
    values.apply_defaults()
    options = {name: value for name, value in keywords.items() if name not in names}
    for name in _COUNTS:
        if not isinstance(options.get(name, 1), int):
            raise InputError(f"{name} is a whole number, not {options[name]!r}")
    options["debug"] = options.get("debug", function.debug) or knobs.runtime.debug
    options["instrumentation_mode"] = knobs.compilation.instrumentation_mode
    bind = create_function_from_signature(function.signature, function.params, backend)
    plain = {name: _plain(name, value) for name, value in values.arguments.items()}
    try:
        bound, specialization, _ = bind(**plain)
        made = function._pack_args(backend, options, bound, specialization, options)
    except (TypeError, ValueError, KeyError, OverflowError, AssertionError) as error:
        raise InputError(f"{function.__name__}: {str(error) or 'num_warps must be a power of 2'}") from None
    parsed, signature, constants, attributes = made
    return values.arguments, signature, constants, attributes, parsed


def _plain(name: str, value: Any) -> Any:
    """Return what the binder understands: arrays as pointers, NumPy's numbers as Python's."""
    if isinstance(value, tuple):
        return tuple(_plain(f"{name}[{i}]", part) for i, part in enumerate(value))
    if _is_descriptor(value):
        return value  # of a tensor of PyTorch, as Triton itself demands
    if arrays.is_array(value):
        given = arrays.array(name, value)
        return _Pointer(given.type, launch.behind(arrays.memory(given)))
    return value.item() if isinstance(value, np.generic) else value


def _arguments(values: Mapping[str, Any], signature: Mapping[str, Any], metadata: Any) -> Iterator[Argument]:
    boxes = iter(metadata.tensordesc_meta or ())  # in the order of the descriptors
    for name, kind in signature.items():
        if isinstance(kind, str) and kind.startswith("tensordesc"):
            yield from _described(name, values[name], next(boxes, None))
        else:
            yield from _flat(name, values[name], kind)


def _is_descriptor(value: Any) -> bool:
    return type(value).__module__ == "triton.tools.tensor_descriptor"


def _described(name: str, descriptor: Any, box: Mapping[str, Any] | None) -> Iterator[Argument]:
    """Yield a descriptor as Triton's launcher passes it: a tensor map, then its shape and strides.

    Where the GPU has no tensor maps Triton passes a pointer instead.
    """
    given = arrays.array(name, descriptor.base)
    strides = tuple(int(stride) for stride in descriptor.strides)
    shape = tuple(int(extent) for extent in descriptor.shape)
    if box is None:
        yield given
        yield from (Argument(f"{name}.shape[{i}]", np.int64(n)) for i, n in enumerate(shape))
        yield from (Argument(f"{name}.strides[{i}]", np.int64(n)) for i, n in enumerate(strides))
        yield Argument(f"{name}.padding", np.int8(descriptor.padding == "nan"))
    else:
        value = arrays.memory(given)
        size = value.itemsize
        boxed = Boxed(
            value,
            shape,
            tuple(size * stride for stride in strides),
            tuple(box["block_size"]),
            int(box["swizzle"]),
        )
        yield Argument(name, boxed, given.type)
    yield from (Argument(f"{name}.shape[{i}]", np.int32(n)) for i, n in enumerate(shape))
    yield from (Argument(f"{name}.strides[{i}]", np.int64(n)) for i, n in enumerate(strides))


def _flat(name: str, value: Any, kind: Any) -> Iterator[Argument]:
    if isinstance(kind, tuple):
        for i, (part, of) in enumerate(zip(value, kind, strict=True)):
            yield from _flat(f"{name}[{i}]", part, of)
    elif kind == "constexpr":
        return  # it is in the code
    elif kind.startswith("*"):
        yield _pointed(name, value, kind)
    elif kind == "bf16":
        import ml_dtypes

        yield Argument(name, np.asarray(value, ml_dtypes.bfloat16).view(np.uint16)[()], "bfloat16")
    elif kind in _NUMBERS:
        yield Argument(name, _NUMBERS[kind](value))
    else:
        raise InputError(f"{name} is of Triton's type {kind}, which cannot be passed")


def _pointed(name: str, value: Any, kind: str) -> Argument:
    if not arrays.is_array(value):
        raise InputError(f"{name} is a pointer ({kind}); give an array, not {value!r}")
    return arrays.array(name, value)


def _scratch(metadata: Any, programs: int) -> Iterator[Argument]:
    """Memory that Triton's launcher gives to a kernel, as its last two parameters."""
    for name in ("global_scratch", "profile_scratch"):
        size = getattr(metadata, f"{name}_size") * programs * metadata.num_ctas
        yield Argument(name, np.zeros(size, np.uint8) if size else None)


@contextlib.contextmanager
def _cache() -> Iterator[None]:
    """Let Triton keep what it compiled in our cache folder, unless the user chose one."""
    if "TRITON_CACHE_DIR" in os.environ or importlib.util.find_spec("platformdirs") is None:
        yield
        return
    os.environ["TRITON_CACHE_DIR"] = str(folders.cache() / "triton")
    try:
        yield
    finally:
        del os.environ["TRITON_CACHE_DIR"]


@contextlib.contextmanager
def _one_line(function: Any) -> Iterator[None]:
    """Say in one line what Triton could not compile, and where."""
    from triton.compiler.errors import CompilationError
    from triton.runtime.errors import TritonError
    from triton.runtime.jit import get_jit_fn_file_line

    try:
        yield
    except CompilationError as error:
        line = get_jit_fn_file_line(function)[1] + getattr(error.node, "lineno", 1) - 1
        why = error.error_message or error.__cause__ or "it is not Triton's language"
        hint = "; it is a number: give an array, as 256:float32 on the command line"
        told = f"{_first(why)}{hint if 'Unsupported ptr type' in str(why) else ''}"
        raise InputError(f"{function.__name__}, line {line}: {told}") from error
    except (TritonError, RuntimeError) as error:
        raise InputError(f"Triton cannot compile {function.__name__}: {_first(error)}") from error


def _first(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
