"""The words of a PTX text, and a cursor that walks along them.

Comments go first (their line breaks stay), then every line is split into words by one regular expression in
which no two alternatives can begin alike and go on for long: its time is linear in the text.
"""

import re
import sys

from tinytorch.gpu.ptx.program import PtxError

#: A text this long is refused. The largest modules of CUDA's own libraries are a few megabytes.
MOST_CHARACTERS = 64 * 2**20
#: Names are refused above: those of C++ templates grow long, those of registers and labels do not.
LONGEST_NAME = 2**16
LONGEST_SHORT_NAME = 256

#: The empty alternatives catch what is never closed, at its first place, so that it is looked for only once.
_COMMENT = re.compile(r'//[^\n]*|/\*(?:[\s\S]*?\*/|)|"(?:[^"\\\n]|\\[^\n])*("|)')
_WORD = re.compile(
    r"[A-Za-z_$%][\w$]*(?:(?:\.|::)[\w$]+)*"  # a name, a special register, an opcode with its modifiers
    r"|\.[\w$]+(?:::[\w$]+)*"  # a directive
    r"|\d+(?:\.\d*)?[eE][+-]?\d+|\d+\.\d*|\d[\w$]*"  # a number
    r'|"(?:[^"\\]|\\.)*"?'
    r"|<<|>>|\S",
    re.ASCII,
)
_TIGHT = re.compile(r" (?=[,;:|+\]})])|(?<=[\[({@!|+~-]) ")


class Cursor:
    """A place in the words of a text; the word after the last is "".

    >>> cursor = Cursor("add.s32 %r1, %r2, -4; // one")
    >>> cursor.take(), cursor.take(), cursor.accept(","), cursor.word
    ('add.s32', '%r1', True, '%r2')
    """

    def __init__(self, text: str) -> None:
        """Split `text`; PtxError if it is too long or has a comment or a string that is never closed."""
        if len(text) > MOST_CHARACTERS:
            raise PtxError(f"the PTX has {len(text)} characters; {MOST_CHARACTERS} are the most that is read")
        self.words: list[str] = []
        self.lines: list[int] = []
        self.remarks = _remarks(text)
        for number, line in enumerate(_without_comments(text).split("\n"), 1):
            words = _WORD.findall(line)
            self.words += map(sys.intern, words)
            self.lines += [number] * len(words)
        self.words.append("")
        self.lines.append(self.lines[-1] if self.lines else 1)
        self.at = 0

    @property
    def word(self) -> str:
        """The word here."""
        return self.words[self.at]

    @property
    def after(self) -> str:
        """The word after this one."""
        return self.words[min(self.at + 1, len(self.words) - 1)]

    @property
    def line(self) -> int:
        """The line here, from 1."""
        return self.lines[self.at]

    def take(self) -> str:
        """Return the word here and go on; PtxError at the end."""
        word = self.words[self.at]
        if not word:
            raise self.error("the text ends in the middle of something")
        self.at += 1
        return word

    def accept(self, word: str) -> bool:
        """Go on if `word` is here, and say whether it was."""
        if self.words[self.at] != word:
            return False
        self.at += 1
        return True

    def expect(self, word: str) -> None:
        """Go on if `word` is here, else PtxError."""
        if self.words[self.at] != word:
            raise self.error(f"expected {word!r}, found {self.found}")
        self.at += 1

    @property
    def last_line(self) -> int:
        """The line of the word before this one."""
        return self.lines[max(self.at - 1, 0)]

    def name(self, what: str, longest: int = LONGEST_NAME) -> str:
        """Take a name; `what` it is of is for the error."""
        word = self.word
        if not is_name(word):
            raise self.error(f"expected {what}, found {self.found}")
        if len(word) > longest:
            raise self.error(f"a name of {len(word)} characters; {longest} are the most here")
        self.at += 1
        return word

    @property
    def found(self) -> str:
        """The word here, for a message."""
        return repr(self.word[:100]) if self.word else "the end of the text"

    def error(self, message: str, line: int | None = None) -> PtxError:
        """Return a PtxError that names a line: this one, unless told."""
        return PtxError(f"line {self.line if line is None else line} of the PTX: {message}")

    def quote(self, start: int) -> str:
        """Return the words from `start` to the one before the last that was taken, on one line.

        It is cut at 200 characters.

        >>> cursor = Cursor("@!%p1  ld.global.b32 { %r1 },\\n [ %rd1 + -4 ];")
        >>> cursor.at = len(cursor.words) - 1
        >>> cursor.quote(0)
        '@!%p1 ld.global.b32 {%r1}, [%rd1+-4]'
        """
        return _TIGHT.sub("", " ".join(self.words[start : min(self.at - 1, start + 200)]))[:200]


def is_name(word: str) -> bool:
    """Say whether a word is a name.

    >>> is_name("$L__BB0_2"), is_name("_"), is_name(".reg"), is_name("")
    (True, True, False, False)
    """
    return word != "" and (word[0].isalpha() or word[0] in "_$" or (word[0] == "%" and len(word) > 1))


def _remarks(text: str) -> dict[int, str]:
    """Return the comments of .loc lines, by line, where LLVM says what was inlined: a @[ b @[ c ] ]."""
    if "@[" not in text:
        return {}
    lines = enumerate(text.split("\n"), 1)
    return {number: line.partition("//")[2] for number, line in lines if "@[" in line and ".loc" in line}


def _without_comments(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        piece = match.group()
        if piece.startswith("//"):
            return " "
        if piece.startswith("/*") and len(piece) > 3:
            return " " + "\n" * piece.count("\n")
        if piece.startswith('"') and match.group(1):
            return piece
        line = text.count("\n", 0, match.start()) + 1
        what = "comment" if piece.startswith("/*") else "string"
        raise PtxError(f"line {line} of the PTX: this {what} is never closed")

    return _COMMENT.sub(replaced, text)
