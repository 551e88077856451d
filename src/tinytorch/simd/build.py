"""From kernels that are written with `Code` to machine code in memory, once per machine.

Each family of kernels is one LLVM module, compiled when it is first asked for and kept in the compile
cache as an object file of some tens of kilobytes: a later process loads it in milliseconds.
"""

import ctypes
import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from tinytorch.runtime import cache
from tinytorch.runtime.building import building
from tinytorch.simd.code import Code
from tinytorch.simd.target import Target, chosen, host, machine

_log = logging.getLogger(__name__)
#: What owns machine code, kept while the process lives: plans and launches hold bare addresses of it.
_kept: list["Library"] = []


class Kernel:
    """A kernel to build: `write(code, *fixed, *arguments)`, where `fixed` is known when it is written."""

    def __init__(self, write: Callable[..., None], *fixed: Any) -> None:
        self._write = write
        self._fixed = fixed
        self.arguments = len(inspect.signature(write).parameters) - 1 - len(fixed)

    def write(self, code: Code) -> None:
        """Write the body of the function that is under construction."""
        self._write(code, *self._fixed, *code.arguments)


def assemble(kernels: Mapping[str, Kernel], target: Target) -> llvm.ModuleRef:
    """Return optimized LLVM code of kernels."""
    generator = machine(target)
    module = ir.Module("kernels")
    module.triple = generator.triple
    module.data_layout = str(generator.target_data)
    for name, kernel in kernels.items():
        code = Code.kernel(module, target, name, kernel.arguments)
        kernel.write(code)
        code.finish()
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(generator, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    return parsed


def assembly(kernels: Mapping[str, Kernel], target: Target) -> str:
    """Return the assembly text of kernels, for any target: to be read, or tested."""
    return machine(target).emit_assembly(assemble(kernels, target))


class Library:
    """Kernels in memory: `library[name]` is an address that compiled code calls."""

    def __init__(self, family: str, kernels: Mapping[str, Kernel]) -> None:
        target = chosen()
        key = "|".join((cache.toolchain(), family, repr(target), *host(target)))
        content = cache.read(key)
        generator = machine(target)
        _log.info("%s %s for %s", "loading" if content else "compiling", family, target.name)
        if content is None:
            content = generator.emit_object(assemble(kernels, target))
            cache.write(key, content)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), generator)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()
        self._addresses = {name: self._engine.get_function_address(name) for name in kernels}
        _kept.append(self)

    def __getitem__(self, name: str) -> int:
        """Return the address of a kernel."""
        return self._addresses[name]

    def function(self, name: str, arguments: int) -> Callable[..., None]:
        """Return a kernel of so many arguments as what Python can call, without its lock."""
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(self._addresses[name])

    def call(self, name: str, *arguments: int) -> None:
        """Call a kernel from Python, once: making what can be called takes longer than many a kernel."""
        self.function(name, len(arguments))(*arguments)


def library(family: Callable[..., Mapping[str, Kernel]], *arguments: Any) -> Library:
    """Return the library of a family of kernels, built or loaded the first time it is asked for."""
    with building:
        return _library(family, *arguments)


@functools.cache
def _library(family: Callable[..., Mapping[str, Kernel]], *arguments: Any) -> Library:
    told = "-".join((family.__module__, family.__qualname__, *map(str, arguments)))
    return Library(told, family(chosen(), *arguments))
