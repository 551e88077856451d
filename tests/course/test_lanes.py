"""What lanes did is told by line and array, with the source at hand and, as of a process apart, without."""

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numba import cuda

from tinytorch import gpu
from tinytorch.course.checks import lanes
from tinytorch.course.subject import WrongError
from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda, from_ptx, to_ptx


@cuda.jit
def down(given, made):
    r, c = cuda.grid(2)
    if r < given.shape[0] and c < given.shape[1]:
        made[r, c] = given[r, c] + 1


@cuda.jit
def across(given, made):
    c, r = cuda.grid(2)
    if r < given.shape[0] and c < given.shape[1]:
        made[r, c] = given[r, c] + 1


@cuda.jit
def beyond(given, made):
    c, r = cuda.grid(2)
    made[r, c] = given[r, c] + 1


class WithSource:
    def gpu(self, kernel, grid, block, *args):
        return gpu.analyze(from_numba_cuda(kernel, grid, block, args))


class Apart:
    def gpu(self, kernel, grid, block, *args):
        ptx, names = to_ptx(kernel, args)
        return gpu.analyze(from_ptx(ptx, names, grid, block, args))


X = np.arange(40 * 24, dtype=np.float32).reshape(40, 24)


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        (WithSource(), r"^line \d+, made\[r, c\] = given\[r, c\] \+ 1: given is read with 2"),
        (Apart(), r"^line \d+: given is read with 2.* lanes go to places 96 bytes apart$"),
    ],
)
def test_scattered_lanes_are_told_by_line_array_and_distance(subject, says):
    found = lanes.run(subject, down, (2, 3), (32, 8), X, np.zeros_like(X))
    with pytest.raises(WrongError, match=says):
        lanes.once(found, 0, "load")


@pytest.mark.parametrize("subject", [WithSource(), Apart()])
def test_what_is_out_of_bounds_names_no_file(subject):
    with pytest.raises(WrongError, match=r"6 blocks of 32 x 8 threads: out of bounds: line \d+") as told:
        lanes.run(subject, beyond, (1, 6), (32, 8), X, np.zeros_like(X))
    assert __file__ not in str(told.value)


@pytest.mark.parametrize("subject", [WithSource(), Apart()])
def test_a_coalesced_kernel_passes_and_gives_its_result(subject):
    found = lanes.run(subject, across, (1, 5), (32, 8), X, np.zeros_like(X))
    lanes.once(found, 0, "load")
    lanes.once(found, 1, "store")
    lanes.no_conflicts(found)
    assert np.array_equal(lanes.result(found, 1), X + 1)
