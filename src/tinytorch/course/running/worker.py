"""The process in which a submission's code runs: it confines itself, loads the cells, does as it is asked.

Run as `python -P -m tinytorch.course.running.worker PLAN`. Until it is confined it imports little: a thread
that is there before stays free, and NumPy starts some. What it answers is judged by the process that asks.
"""

import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any


def main() -> None:
    """Be that process until the channel is closed."""
    asked, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    plan = json.loads(sys.argv[1])
    layers: list[str] = []
    if plan["confined"]:
        from tinytorch.course.running import confinement

        layers = confinement.confine(plan)
    _serve(asked, answers, plan, layers)


def _serve(asked: int, answers: int, plan: dict[str, Any], layers: list[str]) -> None:
    from tinytorch.course.running import wire
    from tinytorch.course.running.cells import Cells

    # numba asks for a lock between processes. There is one process.
    warnings.filterwarnings("ignore", "Could not obtain multiprocessing lock")
    requests = os.fdopen(asked, "rb")

    def read(count: int) -> bytes:
        content = requests.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def write(message: dict[str, Any]) -> None:
        content = memoryview(wire.packed(message, plan["answer"]))
        while content:
            content = content[os.write(answers, content) :]

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    cells = Cells(Path(plan["folder"]))
    write({"number": 0, "value": layers})
    while True:
        try:
            request = wire.unpacked(read)
        except EOFError:
            os._exit(0)  # threads that the code has left behind do not keep it
        number = request.pop("number")
        try:
            write({"number": number, **cells.answer(**request)})
        except wire.TooLargeError as error:
            write({"number": number, "error": "wrong", "message": f"its result is too large: {error}"})


def _end_with(parent: int) -> None:
    """End this process when the one that started it is no more: then nobody limits its time."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
