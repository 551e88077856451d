"""Batches on executors of every kind."""

import os
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from tinytorch.core.kernels import BatchItemError, parallel_batch_processing, vectorized_relu
from tinytorch.core.tensor import Tensor

#: Seconds after which what must happen is given up: others may have the CPU for a while.
HANGS = 120


def double(x):
    return x * 2


def fail_on_three(x):
    if x == 3:
        raise KeyError("three")
    return x


def relu_sum(x):
    return float(vectorized_relu(x).data.sum())


def test_results_in_order():
    def slow_first(x):
        time.sleep(0.05 if x == 0 else 0)
        return x * 10

    assert parallel_batch_processing(range(6), slow_first, num_workers=3) == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("items", [[], (), np.zeros((0, 3)), iter([])])
def test_empty(items):
    assert parallel_batch_processing(items, double) == []


def test_arrays_and_tensors_are_batches_of_rows():
    batch = np.arange(-6.0, 6).reshape(3, 4)
    for given in (batch, Tensor(batch), list(batch), (row for row in batch)):
        results = parallel_batch_processing(given, vectorized_relu)
        assert np.array_equal(np.stack([r.data for r in results]), np.maximum(batch, 0))


def test_num_workers_is_honoured():
    running, most, lock = 0, 0, threading.Lock()

    def work(x):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(HANGS)  # so many at once, or it breaks
        time.sleep(0.01)
        with lock:
            running -= 1
        return x

    for workers in (1, 3):
        most, together = 0, threading.Barrier(workers)
        parallel_batch_processing(range(12), work, num_workers=workers)
        assert most == workers


def test_an_item_that_raises():
    begun, told = [], threading.Event()

    def work(x):
        begun.append(x)
        if x > 3:
            told.wait(HANGS)  # those that are begun last until the batch was given up
        return fail_on_three(x)

    failed = r"item at index 3 of 500 failed \(KeyError: 'three'\)"
    with ThreadPoolExecutor(2) as executor:
        try:
            with pytest.raises(BatchItemError, match=failed) as error:
                parallel_batch_processing(range(500), work, executor=executor)
        finally:
            told.set()
    assert error.value.index == 3
    assert isinstance(error.value.__cause__, KeyError)
    assert len(begun) <= 6  # of the others, one on each thread
    with pytest.raises(BatchItemError, match=failed):
        parallel_batch_processing(range(500), fail_on_three, num_workers=2)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_workers": 0}, ValueError, "num_workers must be at least 1"),
        ({"num_workers": 2.0}, TypeError, "num_workers must be an integer"),
        ({"operation": 3}, TypeError, "operation must be callable"),
        ({"executor": 3}, TypeError, "executor must be"),
        ({"batch_data": 7}, TypeError, "batch_data must be"),
    ],
)
def test_errors(options, error, text):
    with pytest.raises(error, match=text):
        parallel_batch_processing(**{"batch_data": [1], "operation": double, **options})


def test_threads_of_another_executor():
    with ThreadPoolExecutor(2) as executor:
        assert parallel_batch_processing([1, 2, 3], double, executor=executor) == [2, 4, 6]
        assert executor.submit(double, 4).result() == 8  # ours to use, not to close
    with pytest.raises(RuntimeError, match="after shutdown"):
        parallel_batch_processing([1], double, executor=executor)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method):
    import multiprocessing

    batch = [np.arange(-5.0, 5) * n for n in range(6)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        assert parallel_batch_processing(batch, relu_sum, executor=executor) == [10.0 * n for n in range(6)]
        with pytest.raises(BatchItemError, match="index 3 of 9") as error:
            parallel_batch_processing(range(9), fail_on_three, executor=executor)
        assert isinstance(error.value.__cause__, KeyError)


def die(x):
    os._exit(3)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_worker_that_dies_is_no_item_s_error():
    with ProcessPoolExecutor(1) as executor, pytest.raises(BrokenExecutor):
        parallel_batch_processing(range(3), die, executor=executor)


def test_an_error_of_the_generator_is_its_own():
    def items():
        yield 1
        raise TypeError("their error")

    with pytest.raises(TypeError, match="their error"):
        parallel_batch_processing(items(), double)


def test_dask_cluster_of_processes():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor()
        batch = [np.arange(-5.0, 5) * n for n in range(6)]
        assert parallel_batch_processing(batch, relu_sum, executor=executor) == [10.0 * n for n in range(6)]
        with pytest.raises(BatchItemError, match="index 3 of 9") as error:
            parallel_batch_processing(range(9), fail_on_three, executor=executor)
        assert isinstance(error.value.__cause__, KeyError)
