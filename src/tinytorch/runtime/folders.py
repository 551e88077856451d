"""Folders of the user's that the library writes to."""

import os
from pathlib import Path


def cache() -> Path:
    """Return the cache folder: TINYTORCH_CACHE_DIR, or the user's cache folder of this system."""
    chosen = os.environ.get("TINYTORCH_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tinytorch", appauthor=False))
