"""How many threads the libraries of this process may use: ours, BLAS, OpenMP, PyTorch's, numba's."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from tinytorch.runtime import threads


class ThreadLimit:
    """Sets all of them at once; made once, since looking for the libraries takes milliseconds."""

    def __init__(self) -> None:
        self._libraries = threadpoolctl.ThreadpoolController()

    @contextmanager
    def within(self, count: int) -> Iterator[None]:
        """Let each library use `count` threads meanwhile.

        >>> with ThreadLimit().within(1):
        ...     threads.get_num_threads()
        1
        """
        torch, numba = sys.modules.get("torch"), _numba_threads()
        before = numba.get_num_threads() if numba else 0
        ours, theirs = threads.get_num_threads(), torch.get_num_threads() if torch else 0
        try:
            threads.set_num_threads(count)
            with self._libraries.limit(limits=count):
                if torch:
                    torch.set_num_threads(count)
                if numba:
                    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
                yield
        finally:
            threads.set_num_threads(ours)
            if torch:
                torch.set_num_threads(theirs)
            if numba:
                numba.set_num_threads(before)


def _numba_threads() -> Any:
    """Return numba if its own threads run already: to ask for their number would start them."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    return sys.modules["numba"] if getattr(parallel, "_is_initialized", False) else None
