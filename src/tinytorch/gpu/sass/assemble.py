"""PTX to machine code, by ptxas."""

import tempfile
from pathlib import Path

from tinytorch.gpu.sass import tools
from tinytorch.runtime.errors import InputError


def assemble(ptx: str, arch: str) -> bytes:
    """Return the cubin of a PTX text for a GPU, with its lines in the source.

    Raises InputError with ptxas's first error, MissingExtraError (one, too) if there is no ptxas.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.cubin"
        tools.run(
            "ptxas",
            ptx.encode(),
            lambda file: [f"-arch={arch}", "-lineinfo", str(file), "-o", str(made)],
        )
        return made.read_bytes()


def assembled(ptx: str, arch: str) -> tuple[bytes | None, tuple[str, ...]]:
    """Return (cubin, ()), or (None, a note that says why there is none): PTX can be run without one."""
    try:
        return assemble(ptx, arch), ()
    except InputError as error:
        return None, (f"no machine code: {error}",)
