"""Python files of the user's, imported by their path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tinytorch.runtime.errors import InputError


def imported(path: Path) -> ModuleType:
    """Run a .py file as a module; beside it may lie modules that it imports.

    Raises InputError if there is no such file, and whatever the file raises.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # as an import does: classes look for their module there
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec.loader.exec_module(module)
    return module
