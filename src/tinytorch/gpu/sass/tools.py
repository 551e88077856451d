"""NVIDIA's tools for machine code (ptxas, cuobjdump, nvdisasm): found in the wheels, run on a file aside.

There may be several: of the CUDA wheels, of Triton, of an installed toolkit. The newest knows the newest PTX,
an older one the GPUs that the newest has dropped, so that the next is asked where one refuses.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError, install

SECONDS = 120  # ptxas took 10 for a kernel that spills 20 KB a thread


@functools.lru_cache
def found(name: str) -> tuple[Path, ...]:
    """Return where a tool lies: in NVIDIA's wheels, in Triton's, in a toolkit; the newest first."""
    folders = [
        *(place / sub / "bin" for place in _package("nvidia") for sub in ("cu13", "cuda_nvcc")),
        *(place / "backends" / "nvidia" / "bin" for place in _package("triton")),
    ]
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home:
        folders.append(Path(home) / "bin")
    names = (name, f"{name}-blackwell") if name == "ptxas" else (name,)  # Triton ships two of them
    paths = [folder / each for folder in folders for each in names]
    on_path = shutil.which(name)
    if on_path:
        paths.append(Path(on_path))
    return tuple(dict.fromkeys(path for path in paths if os.access(path, os.X_OK)))


def _package(name: str) -> list[Path]:
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec else []


def run(
    name: str, content: bytes, options: Callable[[Path], Sequence[str]]
) -> subprocess.CompletedProcess[str]:
    """Run a tool on a temporary file that holds `content`; `options` makes its arguments of the file's path.

    Raises MissingExtraError if there is no such tool, and InputError with the tool's words if all refuse.
    """
    tools = found(name)
    if not tools:
        raise MissingExtraError(f"{name} is not installed; it comes with {install('gpu')}")
    why = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel"
        file.write_bytes(content)
        for tool in tools:
            try:
                done = subprocess.run(
                    [tool, *options(file)],
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise InputError(f"{name} took more than {SECONDS} seconds") from None
            except OSError as error:
                why = why or f"{tool}: {error}"
                continue
            if done.returncode == 0:
                return done
            why = why or _first(done.stderr + done.stdout, file)
    raise InputError(f"{name}: {why}")


def _first(words: str, file: Path) -> str:
    lines = [line.strip() for line in words.replace(str(file), "kernel").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line or "fatal" in line]
    return next(iter(errors or lines), "it failed and said nothing")
