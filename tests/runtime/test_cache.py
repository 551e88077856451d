"""The compile cache: it may help, and it may never break or poison a run."""

import errno
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tinytorch.runtime import cache
from tinytorch.runtime.compile import tile_kernel

USE = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
import numba.core.ccallback as c
compiled = []
original = c.CFunc._compile_uncached
c.CFunc._compile_uncached = lambda self: (compiled.append(self.__name__), original(self))[1]
import numpy as np
from tinytorch.core.kernels import parallel_relu
x = np.linspace(-1, 1, 300_000, dtype=np.float32)
assert np.array_equal(parallel_relu(x, num_workers=2).data, np.maximum(x, 0))
print(len(compiled))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(tmp_path / "kernels"))
    cache._warn_unwritable.cache_clear()
    return tmp_path / "kernels"


def use(code=USE, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def fresh():
    """Return a kernel that nothing has compiled in this process."""

    @tile_kernel(lambda T: (T[::1],))
    def plus_one(tile, thread, x):
        x[tile] += 1

    return plus_one


def run(kernel):
    x = np.zeros(4)
    kernel[x.dtype](4, x)
    assert np.all(x == 1)


def test_compiled_once_then_from_disk(folder):
    assert use()[0] == 1
    files = {path: path.read_bytes() for path in folder.iterdir()}
    assert files
    assert use()[0] == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == files
    assert folder.stat().st_mode & 0o077 == 0


def test_damaged_files_are_compiled_anew(folder):
    use()
    for number, path in enumerate(sorted(folder.iterdir())):
        content = bytearray(path.read_bytes())
        if number % 3 == 0:
            content[len(content) // 2] ^= 1
        path.write_bytes([bytes(content), content[:100], b""][number % 3])
    assert use()[0] == 1
    assert use()[0] == 0


def test_a_folder_that_cannot_be_written(folder, caplog):
    folder.parent.joinpath("kernels").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        run(fresh())
        run(fresh())
    told = [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()]
    assert len(told) == 1
    assert "TINYTORCH_CACHE_DIR" in told[0]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_any_error_of_the_system(folder, monkeypatch, caplog, code):
    def refuse(**_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with caplog.at_level(logging.WARNING):
        run(fresh())
    assert os.strerror(code) in caplog.text


def test_a_full_disk(folder):
    """A limit on file size stands in for it: writes fail half-way, as they do when a disk fills."""
    full = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + USE
    )
    count, told = use(full)
    assert count == 1
    assert "cannot be written (File too large)" in told
    assert list(folder.iterdir()) == []


def test_many_processes_at_once(folder):
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", USE],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in runs:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert not list(folder.glob(".writing-*"))
    assert use()[0] == 0


def test_another_cpu_has_entries_of_its_own(folder):
    assert use()[0] == 1
    before = set(folder.iterdir())
    assert use(NUMBA_CPU_NAME="generic")[0] == 1
    assert set(folder.iterdir()) > before
    assert use()[0] == 0


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_files_that_others_could_have_written_are_not_run(folder):
    use()
    folder.chmod(0o777)
    assert use()[0] == 1
    folder.chmod(0o700)
    for path in folder.iterdir():
        path.chmod(0o666)
    assert use()[0] == 1


def test_every_source_change_is_another_key(monkeypatch, tmp_path):
    package = Path(cache.__file__).parent.parent
    for room in ("runtime", "ops"):
        (tmp_path / room).mkdir()
        for source in (package / room).glob("*.py"):
            (tmp_path / room / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "runtime" / "cache.py"))
    toolchain = cache.toolchain.__wrapped__
    before = toolchain()
    assert toolchain() == before
    helper = tmp_path / "ops" / "epilogue.py"  # called by kernels of other files
    helper.write_text(helper.read_text() + "\n# edited\n")
    assert toolchain() != before


def test_write_and_read(folder):
    assert cache.read("key") is None
    cache.write("key", b"body")
    assert cache.read("key") == b"body"
    cache.write("key", b"other")
    assert cache.read("key") == b"other"
    assert cache.read("another") is None


FACTORY = """
import numpy as np
from tinytorch.runtime.compile import tile_kernel
BIG = np.arange({size}.0)

def make(step):
    @tile_kernel(lambda T: (T[::1],))
    def kernel(tile, thread, x):
        x[tile] += step + BIG[1] - 1
    return kernel

for step in (1, 2, {last}):
    x = np.zeros(4)
    make(step)[x.dtype](4, x)
    assert np.all(x == step), (x, step)
print(0)
"""


@pytest.mark.parametrize("size", [3, 300_000])
def test_kernels_of_other_people(folder, tmp_path, size):
    """Same name, other values closed over; a large global; an edit: none may find another's code."""
    for last in (3, 4):
        (tmp_path / "theirs.py").write_text(FACTORY.format(size=size, last=last))
        for _ in range(2):
            use(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs")
    edited = FACTORY.format(size=size, last=4).replace("= step", "= 10 * step")
    (tmp_path / "theirs.py").write_text(edited)
    use(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs")


def test_settings_of_numba_count(folder):
    assert use()[0] == 1
    assert use(NUMBA_BOUNDSCHECK="1")[0] == 1


def test_what_nothing_reads_goes(folder):
    cache.write("old", b"old")
    cache.write("new", b"new")
    (folder / ".writing-left").write_text("by a process that was killed")
    (folder / "notes.txt").write_text("not ours")
    for path in folder.iterdir():
        if path != cache._path("new"):
            os.utime(path, (0, 0))
    cache._prune.cache_clear()
    cache.write("another", b"another")
    assert cache.read("old") is None
    assert cache.read("new") == b"new"
    assert {path.name for path in folder.iterdir() if path.suffix != ".kernel"} == {"notes.txt"}
