"""The workspace of a learner that a script runs in, if it runs in one: a few looks at the file system.

Only the user's own folders count: a marker that someone else put above a shared folder runs no code.
"""

import os
import sys
from pathlib import Path

#: What makes a folder a workspace.
MARKER = ".tinytorch.json"
#: Where `tito export` writes in it.
EXPORTED = Path("tinytorch_exports", "core", "kernels.py")
#: Names another workspace; set to nothing, there is none.
VARIABLE = "TINYTORCH_WORKSPACE"


def exported_in() -> Path | None:
    """Return the workspace with an export: TINYTORCH_WORKSPACE, or around the script, or this folder's."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return None
    for start in dict.fromkeys((here / (sys.path[0] if sys.path else ""), here)):
        for folder in (start, *start.parents):
            if _is_own(folder / MARKER):
                return folder if _is_own(folder / EXPORTED) else None
    return None


def _is_own(path: Path) -> bool:
    """Say whether a file is there and is this user's; Windows keeps others out of a user's folders itself."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    return not hasattr(os, "geteuid") or owner == os.geteuid()
