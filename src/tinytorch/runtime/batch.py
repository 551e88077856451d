"""One operation over many items, on any executor of `concurrent.futures`."""

import contextlib
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from typing import Any

from tinytorch.runtime.arguments import integer


class BatchItemError(RuntimeError):
    """An item of a batch failed: `index` is its place in the batch, `__cause__` what it raised."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message, index)
        self.index = index

    def __str__(self) -> str:
        """Show the message alone."""
        return str(self.args[0])


def run_batch(
    items: Iterable[Any], operation: Callable[[Any], Any], num_workers: int, executor: Executor | None
) -> list[Any]:
    """Return [operation(item) for item in items], in order, computed on `executor` (threads if None)."""
    workers = integer("num_workers", num_workers, 1)
    if not callable(operation):
        raise TypeError(f"operation must be callable, not {type(operation).__name__}")
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}; "
            "of a Dask client pass client.get_executor()"
        )
    try:
        iterator = iter(items)
    except TypeError:
        raise TypeError(f"batch_data must be a sequence of items, not {type(items).__name__}") from None
    batch = list(iterator)
    with contextlib.ExitStack() as stack:
        if executor is None:
            operation = _watched(operation)
            executor = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="tinytorch-batch"))
        futures: list[Future[Any]] = []
        try:
            # Submitting can fail too: an executor that is shut down, an item that cannot be pickled.
            futures += (executor.submit(operation, item) for item in batch)
            wait(futures, return_when=FIRST_EXCEPTION)
            for index, future in enumerate(futures):
                if future.done() and not future.cancelled() and (error := future.exception()) is not None:
                    if isinstance(error, BrokenExecutor):
                        raise error  # a worker died: no item is known to have done it
                    raise _failure(index, len(batch), error) from error
            return [future.result() for future in futures]
        except CancelledError as error:
            raise RuntimeError("the executor cancelled the batch before it was done") from error
        finally:
            for future in futures:
                future.cancel()


def _watched(operation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an operation that tells the profile function of this thread, if it has one, from any thread."""
    profiler = sys.getprofile()
    if profiler is None:
        return operation

    def told(item: Any) -> Any:
        sys.setprofile(profiler)
        try:
            return operation(item)
        finally:
            sys.setprofile(None)

    return told


def _failure(index: int, count: int, error: BaseException) -> BatchItemError:
    detail = f"{type(error).__name__}: {error}"
    told = f"the item at index {index} of {count} failed ({detail}); items not yet begun were cancelled"
    return BatchItemError(told, index)
