"""Our engine beside lm-eval's ``HFLM`` on the very same model object: seconds, tokens, and whether they say the same.

    python -m tests.benchmarks.eval_engine --base MODEL --data FOLDER [--adapters A B …] [--items 32] [--only NAME …] [--json OUT]

FOLDER holds JSON Lines as ``--data`` takes them: ``mmlu/*.test.jsonl`` with ``*.dev.jsonl``, ``contract_nli.test.jsonl`` and
others; what is missing is left out and said. Requests are made once and handed to both sides; sides take turns, and each is warmed
up. ``HFLM`` groups one-token choices, as it does by default, runs at ``--batch`` rows and takes its softmax in float32.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluators._runtime.worker import prepare

prepare()

import torch  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402

from evaluators._engine.lm import CuratorLM  # noqa: E402
from evaluators._engine.planner import plan  # noqa: E402
from evaluators._model import attaching, device, loading  # noqa: E402
from evaluators._model.adapter import Configuration  # noqa: E402
from evaluators._model.graft import Alone  # noqa: E402
from evaluators._model.resident import Resident, Which  # noqa: E402
from governance.context import Stopwatch  # noqa: E402

LETTERS = "ABCDEFGHIJ"
Requests = list[Instance]


def lines(path: Path, most: int | None = None) -> list[dict[str, Any]]:
    """Return the first objects of a JSON Lines file, compressed or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        return [json.loads(line) for _, line in zip(range(most or 10**9), stream, strict=False)]


def likely(context: str, choices: Sequence[str], doc: int) -> Requests:
    """Return one request for each choice."""
    return [Instance("loglikelihood", {}, (context, " " + c), i, ("task", doc, 1)) for i, c in enumerate(choices)]


def lettered(item: dict[str, Any]) -> str:
    listed = "\n".join(f"{LETTERS[i]}. {c}" for i, c in enumerate(item["choices"]))
    return f"{item['question'].strip()}\n{listed}\nAnswer:"


def few_shot(data: Path, items: int) -> Requests:
    """Five examples before each question, two subjects: one header for many items, one-token choices."""
    found: Requests = []
    for path in sorted((data / "mmlu").glob("*.test.jsonl*"))[:2]:
        name = path.name.split(".test.")[0]
        shots = "\n\n".join(f"{lettered(d)} {LETTERS[int(d['answer'])]}" for d in lines(data / "mmlu" / f"{name}.dev.jsonl", 5))
        head = f"The following are multiple choice questions (with answers) about {name.replace('_', ' ')}.\n\n{shots}\n\n"
        for number, item in enumerate(lines(path, items // 2)):
            found += likely(head + lettered(item), LETTERS[: len(item["choices"])], number)
    return found


def contracts(data: Path, items: int) -> Requests:
    """Many statements about one document, of which 4,000 characters are read."""
    found: Requests = []
    for item in lines(data / "contract_nli.test.jsonl", max(1, items // 16)):
        for number, said in enumerate(item["hypotheses"]):
            question = f"{item['text'][:4000].strip()}\n\nQuestion: {said['hypothesis'].strip()} True, False or Neither?\nAnswer:"
            found += likely(question, ("True", "False", "Neither"), number)
    return found


def unique(data: Path, items: int) -> Requests:
    """Questions that share nothing, one-token choices."""
    return [r for n, item in enumerate(lines(data / "medqa_us.test.jsonl", items))
            for r in likely("Question: " + lettered(item), LETTERS[: len(item["choices"])], n)]  # fmt: skip


def long_choices(data: Path, items: int) -> Requests:
    """Choices that are sentences."""
    return [r for n, item in enumerate(lines(data / "truthfulqa.jsonl", items))
            for r in likely(f"Q: {item['question'].strip()}\nA:", item["mc1_targets"]["choices"], n)]  # fmt: skip


def passages(data: Path, items: int) -> Requests:
    """Several questions about one passage."""
    found: Requests = []
    for number, item in enumerate(lines(data / "lsat_rc.test.jsonl", items)):
        found += likely(f"{item.get('passage', '').strip()}\n\n{lettered(item)}", LETTERS[: len(item["choices"])], number)
    return found


def rolling(data: Path, items: int) -> Requests:
    """Whole texts."""
    texts = [item["text"][:1500] for item in lines(data / "contract_nli.test.jsonl", max(2, items // 8))]
    return [Instance("loglikelihood_rolling", {}, (t,), 0, ("task", n, 1)) for n, t in enumerate(texts)]


def written(data: Path, items: int) -> Requests:
    """Eight worked examples before each question; the answer is written, 24 tokens at most."""
    shots = "\n\n".join(f"Question: {s['question']}\nAnswer: {s['answer']}" for s in lines(data / "gsm8k.shots.jsonl", 8))
    settings = {"until": ["Question:", "\n\n"], "max_gen_toks": 24, "do_sample": False}
    asked = lines(data / "gsm8k.test.jsonl", max(4, items // 4))
    return [Instance("generate_until", {}, (f"{shots}\n\nQuestion: {q['question']}\nAnswer:", settings), 0, ("task", n, 1))
            for n, q in enumerate(asked)]  # fmt: skip


TASKS: dict[str, Callable[[Path, int], Requests]] = {
    "few-shot": few_shot, "contracts": contracts, "unique": unique, "long-choices": long_choices, "passages": passages,
    "rolling": rolling, "generation": written,
}  # fmt: skip


def opened(base: Path) -> Resident:
    """Return the base in four bits, as the worker would hold it."""
    from transformers import AutoTokenizer

    chosen = device.choose("auto")
    model = loading.load_base(base, chosen)
    tokenizer = AutoTokenizer.from_pretrained(str(base), local_files_only=True)
    tokenizer.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    longest = min(int(model.config.max_position_embeddings), 8192)
    return Resident(
        tokenizer=tokenizer, device=chosen, kernel_path=chosen.kernel_path, versions=device.versions(), max_length=longest,
        eos=frozenset({int(tokenizer.eos_token_id)}), _pair=Alone(model), _keys={"base": "base", "adapter": "adapter"},
    )  # fmt: skip


@contextmanager
def laid_on(model: Resident, adapter: Path | None) -> Iterator[Which]:
    """Lay an adapter on the base for a while."""
    if adapter is None:
        yield "base"
        return
    from safetensors.torch import load_file

    said = json.loads((adapter / "adapter_config.json").read_text())
    bare = model._pair
    fields = {k: said[k] for k in ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora") if said.get(k) is not None}
    model._pair = attaching.attach(bare.model, Configuration("LORA", fields), load_file(adapter / "adapter_model.safetensors"))
    try:
        yield "adapter"
    finally:
        model._pair.detach()
        model._pair = bare


def theirs(model: Resident, batch: int) -> Any:
    """Return lm-eval's own runner around the same model object."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=model._pair.model, tokenizer=model.tokenizer, batch_size=batch, max_length=model.max_length,
        softmax_dtype="float32", device=model.device.kind,
    )  # fmt: skip


def ask(lm: Any, requests: Requests) -> list[Any]:
    """Return the answers of either side."""
    kind = requests[0].request_type
    return list(getattr(lm, kind)(requests, disable_tqdm=True))


def their_tokens(lm: Any, requests: Requests) -> int:
    """Return the tokens HFLM encodes for log-likelihoods: one row for equal inputs of one-token choices, else one for each."""
    if requests[0].request_type != "loglikelihood":
        return sum(len(lm.tok_encode(str(r.args[0]))) for r in requests)
    rows: set[tuple[int, ...]] = set()
    more = 0
    for r in requests:
        before, after = lm._encode_pair(*r.args)
        if len(after) == 1:
            rows.add(tuple(before))
        else:
            more += len(before) + len(after) - 1
    return more + sum(map(len, rows))


def our_tokens(model: Resident, requests: Requests) -> int | None:
    """Return the tokens our plan encodes."""
    lm = CuratorLM(model, "base")
    if requests[0].request_type == "generate_until":
        return None
    spans = [
        s for r in requests for s in (lm._windows(str(r.args[0])) if r.request_type.endswith("rolling") else [lm._span(*r.args)])
    ]
    return plan(spans, model).tokens


def agreement(requests: Requests, ours: list[Any], other: list[Any]) -> dict[str, Any]:
    """Return how far two lists of answers say the same."""
    kind = requests[0].request_type
    if kind == "generate_until":
        return {"same text": statistics.mean(a == b for a, b in zip(ours, other, strict=True)), "items": len(ours)}
    sums = [[a[0] if isinstance(a, tuple) else a for a in x] for x in (ours, other)]
    gaps = sorted(abs(a - b) for a, b in zip(*sums, strict=True))
    found = {"median gap": gaps[len(gaps) // 2], "p99 gap": gaps[int(0.99 * (len(gaps) - 1))], "answers": len(gaps)}
    if kind == "loglikelihood":
        found["same greedy flag"] = statistics.mean(a[1] == b[1] for a, b in zip(ours, other, strict=True))
        docs: dict[tuple[int, str], list[int]] = {}
        for i, r in enumerate(requests):
            docs.setdefault((r.metadata[1] or 0, str(r.args[0])), []).append(i)
        picks = [[max(group, key=lambda i, x=x: x[i]) for group in docs.values()] for x in sums]
        found["same choice"] = statistics.mean(a == b for a, b in zip(*picks, strict=True))
        found["items"] = len(docs)
        found["mismatches"] = [
            {"margin ours": _margin(sums[0], group), "margin theirs": _margin(sums[1], group)}
            for group, a, b in zip(docs.values(), *picks, strict=True) if a != b
        ][:20]  # fmt: skip
    else:
        found["largest relative gap"] = max(abs(a - b) / abs(b) for a, b in zip(*sums, strict=True))
    return found


def _margin(sums: Sequence[float], group: Sequence[int]) -> float:
    first, second = sorted((sums[i] for i in group), reverse=True)[:2]
    return round(first - second, 4)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, nargs="*", default=[])
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16, help="rows of a batch of HFLM")
    parser.add_argument("--only", nargs="*", choices=tuple(TASKS), default=list(TASKS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    model = opened(asked.base)
    print(f"{model.kernel_path}; {torch.get_num_threads()} threads; HFLM at {asked.batch} rows")
    rows: list[dict[str, Any]] = []
    for name in asked.only:
        try:
            requests = TASKS[name](asked.data, asked.items)
        except OSError as error:
            print(f"{name}: left out: {error}")
            continue
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        said: dict[str, Any] = {}
        for turn, adapter in enumerate([None, *asked.adapters]):
            with laid_on(model, adapter) as which:
                sides = {"ours": CuratorLM(model, which), "theirs": theirs(model, asked.batch)}
                if turn == 0:
                    for lm in sides.values():
                        ask(lm, requests[:4])
                order = ("ours", "theirs") if turn % 2 else ("theirs", "ours")
                with model.use(which):
                    for side in order:
                        watch = Stopwatch()
                        said[side] = ask(sides[side], requests)
                        seconds[side].append(watch.seconds)
                if turn == 0:
                    said["again"] = ask(theirs(model, max(1, asked.batch // 4)), requests)
                    first = agreement(requests, said["ours"], said["theirs"])
                    noise = agreement(requests, said["again"], said["theirs"])
                    counted = their_tokens(sides["theirs"], requests), our_tokens(model, requests)
        row = {
            "task": name,
            "requests": len(requests),
            "models": 1 + len(asked.adapters),
            "seconds ours": round(sum(seconds["ours"]), 2),
            "seconds theirs": round(sum(seconds["theirs"]), 2),
            "ratio": round(sum(seconds["theirs"]) / sum(seconds["ours"]), 2),
            "tokens theirs": counted[0],
            "tokens ours": counted[1],
            "token limit": round(counted[0] / counted[1], 2) if counted[1] else None,
            "parity": first,
            "HFLM at another batch size": noise,
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    total = {s: sum(r[f"seconds {s}"] for r in rows) for s in ("ours", "theirs")}
    ratio = total["theirs"] / total["ours"]
    print(f"all tasks, {1 + len(asked.adapters)} models: {total['theirs']:.1f} s beside {total['ours']:.1f} s: {ratio:.2f}x")
    if asked.json:
        asked.json.write_text(json.dumps({"kernel path": model.kernel_path, "versions": model.versions, "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
