"""Names of kernels as people write them: C++ compilers, and numba, put types into the names of entries."""

import re

_LENGTH = re.compile(r"\d+")


def readable(entry: str) -> str:
    """Return the name in a mangled one, without types and what it lies in (Itanium C++ ABI, mangling).

    >>> readable("_Z9transposeILi32EEvPKfPfii"), readable("_ZN5tests7kernels3addB2v1"), readable("add")
    ('transpose', 'add', 'add')
    """
    if not entry.startswith("_Z"):
        return entry
    name, place = entry, 3 if entry.startswith("_ZN") else 2
    while length := _LENGTH.match(entry, place):
        place = length.end() + int(length[0])
        name = entry[length.end() : place]
        if not entry.startswith("_ZN"):
            break
    return name
