"""Which of our kernels a call runs, and what each of them costs, in this thread and those of `run_batch`.

Kernels do not count themselves: while somebody watches, Python tells of every function that it enters
(`sys.setprofile`), and those that an operation declared are asked. At any other time it is free.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tinytorch.ops.registry import COUNTED, Work, operations


@contextmanager
def watching() -> Iterator[list[Work]]:
    """Yield a list to which each kernel that runs meanwhile is added: in this thread, or for it in a batch.

    >>> import numpy as np
    >>> from tinytorch import ops
    >>> with watching() as seen:
    ...     _ = ops.relu(np.ones(10, np.float32))
    >>> seen[0].cost
    Cost(operations=10, read=40, written=40)
    """
    operations()  # imports all that declare something
    seen: list[Work] = []
    running = threading.local()  # the kernel that is: what it calls itself is part of its cost

    before = sys.getprofile()

    def told(frame: FrameType, event: Any, argument: Any) -> None:
        if before is not None:
            before(frame, event, argument)
        kernel = getattr(running, "frame", None)
        if event == "call" and kernel is None:
            if frame.f_code in COUNTED:
                running.frame = frame
                # Arguments that cost nothing sensible are the kernel's to refuse.
                with suppress(Exception):
                    seen.append(COUNTED[frame.f_code](frame.f_locals))
        elif event == "return" and frame is kernel:
            running.frame = None

    sys.setprofile(told)
    try:
        yield seen
    finally:
        sys.setprofile(before)
