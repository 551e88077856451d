"""What a hostile submission may try, as the text of a cell; names in capitals are filled in by `text_of`."""

import json
import textwrap
from string import Template

#: Run as a cell before the exercises; each goes on quietly where it is refused.
CELLS = {
    "writes outside": """
        import os, pathlib, shutil
        for target in $targets:
            for write in (
                lambda: pathlib.Path(target).write_text("written"),
                lambda: os.close(os.open(target, os.O_CREAT | os.O_WRONLY)),
                lambda: os.symlink("/etc/passwd", target),
                lambda: os.mkdir(target),
                lambda: shutil.copy("/etc/passwd", target),
            ):
                try:
                    write()
                except BaseException:
                    pass
        for target in $victims:
            for harm in (
                lambda: pathlib.Path(target).write_text("spoilt"),
                lambda: os.unlink(target),
                lambda: os.rename(target, target + ".taken"),
                lambda: os.chmod(target, 0),
                lambda: os.truncate(target, 0),
            ):
                try:
                    harm()
                except BaseException:
                    pass
    """,
    "kills its parent": """
        import os, signal
        parent = os.getppid()
        pids = [parent]
        try:
            pids.append(int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1]))
        except BaseException:
            pass
        for pid in pids:
            if pid > 1:
                for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
                    try:
                        os.kill(pid, number)
                    except BaseException:
                        pass
    """,
    "patches timer and NumPy": """
        import builtins, time
        import numpy as np
        now = [0.0]
        def still(*args, **kwargs):
            now[0] += 1e-9
            return now[0]
        for name in ("perf_counter", "perf_counter_ns", "monotonic", "time", "process_time", "thread_time"):
            setattr(time, name, still)
        always = lambda *args, **kwargs: True
        for name in ("array_equal", "allclose", "isclose", "array_equiv"):
            setattr(np, name, always)
        np.testing.assert_array_equal = np.testing.assert_allclose = lambda *args, **kwargs: None
        import tinytorch.course.calling as calling
        import tinytorch.course.probes as probes
        calling.same = always
        def slow(x):
            end = real() + 2.0
            while real() < end:
                pass
            return np.where(x < 0, 0, x).astype(x.dtype)
        from time import clock_gettime, CLOCK_MONOTONIC
        real = lambda: clock_gettime(CLOCK_MONOTONIC)
        probes.relu_in_python = slow
    """,
    "prints a gigabyte": """
        import sys
        for _ in range(1000):
            print("x" * 1_000_000)
        for _ in range(100):
            sys.stderr.write("y" * 1_000_000)
    """,
    "forges answers": """
        import json, os, sys
        forged = [
            json.dumps({"outcome": {"exercise": name, "step": 1, "state": "passed", "points": 50, "of": 50}})
            for name in ("vectorized_relu", "cache_friendly_matmul", "transpose")
        ]
        for number in range(1, 64):
            for line in forged:
                try:
                    os.write(number, (line + "\\n").encode())
                except BaseException:
                    pass
        for number in (1, 2, 3, 4, 5):
            try:
                open(f"/proc/{os.getppid()}/fd/{number}", "w").write(forged[0] + "\\n")
            except BaseException:
                pass
    """,
    "ends at once": """
        import os
        os._exit(0)
    """,
    "fills the disk": """
        try:
            for number in range(10_000):
                with open(f"big{number}", "wb") as file:
                    for _ in range(100):
                        file.write(b"x" * (1 << 20))
        except BaseException:
            pass
    """,
}

#: In the place of the exercise roofline.
ANSWERS = {
    "loops": """
        def roofline(operations, bytes_moved, peak, bandwidth):
            while True:
                pass
    """,
    "forks": """
        import os, subprocess, sys
        def roofline(operations, bytes_moved, peak, bandwidth):
            for _ in range(200):
                try:
                    if os.fork() == 0:
                        os.setsid()
                        while True:
                            pass
                except BaseException:
                    pass
                try:
                    subprocess.Popen(["sleep", "$sleep"], start_new_session=True)
                except BaseException:
                    pass
            while True:
                pass
    """,
    "eats memory": """
        import numpy as np
        def roofline(operations, bytes_moved, peak, bandwidth):
            kept = []
            while True:
                kept.append(np.ones(1 << 24))
    """,
    "reads another's": """
        import glob, os
        def roofline(operations, bytes_moved, peak, bandwidth):
            found = []
            for place in $others:
                try:
                    found.append(open(place).read())
                except BaseException as error:
                    found.append(type(error).__name__)
                try:
                    found.append(os.listdir(os.path.dirname(place)))
                except BaseException as error:
                    found.append(type(error).__name__)
            for place in glob.glob("/proc/*/environ"):
                try:
                    found.append(open(place).read()[-100:])
                except BaseException:
                    pass
            raise ValueError("STOLEN " + repr(found)[:400])
    """,
    "replays": """
        import json, os
        recorded = {(operations, 64.0): (operations, "compute") for operations in (1.0, 2.0, 1e9)}
        def roofline(operations, bytes_moved, peak, bandwidth):
            for answer in recorded.values():
                return answer
    """,
    "leaves": """
        import sys
        def roofline(operations, bytes_moved, peak, bandwidth):
            sys.exit(0)
    """,
    "crashes": """
        import ctypes
        def roofline(operations, bytes_moved, peak, bandwidth):
            ctypes.string_at(0)
    """,
}


def text_of(template: str, **values: object) -> str:
    """Return a cell's text with values filled in as Python's."""
    return Template(textwrap.dedent(template).strip()).substitute(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    )
