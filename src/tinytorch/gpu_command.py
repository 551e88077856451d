"""`tito gpu`: a kernel analysed without a GPU, the GPUs that are known, and training over many of them."""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinytorch.options import (
    add_figures,
    add_json,
    check_figures,
    check_json,
    count,
    positive,
    write_figures,
    write_json,
)
from tinytorch.runtime.errors import InputError

if TYPE_CHECKING:
    from tinytorch.gpu.analysis.result import Analysis
    from tinytorch.gpu.frontends.compiled import Compiled

_ARRAY = re.compile(r"\d+(x\d+)*:[a-z]+\d*|\d+(x\d+)+")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FUNCTION = re.compile(r"(?:(?P<file>.*[A-Za-z_].*):)?(?P<name>[A-Za-z_]\w*)")
_WORDS = {"none": None, "null": None, "true": True, "false": False}


def add(commands: Any) -> None:
    """Add `gpu` and its commands to those of tito."""
    gpu = commands.add_parser(
        "gpu",
        help="analyse a GPU kernel without a GPU",
        description="GPU kernels analysed without a GPU, the GPUs that are known, and training over many.",
    )
    below = gpu.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_analyze(below)
    known = below.add_parser(
        "list",
        help="the GPUs and compute capabilities that are known",
        description="Show the GPUs and compute capabilities that are known, with their peaks and limits.",
    )
    add_json(known)
    known.set_defaults(command=_list, name="gpu list")
    _add_scaling(below)


def _add_analyze(commands: Any) -> None:
    analyze = commands.add_parser(
        "analyze",
        help="what a kernel asks of memory, line by line, and what limits it",
        description="Compile a kernel for a GPU, run it lane by lane in an emulator, read its machine code, "
        "and say what to change. No GPU is needed. The exit status is 1 if the kernel was found to do wrong.",
    )
    analyze.add_argument(
        "kernel",
        help="file.py:kernel (Triton, numba-cuda), file.py:SOURCE:kernel (CUDA C++ in a string), "
        "file.cu:kernel, file.ptx or file.cubin",
    )
    analyze.add_argument(
        "arguments",
        nargs="*",
        metavar="ARGUMENT",
        help="in the kernel's order: an array by shape and dtype, as 512x512:float32 (normal floats, "
        "integers 0 to 99), a number, or none; NAME=VALUE for Triton's constants and options, as BLOCK=256 "
        "num_warps=4",
    )
    analyze.add_argument(
        "--args",
        nargs="+",
        default=[],
        metavar="ARGUMENT",
        help="the same; or a function that returns them, of this file or FILE:NAME",
    )
    analyze.add_argument("--grid", type=_sides, metavar="X[,Y[,Z]]", help="in blocks (a .cubin needs none)")
    analyze.add_argument("--block", type=_sides, metavar="X[,Y[,Z]]", help="in threads; Triton needs none")
    analyze.add_argument("--arch", help="what to compile for (default: that of --gpu, or sm_90)")
    analyze.add_argument(
        "--gpu", metavar="NAME", help='for waves and bounds, as "H100 SXM"; see tito gpu list'
    )
    analyze.add_argument("--blocks", type=count, metavar="N", help="run so many blocks of the grid, not all")
    analyze.add_argument(
        "--shared", type=count, default=0, metavar="BYTES", help="dynamic shared memory of a block"
    )
    analyze.add_argument(
        "--steps",
        type=count,
        metavar="N",
        help="warp instructions after which the kernel is taken for endless; one that fewer than 16 warps "
        "run together counts as 16 (default: 20 million)",
    )
    add_json(analyze)
    add_figures(analyze)
    analyze.listed = "arguments"
    analyze.set_defaults(command=_analyze, name="gpu analyze")


def _add_scaling(commands: Any) -> None:
    scaling = commands.add_parser(
        "scaling",
        help="how training gets faster with more GPUs",
        description="Model a data-parallel training step on 1 to 1024 GPUs that add up their gradients.",
    )
    scaling.add_argument(
        "--bytes", type=positive, required=True, help="gradients that are added up in a step"
    )
    scaling.add_argument(
        "--flops",
        type=positive,
        help="operations of a step (default: 6 for each parameter and of 2^20 tokens)",
    )
    scaling.add_argument("--gpu", default="H100 SXM", metavar="NAME", help="(default: %(default)s)")
    scaling.add_argument(
        "--link",
        type=_link,
        metavar="LINK",
        help="between the GPUs of a node: a name, as PCIe 4, or bytes a second in one direction (default: "
        "the GPU's own)",
    )
    scaling.add_argument(
        "--network", type=positive, metavar="BYTES", help="a second of each GPU between nodes (default: 50e9)"
    )
    scaling.add_argument("--count", type=count, default=8, help="GPUs to look at (default: %(default)s)")
    scaling.add_argument(
        "--mode", choices=("strong", "weak"), default="strong", help="(default: %(default)s)"
    )
    scaling.add_argument("--dtype", help="of the computing (default: bf16, or what the GPU has)")
    add_json(scaling)
    add_figures(scaling)
    scaling.set_defaults(command=_scaling, name="gpu scaling")


def _sides(text: str) -> tuple[int, ...]:
    sides = tuple(count(part) for part in re.split("[,x]", text))
    if not 1 <= len(sides) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r} has {len(sides)} sides; one to three can be")
    return sides


def _link(text: str) -> str | float:
    try:
        return positive(text)
    except argparse.ArgumentTypeError:
        return text


def _analyze(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.profiler.gpu_report import show

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    check_figures(options)
    with console.status("compiling and running"):
        found = _analysis(options).as_dict()
    if options.json != "-":
        show(console, found)
    if options.html or options.figures:
        from tinytorch.profiler.gpu_page import figures, render

        write_figures(options, lambda: render(found), figures(found), console)
    if options.json:
        write_json(options, found)
    return 1 if found["findings"] else 0


def _analysis(options: argparse.Namespace) -> "Analysis":
    from tinytorch.gpu import analyze
    from tinytorch.gpu.arch import product
    from tinytorch.gpu.frontends.load import load
    from tinytorch.gpu.ptx.run import STEPS
    from tinytorch.profiler.child import told

    on = product(options.gpu) if options.gpu else None
    arch = options.arch or (on.capability.arch if on else "sm_90")
    grid = options.grid
    if grid is None:
        if not options.kernel.partition(":")[0].endswith(".cubin"):
            raise InputError("say how many blocks the grid has: --grid 128, or 16,16")
        grid = (1,)
    try:
        with _prints_elsewhere():
            args, meta = _arguments(options)
            compiled = load(
                options.kernel, grid, args, block=options.block, arch=arch, shared=options.shared, meta=meta
            )
    except (Exception, SystemExit) as error:
        raise InputError(told(error, options.kernel)) from error
    _check_of_use(options, compiled, meta)
    steps = STEPS if options.steps is None else options.steps
    return analyze(compiled, block=options.block, product=on, blocks=options.blocks, steps=steps)


@contextlib.contextmanager
def _prints_elsewhere() -> Iterator[None]:
    """Let what a file prints, by itself or by programs that it runs, go to stderr: it is no answer."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _check_of_use(options: argparse.Namespace, compiled: "Compiled", meta: dict[str, Any]) -> None:
    """Refuse what was given and would do nothing."""
    from tinytorch.gpu.launch import number

    if compiled.frontend == "Triton":
        if options.block:
            raise InputError("a Triton kernel chooses its threads: give num_warps=4, and no --block")
    elif meta:
        raise InputError(f"{', '.join(meta)}: only Triton's kernels take arguments by name")
    if (
        compiled.frontend in ("PTX", "cubin")
        and options.arch
        and number(options.arch) != number(compiled.arch)
    ):
        raise InputError(f"{options.kernel} is for {compiled.arch}: --arch {options.arch} is for sources")


def _arguments(options: argparse.Namespace) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments by place, and those by name."""
    from tinytorch.profiler.callables import arguments

    texts = [*options.arguments, *options.args]
    named = [_NAMED.fullmatch(text) for text in texts]
    meta = {match[1]: _value(match[2], seed, named=True) for seed, match in enumerate(named) if match}
    plain = [text for text, match in zip(texts, named, strict=True) if not match]
    if len(plain) == 1 and (maker := _FUNCTION.fullmatch(plain[0])) and plain[0].lower() not in _WORDS:
        file = maker["file"] or options.kernel.partition(":")[0]
        return arguments((), f"{file}:{maker['name']}")[0], meta
    return tuple(_value(text, seed) for seed, text in enumerate(plain)), meta


def _value(text: str, seed: int, named: bool = False) -> Any:
    """Return what an argument on the command line stands for; a word can be given by name alone."""
    from tinytorch.profiler.callables import array

    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _ARRAY.fullmatch(text):
        return array(text, seed=seed)
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    if named:
        return text
    raise InputError(
        f"{text!r} is no argument; write an array as 512x512:float32, a number, none, or NAME=VALUE"
    )


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.gpu.arch import CAPABILITIES, PRODUCTS
    from tinytorch.profiler.gpu_tables import capability_values, product_values, show

    check_json(options)
    products = [product_values(one) for one in PRODUCTS.values()]
    capabilities = [capability_values(one) for one in CAPABILITIES.values()]
    if options.json:
        return write_json(options, {"products": products, "capabilities": capabilities})
    show(Console(), products, capabilities)
    return 0


def _scaling(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.gpu.arch import product
    from tinytorch.profiler.device import Device
    from tinytorch.profiler.multi_gpu import of_step
    from tinytorch.profiler.scaling_report import show

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    check_figures(options)
    found = dict(
        of_step(
            Device(product(options.gpu), "given"),
            options.bytes,
            options.count,
            flops=options.flops,
            dtype=options.dtype,
            mode=options.mode,
            interconnect=options.link,
            network=options.network,
        )
    )
    if options.json != "-":
        show(console, found)
    if options.html or options.figures:
        from tinytorch.profiler.scaling_report import figures, render

        write_figures(options, lambda: render(found), figures(found), console)
    return write_json(options, found) if options.json else 0
