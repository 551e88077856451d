"""`check` in a notebook: what it prints, what it raises, and what it only tells."""

import pytest

from tinytorch.course import CheckFailedError, check
from tinytorch.gpu.frontends import numba_cuda
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import MissingExtraError


def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * (gpus - 1) * (latency + nbytes / gpus / bandwidth)


def test_a_right_answer_gains_its_points(capsys):
    check(ring_seconds)
    assert capsys.readouterr().out == "ring_seconds: passed, 2 of 2 points\n"


def test_a_wrong_answer_raises_message_and_hint():
    def ring_seconds(nbytes, gpus, bandwidth, latency):
        return 2 * (gpus - 1) / gpus * nbytes / bandwidth

    with pytest.raises(CheckFailedError, match=r"failed, 0 of 2 points\n.*should be.*\nEvery message"):
        check(ring_seconds)


def test_what_cannot_be_run_here_is_told_and_no_error(monkeypatch, capsys):
    def scale_rows(x, factors, y):
        y[0, 0] = 0

    def missing(*_):
        raise MissingExtraError("numba-cuda kernels need another package")

    monkeypatch.setattr(numba_cuda, "needs", missing)
    check(scale_rows)
    told = capsys.readouterr()
    assert told.out == ""  # nbgrader gives no points where stderr was written to
    assert told.err.startswith("scale_rows: not run here, 0 of 2 points: numba-cuda kernels need")


def test_what_is_no_exercise_is_refused():
    with pytest.raises(InputError, match="len is no exercise; those are time_kernel"):
        check(len)
