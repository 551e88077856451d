"""The micro-kernels to PTX, cubin and line table, by NVIDIA's compilers; no GPU is needed.

Every cubin is assembled from the very PTX that is recorded, so what the counters tell of and what the
emulator runs is one program. Paths of this machine are taken out of it.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from tinytorch.runtime.errors import InputError

#: The SASS and line tables of a folder's modules.
LINES = "lines.json"
SOURCES = Path(__file__).resolve().parent / "kernels"
#: What only a debugger would want of Triton's PTX, with paths in it; the line table is made without.
_DEBUG = re.compile(r"\t\.section\t\.debug_(?!str)\w+\s*\{.*?\n\t\}\n", re.DOTALL)
#: The folder in the name of a source file.
_FOLDER = re.compile(r'(\.file\s+\d+ ")[^"]*/')
_SECTION = re.compile(r"^\s*\.section\s+\.text\.([\w$]+)")
_PLACE = re.compile(r'^\s*//## File "([^"]*)", line (\d+)')
_SASS = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
_LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Line:
    """One instruction of the SASS; `file` is a base name, empty where the compiler tells of no place."""

    offset: int  # in bytes from the beginning of the kernel
    sass: str
    file: str
    line: int


def build(folder: Path, capability: tuple[int, int]) -> dict[str, int]:
    """Write a .ptx and a .cubin per module, and all line tables; return what Triton's take of shared memory.

    Raises InputError if a compiler is missing or fails.
    """
    for source in sorted(SOURCES.glob("*.cu")):
        _cuda(source, folder, capability)
    shared = _triton(folder, capability)
    tables = {}
    for ptx in sorted(folder.glob("*.ptx")):
        text = _FOLDER.sub(r"\1", ptx.read_text())
        ptx.write_text(text)
        target = re.search(r"^\.target (sm_\w+)", text, re.MULTILINE)
        if target is None:
            raise InputError(f"{ptx.name} names no target")
        cubin = ptx.with_suffix(".cubin").name
        _call(["ptxas", f"-arch={target[1]}", "-lineinfo", ptx.name, "-o", cubin], folder)
        listing = read_listing(_call([disassembler(), "-g", "-c", cubin], folder))
        tables[ptx.stem] = {name: [astuple(line) for line in lines] for name, lines in listing.items()}
    (folder / LINES).write_text(json.dumps(tables))
    return shared


def _cuda(source: Path, folder: Path, capability: tuple[int, int]) -> None:
    architecture = f"-arch=compute_{capability[0]}{capability[1]}"
    _call(["nvcc", "-ptx", "-lineinfo", architecture, str(source), "-o", f"{source.stem}.ptx"], folder)


def _triton(folder: Path, capability: tuple[int, int]) -> dict[str, int]:
    try:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
    except ImportError:
        raise InputError("Triton cannot be imported: pip install triton==3.6.0") from None
    from benchmarks.gpu.kernels.triton_kernels import MODULES

    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    shared = {}
    for name, (function, types, constants, sixteens) in MODULES.items():
        signature = {**types, **dict.fromkeys(constants, "constexpr")}
        known = {(i,): [["tt.divisibility", 16]] for i, given in enumerate(types) if given in sixteens}
        compiled = triton.compile(ASTSource(function, signature, constants, known), target=target)
        (folder / f"{name}.ptx").write_text(_DEBUG.sub("", compiled.asm["ptx"]))
        shared[name] = int(compiled.metadata.shared)
    return shared


def _call(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=True
        )
    except FileNotFoundError:
        raise InputError(f"{command[0]} is not on the PATH: the CUDA toolkit has it") from None
    except subprocess.CalledProcessError as error:
        told = (error.stderr or error.stdout).strip().splitlines() or ["no message"]
        raise InputError(f"{Path(command[0]).name} failed: {told[0]}") from None
    return done.stdout


def disassembler() -> str:
    """Return nvdisasm: of the toolkit, or the one that Triton brings. Raises InputError if there is none."""
    found = shutil.which("nvdisasm")
    if found is not None:
        return found
    try:
        import triton
    except ImportError:
        raise InputError("nvdisasm is not on the PATH, and Triton, which brings one, is missing") from None
    return str(Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm")


def line_tables(folder: Path) -> dict[str, dict[str, tuple[Line, ...]]]:
    """Return what `build` wrote: by module and kernel, the SASS with the source lines it came from."""
    tables = json.loads((folder / LINES).read_text())
    return {
        module: {name: tuple(Line(*line) for line in lines) for name, lines in kernels.items()}
        for module, kernels in tables.items()
    }


def read_listing(text: str) -> dict[str, tuple[Line, ...]]:
    """Read what `nvdisasm -g -c` prints: a section per kernel, a comment where the source line changes.

    >>> read_listing('.section .text.k\\n//## File "/a/k.cu", line 7\\n/*0010*/  EXIT ;\\n')["k"]
    (Line(offset=16, sass='EXIT', file='k.cu', line=7),)
    """
    kernels: dict[str, list[Line]] = {}
    current: list[Line] = []
    file, line = "", 0
    for row in text.splitlines():
        if section := _SECTION.match(row):
            current = kernels.setdefault(section[1], [])
            file, line = "", 0
        elif place := _PLACE.match(row):
            file, line = Path(place[1]).name, int(place[2])
        elif instruction := _SASS.match(row):
            current.append(Line(int(instruction[1], 16), " ".join(instruction[2].split()), file, line))
    return {name: tuple(lines) for name, lines in kernels.items()}


def compilers() -> Mapping[str, str]:
    """Return the versions of what compiled, as the tools print them; what is missing is left out."""
    found = {}
    for tool in ("nvcc", "ptxas"):
        if shutil.which(tool):
            release = re.search(r"V(\d+\.\d+\.\d+)", _call([tool, "--version"], Path.cwd()))
            found[tool] = release[1] if release else "unknown"
    try:
        import triton
    except ImportError:
        return found
    return {**found, "triton": triton.__version__}
