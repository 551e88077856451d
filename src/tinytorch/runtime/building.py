"""The one lock under which code is compiled or loaded.

A child made by fork has only the thread that forked: a lock that another one held would never be free again
there, and neither would the compiler's own, which is held only under this one. So a fork waits for it.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

building = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=building.acquire, after_in_parent=building.release, after_in_child=building.release
    )


class lazy:  # noqa: N801 (a decorator)
    """`functools.cached_property` without the lock it had before Python 3.12, which a fork may leave held."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """Make the value and put it in the place of this."""
        value = owner.__dict__[self._make.__name__] = self._make(owner)
        return value
