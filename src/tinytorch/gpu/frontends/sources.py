"""The text of the files that a PTX line table names, as it was when the kernel was compiled."""

import linecache
import re
from pathlib import Path

from tinytorch.gpu.ptx.literals import unescaped

_FILE = re.compile(r'^[ \t]*\.file\s+\d+\s+"([^"]+)"', re.MULTILINE)


def named_in(ptx: str) -> dict[str, str]:
    """Return the text of each file of the line table that can be read: its name there, then the text.

    A notebook's cell is no file, but Python keeps its text for tracebacks.
    """
    found = {}
    for name in map(unescaped, _FILE.findall(ptx)):
        path = Path(name)
        if path.is_file():
            found[name] = path.read_text(encoding="utf-8", errors="replace")
        elif lines := linecache.getlines(name) or linecache.getlines(path.name):
            found[name] = "".join(lines)
    return found
