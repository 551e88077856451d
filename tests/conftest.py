"""Settings for all tests."""

import os

from hypothesis import settings

# Kernels compile on first use: no deadline. In CI the same examples every time, so that red means broken.
settings.register_profile("default", deadline=None, max_examples=40)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
