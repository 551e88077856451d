"""Settings for all tests."""

import os
import sys

import pytest
from hypothesis import settings

from tinytorch.runtime import pool, threads

# Kernels compile on first use: no deadline. In CI the same examples every time, so that red means broken.
settings.register_profile("default", deadline=None, max_examples=40)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def own_threads():
    """Give the pool its own workers back, and their number, after a test that ran a PyTorch model."""
    before = threads._chosen
    yield
    kernels = sys.modules.get("tinytorch.torch.kernels")
    if kernels is not None and kernels._torch_threads:
        kernels._torch_threads, threads._chosen = 0, before
        pool.current().join(0)
