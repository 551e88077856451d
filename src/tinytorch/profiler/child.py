"""A profile in a process of its own: whatever the function does to it, the one that asked goes on.

The child is told what to do in JSON on its input, and tells what it does, line by line in JSON, on what was
its output; what the function prints goes nowhere.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinytorch.runtime.errors import InputError

Tell = Callable[[str], None]
#: The status of a child that was ended so.
_KILLED = -signal.SIGKILL if os.name == "posix" else 1
_PACKAGE = Path(__file__).parent.parent


class ProfileError(ValueError):
    """A function could not be profiled; says why in one line."""


def profile_apart(request: dict[str, Any], timeout: float, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Profile what `request` names (see `_profile`) in a process of its own; returns `Profile.as_dict()`.

    Raises ProfileError if the function raises, hangs or ends the process.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tinytorch.profiler.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=os.name == "posix",
    ) as child:
        late = threading.Event()

        def stop() -> None:
            late.set()
            _kill(child)

        timer = threading.Timer(timeout, stop)
        timer.start()
        try:
            return _listen(child, request, timeout, late, tell)
        finally:
            timer.cancel()
            _kill(child)


def _listen(
    child: subprocess.Popen[str], request: dict[str, Any], timeout: float, late: threading.Event, tell: Tell
) -> dict[str, Any]:
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(json.dumps(request))
        child.stdin.close()
    except BrokenPipeError:
        pass  # it died at once: its exit status tells
    doing = "starting"
    for line in child.stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue  # the function found the line and wrote to it
        if "tell" in message:
            doing = message["tell"]
            tell(doing)
        elif "error" in message:
            raise ProfileError(message["error"])
        else:
            found: dict[str, Any] = message["profile"]
            return found
    status = child.wait()
    if late.is_set() and status == _KILLED:  # and not by itself before, while what it started held the line
        raise ProfileError(f"it took more than {timeout:g} s ({doing}); allow more with --timeout")
    if status < 0:
        raise ProfileError(f"the process was ended by signal {-status} ({doing})")
    raise ProfileError(f"the function ended the process with status {status} ({doing})")


def _kill(child: subprocess.Popen[str]) -> None:
    """End the child, and on POSIX what it started, which may outlive it."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()


def main() -> None:
    """Be the child."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the function prints is no answer

    def say(**message: Any) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    request = json.load(sys.stdin)
    try:
        say(profile=_profile(request, lambda text: say(tell=text)))
    except BaseException as error:
        say(error=told(error, request["function"]))
    output.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the function left behind do not keep it


def _profile(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Profile {"function", "arrays", "inputs", "cost", "dtype", "seconds", "threads"}."""
    from tinytorch.profiler.callables import dtype, function
    from tinytorch.profiler.limiting import ThreadLimit
    from tinytorch.profiler.profile import profile
    from tinytorch.runtime.cost import Cost
    from tinytorch.runtime.threads import set_num_threads

    if request["threads"]:
        set_num_threads(request["threads"])
    tell(f"importing {request['function']}")
    func, kind = function(request["function"]), None if request["dtype"] is None else dtype(request["dtype"])
    args, scaled = _arguments(request)
    cost = Cost(*request["cost"]) if request["cost"] else None
    options: dict[str, Any] = {"cost": cost, "dtype": kind, "scaled": scaled, "name": request["function"]}
    with ThreadLimit().within(request["threads"]) if request["threads"] else contextlib.nullcontext():
        found = profile(func, *args, **options, seconds=request["seconds"], tell=tell)
    return found.as_dict()


def _arguments(request: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """Return the arguments, and what makes them at other sizes; says so if it is their maker that fails."""
    from tinytorch.profiler.callables import arguments

    try:
        return arguments(request["arrays"], request["inputs"])
    except InputError:
        raise
    except Exception as error:
        raise InputError(told(error, request["inputs"])) from error


def told(error: BaseException, name: str) -> str:
    """Say in one line what went wrong: our complaint, or what `name` raised and where."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"{name} ended the process with status {_text(error.code or 0, repr)}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        f for f in frames if not (f.filename.startswith("<") or Path(f.filename).is_relative_to(_PACKAGE))
    ]
    place = theirs[-1] if theirs else None
    where = "" if place is None else f" ({Path(place.filename).name}:{place.lineno})"
    return f"{name} raised {type(error).__name__}: {_text(error, str)}{where}"


def _text(value: Any, write: Callable[[Any], str]) -> str:
    """Return a value as one printable line, whatever it does when it is written."""
    try:
        text = write(value)
    except Exception as error:
        return f"(its text raised {type(error).__name__})"
    line = " ".join(text.split())[:300]
    return "".join(c if c.isprintable() else "?" for c in line)


if __name__ == "__main__":
    main()
