"""Each layer by itself: what the filter of system calls decides, what the hook refuses, what may be read."""

import os
import sys
from pathlib import Path

import pytest

from tinytorch.course.running.confinement import audit, describe, places, privileges, seccomp

ALLOW, REFUSE, NO_CALL, KILL = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000
PID = 4242


def decide(machine, number, *args, architecture=None):
    """Run the filter as the kernel would."""
    words = {0: number, 4: architecture or {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]}
    words.update({16 + 8 * place: value & 0xFFFFFFFF for place, value in enumerate(args)})
    code, at, held = seccomp.program(machine, PID), 0, 0
    while True:
        what, so, otherwise, value = code[at]
        at += 1
        if what == 0x06:
            return value
        if what == 0x20:
            held = words[value]
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[what]
            at += so if holds else otherwise


@pytest.mark.parametrize(
    ("x86", "arm", "args", "decision"),
    [
        (0, 63, (3,), ALLOW),  # read
        (257, 56, (0,), ALLOW),  # openat: Landlock's business
        (9, 222, (0,), ALLOW),  # mmap
        (57, None, (), REFUSE),  # fork
        (59, 221, (0,), REFUSE),  # execve
        (56, 220, (0x3D0F00,), ALLOW),  # clone of a thread
        (56, 220, (0x11,), REFUSE),  # clone of a process
        (435, 435, (0,), NO_CALL),  # clone3
        (101, 117, (16,), REFUSE),  # ptrace
        (41, 198, (2,), REFUSE),  # socket
        (62, 129, (PID, 9), ALLOW),  # kill
        (62, 129, (PID - 1, 9), REFUSE),
        (62, 129, (0, 9), REFUSE),
        (62, 129, (-1, 9), REFUSE),
        (234, 131, (PID, PID, 6), ALLOW),  # tgkill
        (234, 131, (PID - 1, 1, 6), REFUSE),
        (302, 261, (0, 7), ALLOW),  # prlimit64
        (302, 261, (PID - 1, 7), REFUSE),
        (203, 122, (PID - 1,), REFUSE),  # sched_setaffinity
        (72, 25, (1, 3), ALLOW),  # fcntl
        (72, 25, (1, 8), REFUSE),  # F_SETOWN
        (90, 52, (0,), REFUSE),  # chmod, fchmod
        (319, 279, (0,), REFUSE),  # memfd_create
        (285, 47, (0,), REFUSE),  # fallocate
        (157, 167, (4, 0), REFUSE),  # prctl: PR_SET_DUMPABLE
        (157, 167, (15, 0), ALLOW),  # PR_SET_NAME
        (425, 425, (0,), REFUSE),  # io_uring_setup
    ],
)
def test_the_filter_decides(x86, arm, args, decision):
    assert decide("x86_64", x86, *args) == decision
    if arm is not None:
        assert decide("aarch64", arm, *args) == decision


def test_the_filter_knows_one_table_of_calls_only():
    assert decide("x86_64", 0x4000_0000 + 59) == REFUSE
    assert decide("x86_64", 11, architecture=0x4000_0003) == KILL  # execve of 32-bit programs
    assert decide("aarch64", 63, architecture=0xC000_003E) == KILL


def test_the_filter_has_no_jump_too_far():
    for machine in ("x86_64", "aarch64"):
        code = seccomp.program(machine, PID)
        assert len(code) < 4096
        assert code[-1][0] == 0x06
        assert all(at + max(so, no) < len(code) - 1 for at, (_, so, no, _) in enumerate(code[:-1]))


@pytest.fixture
def listening(tmp_path):
    for name in ("own", "python", "python/solutions", "other"):
        (tmp_path / name).mkdir()
    python, hidden = str(tmp_path / "python"), str(tmp_path / "python" / "solutions")
    return audit.hook((python,), (hidden,), str(tmp_path / "own"))


@pytest.mark.parametrize(
    ("event", "args"),
    [
        ("open", ("{0}/own/x", "w", os.O_WRONLY | os.O_CREAT)),
        ("open", ("{0}/own/x", "r", os.O_RDONLY)),
        ("open", ("{0}/python/x.py", "r", os.O_RDONLY)),
        ("open", (os.devnull, None, os.O_RDWR)),
        ("open", (7, "w", os.O_WRONLY)),
        ("os.kill", (os.getpid(), 10)),
        ("os.rename", ("{0}/own/a", "{0}/own/b", -1, -1)),
        ("os.mkdir", ("{0}/own/a", 0o777, -1)),
        ("import", ("socket", None, None, None, None)),
    ],
)
def test_the_hook_lets_through(listening, tmp_path, event, args):
    listening(event, tuple(arg.format(tmp_path) if isinstance(arg, str) else arg for arg in args))


@pytest.mark.parametrize(
    ("event", "args", "why"),
    [
        ("open", ("{0}/other/x", "w", os.O_WRONLY | os.O_CREAT), "write outside"),
        ("open", ("{0}/own/../other/x", "w", os.O_WRONLY | os.O_CREAT), "write outside"),
        ("open", ("{0}/own-not/x", "w", os.O_WRONLY), "write outside"),
        ("open", ("{0}/python/x", None, os.O_RDWR), "write outside"),
        ("open", ("{0}/other/x", "r", os.O_RDONLY), "read files"),
        ("open", ("{0}/python/solutions/x", "r", os.O_RDONLY), "read files"),
        ("os.fork", (), "start processes"),
        ("subprocess.Popen", ("ls", ["ls"], None, None), "start processes"),
        ("os.kill", (1, 9), "signals"),
        ("os.killpg", (1, 9), "signals"),
        ("socket.__new__", (None, 2, 1, 0), "network"),
        ("os.remove", ("{0}/other/x", -1), "outside"),
        ("os.rename", ("{0}/own/a", "{0}/other/b", -1, -1), "outside"),
        ("os.chmod", ("{0}/other", 0, -1), "outside"),
    ],
)
def test_the_hook_refuses(listening, tmp_path, event, args, why):
    with pytest.raises(PermissionError, match=f"a submission may not .*{why}"):
        listening(event, tuple(arg.format(tmp_path) if isinstance(arg, str) else arg for arg in args))


def test_a_link_leads_nowhere(listening, tmp_path):
    (tmp_path / "own" / "link").symlink_to(tmp_path / "other")
    with pytest.raises(PermissionError):
        listening("open", (str(tmp_path / "own" / "link" / "x"), "w", os.O_WRONLY | os.O_CREAT))


def test_python_and_its_libraries_may_be_read_and_no_home(tmp_path):
    import numba
    import numpy

    import tinytorch

    found = [*places.without(places.readable(tmp_path), places.hidden())]

    def may(path):
        path = Path(os.path.realpath(path))
        return any(path == place or place in path.parents for place in found)

    for module in (os, numpy, numba, tinytorch):
        assert may(module.__file__)
    assert may(tmp_path)
    assert not may(tmp_path.parent)
    assert not may(Path.home())
    assert not may(Path.home() / ".ssh")
    assert not may("/etc/shadow")
    assert not may(Path(tinytorch.__file__).parent / "course" / "checks" / "int8.py")
    assert not may(f"/proc/{os.getppid()}/cmdline")


def test_what_is_hidden_is_left_out_and_all_else_is_there(tmp_path):
    for name in ("a/b/secret", "a/b/c", "a/d", "e"):
        (tmp_path / name).mkdir(parents=True)
    found = set(places.without([tmp_path / "a", tmp_path / "e"], [tmp_path / "a/b/secret"]))
    assert found == {tmp_path / "a/b/c", tmp_path / "a/d", tmp_path / "e"}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_root_becomes_another_user_only_where_that_one_can_read(tmp_path):
    open_, closed = tmp_path / "open", tmp_path / "closed"
    for folder, mode in ((open_, 0o755), (closed, 0o700)):
        folder.mkdir()
        (folder / "x").write_text("")
        folder.chmod(mode)
    others = all(parent.stat().st_mode & 1 for parent in tmp_path.parents) and tmp_path.stat().st_mode & 1
    assert privileges._others_can_read(open_ / "x") == bool(others)
    assert not privileges._others_can_read(closed / "x")
    assert privileges._others_can_read(Path("/"))


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_this_linux_has_some_layers():
    layers = {layer.name: layer.in_force for layer in describe()}
    assert layers["limits"] and layers["audit"]
    assert list(layers) == ["limits", "privileges", "files", "system calls", "audit"]
