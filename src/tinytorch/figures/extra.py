"""The plotting library, an extra: looked for when a figure is asked for, and told of when missing."""

from types import ModuleType

from tinytorch.runtime import extras


def needs(name: str) -> ModuleType:
    """Import a module of the extra.

    Raises MissingExtraError, saying how to install it.

    >>> needs("altair").Chart.__name__
    'Chart'
    """
    module: ModuleType = extras.needs(name, "figures", "report")
    return module
