"""Every example in a docstring and in the README runs as it stands."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import tinytorch
from tinytorch.ops.registry import mismatch

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


def test_readme_recipe_for_a_kernel():
    """The recipe, run where it says it belongs, gives an operation whose rungs meet its reference."""
    elementwise = importlib.import_module("tinytorch.ops.elementwise")
    recipe = re.search(r"```text\n(SQUARE = .*?)```", README.read_text(), re.DOTALL)
    names = dict(vars(elementwise))
    exec(compile(recipe[1], elementwise.__file__, "exec"), names)
    operation = names["SQUARE"]
    assert list(operation.ladder) == ["numpy", "vectorized"]
    for rung in operation.ladder.values():
        for shape in operation.shapes:
            for dtype in rung.dtypes:
                inputs = operation.inputs(np.random.default_rng(0), shape, dtype)
                assert (
                    mismatch(rung.run(*inputs), operation.reference(*inputs), operation.bound(*inputs))
                    is None
                )
