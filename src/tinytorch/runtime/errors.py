"""Errors that are told to a user in one line."""

from pathlib import Path


class WrongResultError(AssertionError):
    """A function computed something else than it should; it is not timed."""


class InputError(ValueError):
    """What a user gave cannot be used; the message says what would do."""


def told(error: OSError) -> str:
    """Return in one line what the system refused, of which file, and what would do.

    >>> told(PermissionError(13, "Permission denied", "work/notes"))
    'work/notes: Permission denied; name another place, or make this one yours to write'
    """
    try:
        Path.cwd()
    except OSError:
        return "the folder that this runs in is no more; change to another"
    if error.filename is None or error.strerror is None:
        return str(error) or type(error).__name__
    would_do = {
        PermissionError: "; name another place, or make this one yours to write",
        FileExistsError: "; a file is where a folder is to be",
        NotADirectoryError: "; a file is where a folder is to be",
    }.get(type(error), "")
    return f"{error.filename}: {error.strerror}{would_do}"
