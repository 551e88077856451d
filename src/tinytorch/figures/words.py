"""Names as people read them: as long as there is room for, and nothing that cannot be printed."""

import unicodedata
from collections.abc import Iterable, Mapping

#: Embeddings, overrides and isolates, and their ends. Letters of Hebrew and Arabic need none of them.
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def plain(text: str) -> str:
    r"""Replace what has no glyph (controls, line breaks, halves of surrogate pairs) by one that says so.

    So is what turns the direction of letters that follow: a row of a table could read as another.

    >>> plain("a\nb\x00c\udc80")
    'a�b�c�'
    """
    return "".join(
        "�"
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(c) in _TURNS
        else c
        for c in text
    )


def shortened(text: str, letters: int) -> str:
    """Cut a name in its middle: a file's name tells most at its ends.

    >>> shortened("matmul_of_everything.py", 11)
    'matmu…ng.py'
    """
    if len(text) <= letters:
        return text
    tail = (letters - 1) // 2
    return f"{text[: letters - 1 - tail]}…{text[-tail:]}"


def distinct(names: Iterable[str], letters: int) -> list[str]:
    """Shorten names for a legend, and number those that would read the same.

    >>> distinct(["relu", "a_long_name_1_of_it", "a_long_name_2_of_it"], 9)
    ['relu', 'a_lo…f_it', 'a_lo…f_it (2)']
    """
    taken: dict[str, None] = {}
    for name in names:
        short = once = shortened(plain(name), letters)
        count = 1
        while short in taken:
            count += 1
            short = f"{once} ({count})"
        taken[short] = None
    return list(taken)


def told(name: str, facts: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Join what a mark tells when it is asked: its name, then a fact a line.

    >>> told("relu", {"rate": "2 GB/s"})
    'relu\\nrate: 2 GB/s'
    """
    pairs = facts.items() if isinstance(facts, Mapping) else facts
    return "\n".join([plain(name), *(f"{plain(key)}: {plain(value)}" for key, value in pairs)])
