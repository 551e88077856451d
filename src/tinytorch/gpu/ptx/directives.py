"""Directives that say something about a program but are none of it, and small pieces that others share."""

import re

from tinytorch.gpu.ptx.lexer import Cursor
from tinytorch.gpu.ptx.literals import count, unescaped

#: Directives that may stand anywhere and are passed over.
ABOUT = (".file", ".section", ".pragma")

#: A line is followed outwards through this many places where it was inlined.
DEEPEST = 100

Place = tuple[str, int, int]

_REMARK = re.compile(r"([^:]+):(\d{1,9})(?::(\d{1,9}))?")


def skip(cursor: Cursor) -> None:
    """Take one of `ABOUT`."""
    word = cursor.take()
    if word == ".file":
        count(cursor, "the number of a file")
        _string(cursor)
        while cursor.accept(","):  # a time stamp, a size
            count(cursor, "a number", 2**64)
    elif word == ".section":
        cursor.take()
        cursor.expect("{")
        while not cursor.accept("}"):
            cursor.take()
    else:
        _string(cursor)
        while cursor.accept(","):
            _string(cursor)
        cursor.expect(";")


def skip_parentheses(cursor: Cursor) -> None:
    """Take (…), whatever is in it."""
    cursor.expect("(")
    while not cursor.accept(")"):
        cursor.take()


def files(cursor: Cursor) -> dict[int, str]:
    """Return the names of the .file directives, wherever they stand: at the end, as a rule."""
    found: dict[int, str] = {}
    words, start = cursor.words, 0
    for _ in range(words.count(".file")):
        start = words.index(".file", start) + 1
        number, name = (*words[start : start + 2], "", "")[:2]
        if name.startswith('"') and len(number) < 10 and number.isdecimal():
            found[int(number)] = unescaped(name[1:-1])
    return found


def place(cursor: Cursor, files: dict[int, str]) -> Place:
    """Take file line column."""
    file = count(cursor, "the number of a file")
    return files.get(file, f"file {file}"), count(cursor, "a line"), count(cursor, "a column")


def callers(remark: str, here: Place, files: dict[int, str]) -> list[Place]:
    """Return where a place was inlined, outwards, from the comment in which LLVM says it; [] if it does not.

    >>> callers(" b.py:7:4 @[ b.py:9 @[ a.py:3:1 ] ]", ("/x/b.py", 7, 4), {1: "/x/b.py"})
    [('/x/b.py', 9, 0), ('a.py', 3, 1)]
    """
    found = []
    for part in remark.rstrip("] \r").split("@[")[:DEEPEST]:
        match = _REMARK.fullmatch(part.strip())
        if match is None:
            return []
        name, line, column = match.groups()
        whole = {file for file in files.values() if file.endswith("/" + name)}
        found.append((whole.pop() if len(whole) == 1 else name, int(line), int(column or 0)))
    return found[1:] if found[0][1:] == here[1:] else []


def version(cursor: Cursor) -> tuple[int, int]:
    """Take 8.7."""
    major, dot, minor = cursor.word.partition(".")
    if not (dot and len(major) < 4 and len(minor) < 4 and major.isdecimal() and minor.isdecimal()):
        raise cursor.error(f"expected a version like 8.7, found {cursor.found}")
    cursor.at += 1
    return int(major), int(minor)


def three(cursor: Cursor) -> tuple[int, int, int]:
    """Take up to three numbers, none of them 0; those left out are 1."""
    found = [count(cursor, "a number of threads or blocks")]
    while len(found) < 3 and cursor.accept(","):
        found.append(count(cursor, "a number of threads or blocks"))
    if 0 in found:
        raise cursor.error("a size of 0")
    x, y, z = (*found, 1, 1)[:3]
    return x, y, z


def _string(cursor: Cursor) -> None:
    if not cursor.word.startswith('"'):
        raise cursor.error(f"expected a string, found {cursor.found}")
    cursor.at += 1
