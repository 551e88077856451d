"""Files that a user asked for: whether they can be written, and written whole or not at all.

A measurement takes minutes: what is wrong with the name of its file is said before it begins. Text goes to
a file of another name beside the target first, and takes the target's place in one step.
"""

import contextlib
import secrets
import tempfile
from pathlib import Path

#: What JSON that is none of ours may raise when it is read: an own file is looked at, anyone's may be given.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def check_writable(target: Path, option: str) -> None:
    """Raise ValueError if the file that `option` names cannot be written; the message names both.

    >>> check_writable(Path("/no/such/folder/x.html"), "--html")
    Traceback (most recent call last):
    ...
    ValueError: the folder of --html /no/such/folder/x.html does not exist; make it first
    """
    if not target.parent.is_dir():
        raise ValueError(f"the folder of {option} {target} does not exist; make it first")
    if target.is_dir():
        raise ValueError(f"{option} {target} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise ValueError(f"{option} {target} is no ordinary file; name one")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise ValueError(f"{option} {target} cannot be written: {error.strerror}") from None


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that it is there whole or not at all; a link keeps pointing at it.

    Raises OSError, which names `target`, if it cannot be written; what was there before is then untouched.
    """
    given, target = target, target.resolve()
    data = content.encode() if isinstance(content, str) else content
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:  # with the mode that this process gives to new files
            file.write(data)
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # maybe its folder is none
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(given)) from None
        raise
