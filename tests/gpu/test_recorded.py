"""The emulator against what GPUs counted: the recordings in tests/gpu/recorded, kernel by kernel.

Every difference fails unless it is explained here; an explanation that explains nothing fails, too.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu.compare import KINDS, Difference, Place, differences, emulated, recorded
from benchmarks.gpu.launch import checksum
from benchmarks.gpu.plan import Array, read_launch
from benchmarks.gpu.record import RECORDED, SCHEMA, opcode

RECORDINGS = sorted(RECORDED.glob("*/*.json"))
#: Why a figure differs, by recording ("h200/shared.read_128") and figure ("shared load wavefronts").
#: What `must_agree` names is not excused by standing here.
EXPLAINED: dict[tuple[str, str], str] = {}


@pytest.mark.skipif(not RECORDINGS, reason="no hardware recording yet")
@pytest.mark.parametrize(
    "path", RECORDINGS or [None], ids=lambda path: path and f"{path.parent.name}/{path.stem}"
)
def test_emulator_agrees_with_the_gpu(path: Path) -> None:
    from tinytorch.gpu.launch import Argument
    from tinytorch.gpu.ptx.parser import parse
    from tinytorch.gpu.ptx.run import run

    recording = json.loads(path.read_text())
    assert recording["schema"] == SCHEMA
    assert recording["machine"]["provenance"] == "hardware"
    key = f"{path.parent.name}/{path.stem}"
    kernel = parse((path.parent / f"{recording['module']}.ptx").read_text()).kernel(recording["kernel"])
    unexplained, met = [], set()
    for told in recording["launches"]:
        counted = {name: told.pop(name) for name in ("checksums", "counters", "totals")}
        launch = read_launch({**told, "module": recording["module"], "kernel": recording["kernel"]})
        arguments = [Argument(one.name, one.make()) for one in launch.arguments]
        done = run(kernel, launch.grid, launch.block, arguments, shared=launch.shared)
        for name in (a.name for a in launch.arguments if isinstance(a, Array) and a.written):
            assert checksum(done.arrays[name]) == counted["checksums"][name], f"{launch.name}: {name} differs"
        hardware = recorded(recording["instructions"], counted["counters"])
        for one in differences(hardware, emulated(done.accesses)):
            figure = f"{one.place.space} {one.place.kind} {one.what}"
            met.add((key, figure))
            if (key, figure) not in EXPLAINED or must_agree(one, recording["instructions"]):
                unexplained.append(
                    f"{launch.name}: {one.place}: {one.what} {one.hardware}, ours {one.emulated}"
                )
    assert not unexplained, "\n".join(unexplained)
    assert {pair for pair in EXPLAINED if pair[0] == key} <= met, "an explanation explains nothing"


def must_agree(one: Difference, instructions: Sequence[Sequence[Any]]) -> bool:
    """Say whether no explanation may excuse this: sectors, and wavefronts of up to 32 bits a lane."""
    if one.place.kind == "atomic" or one.what == "lanes":
        return False
    there = [sass for _, sass, file, line in instructions if (file, line) == (one.place.file, one.place.line)]
    shared = [sass for sass in there if (one.place.space, one.place.kind) in KINDS.get(opcode(sass), ())]
    return one.what == "sectors" or not any(re.search(r"\.(64|128)\b|LDSM|STSM", sass) for sass in shared)


def test_what_must_agree() -> None:
    table = [
        [0, "@P0 LDS.64 R2, [R4]", "k.cu", 3],
        [16, "LDS R2, [R4]", "k.cu", 4],
        [32, "STS R2", "k.cu", 3],
    ]
    narrow, wide = Place("k.cu", 4, "shared", "load"), Place("k.cu", 3, "shared", "load")
    assert must_agree(Difference(narrow, "wavefronts", 1, 2), table)
    assert not must_agree(Difference(wide, "wavefronts", 1, 2), table)
    assert must_agree(Difference(Place("k.cu", 3, "shared", "store"), "wavefronts", 1, 2), table)
    assert must_agree(Difference(Place("k.cu", 9, "global", "load"), "sectors", 1, 2), table)
    assert not must_agree(Difference(Place("k.cu", 9, "global", "load"), "lanes", 1, 2), table)
