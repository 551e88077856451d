"""Launch what a folder's plan says, once each: the program that ncu profiles.

Nothing else may run on the GPU here, for ncu counts every kernel. Checksums of the results are kept, so that
the emulator is later held against what the GPU computed, too.
"""

import json
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from benchmarks.gpu.plan import Array, read_launch

PLAN, LAUNCHED = "plan.json", "launched.json"


def checksum(array: np.ndarray) -> int:
    """Return the CRC-32 of an array's bytes.

    >>> checksum(np.zeros(4, "u1"))
    558161692
    """
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def main(folder: Path, seconds: float) -> None:
    """Launch one after the other until the plan or the time is at its end; write the checksums."""
    import cupy

    end = time.monotonic() + seconds
    modules = {}
    results = []
    for told in json.loads((folder / PLAN).read_text())["launches"]:
        if time.monotonic() > end:
            break
        launch = read_launch(told)
        if launch.module not in modules:
            modules[launch.module] = cupy.RawModule(path=str(folder / f"{launch.module}.cubin"))
        function = modules[launch.module].get_function(launch.kernel)
        made = {argument.name: argument.make() for argument in launch.arguments}
        given = {name: cupy.asarray(one) if one.ndim else one for name, one in made.items()}
        function(launch.grid, launch.block, tuple(given.values()), shared_mem=launch.shared)
        cupy.cuda.runtime.deviceSynchronize()
        written = [a.name for a in launch.arguments if isinstance(a, Array) and a.written]
        results.append({name: checksum(cupy.asnumpy(given[name])) for name in written})
    (folder / LAUNCHED).write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
