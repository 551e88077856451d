"""Every example in a docstring and in the README runs as it stands."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tinytorch

MODULES = sorted(module.name for module in pkgutil.walk_packages(tinytorch.__path__, "tinytorch."))
README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


def test_readme_example():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_readme_names_what_there_is():
    """Paths in the README's picture of folders exist, and so do the modules it speaks of."""
    text = README.read_text()
    root = Path(tinytorch.__file__).parent
    picture = re.search(r"```text\nsrc/tinytorch/\n(.*?)```", text, re.DOTALL)
    assert picture
    named = {line.split()[0] for line in picture[1].splitlines() if line.startswith("  ") and line.strip()}
    there = {f"{p.name}/" for p in root.iterdir() if p.is_dir() and p.name != "__pycache__"} | {"cli.py"}
    assert named == there
