"""The extras of the package: imported when what they are for is asked for, and told of when missing."""

import importlib
from typing import Any

from tinytorch.runtime.errors import InputError


class MissingExtraError(InputError):
    """Something was asked for and what does it is not installed."""


def needs(name: str, purpose: str, extra: str) -> Any:
    """Import a module of an extra; `purpose` is who needs it, in the plural.

    Raises MissingExtraError, saying how to install it.

    >>> needs("no_such_library", "figures", "report")
    Traceback (most recent call last):
    ...
    tinytorch.runtime.extras.MissingExtraError: figures need `pip install 'tinytorch-kernels[report]'`
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise  # something else is broken, and hiding that would not help
        raise MissingExtraError(f"{purpose} need {install(extra)}") from None


def install(extra: str) -> str:
    """Return the command that brings an extra, as it is told to users.

    >>> install("gpu")
    "`pip install 'tinytorch-kernels[gpu]'`"
    """
    return f"`pip install 'tinytorch-kernels[{extra}]'`"
