"""`tinytorch.gpu` imports with NumPy alone: a machine with a GPU need not have our compilers."""

import subprocess
import sys

_PROGRAM = """
import importlib, pkgutil, sys

allowed = set(sys.stdlib_module_names) | {"numpy", "tinytorch"}

class Nothing:
    def find_spec(self, name, path=None, target=None):
        # Packages that install themselves into Python's start, as editable ones do, came before.
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r}: tinytorch.gpu is to do without", name=name)

sys.meta_path.insert(0, Nothing())
import tinytorch.gpu

names = [module.name for module in pkgutil.walk_packages(tinytorch.gpu.__path__, "tinytorch.gpu.")]
assert len(names) > 50
for name in names:
    importlib.import_module(name)
tinytorch.gpu.analyze
above = {name.split(".")[1] for name in sys.modules if name.startswith("tinytorch.")}
print(sorted(above))
"""


def test_it_imports_with_numpy_alone_and_nothing_above_it():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['gpu', 'runtime']"
