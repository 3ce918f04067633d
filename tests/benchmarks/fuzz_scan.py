"""Throw broken files at every scanner: no exception, no more than 10 s of processor time, no more than 1 GB for any of them.

    python -m tests.benchmarks.fuzz_scan --minutes 30 [--workers 2] [--corpus CORPUS] [--seed N] [--keep FOLDER]

Inputs are mutations of seeds (the recipes of ``tests/cases``, and a corpus if one is given) and files from grammars: pickles of
random opcodes, archives, safetensors and GGUF headers, JSON, templates. An input that breaks a promise is kept with its reason; it
becomes a case. Scanners run in this program's own workers, below the memory limit, so that a crash has a trace.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import multiprocessing
import pickletools
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

import scanners
from governance.context import RunContext
from governance.contracts import Scanner, Voice
from governance.plugins import discover
from governance.store import Store
from governance.subject import Composition
from tests.builders_adapters import composition
from tests.recipes import cook, opcode

_SECONDS, _BYTES = 10, 1 << 30
_NAMES = (
    "adapter_model.bin", "adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "tokenizer_config.json",
    "model.gguf",    "README.md", "chat_template.jinja", "config.json", "modeling.py", "model.onnx", "model.keras",
    "weights.h5", "a.npz", "a.tar",
    "training_args.bin", "saved_model.pb", "flax_model.msgpack", "a.zip", "run.sh", "tokenizer.model", "notes.ipynb", "x",
)  # fmt: skip
_MAGICS = (
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"GGUF\x03\x00\x00\x00", b"\x80\x04", b"\x80\x02",
    b"\x93NUMPY\x01\x00",    b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x7fELF", b"\x89HDF\r\n\x1a\n", b"{",
    b"ustar", b"\xff" * 8, b"\x00" * 8, b"TFL3",
)  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """One promise that was not kept."""

    why: str
    name: str
    data: bytes


def seeds(corpus: Path | None) -> list[bytes]:
    """Return files to begin with."""
    found: list[bytes] = []
    for path in sorted((Path(__file__).parents[1] / "cases").glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            for recipe in (case["args"].get("adapter") or {}).values() if case["build"] == "files" else ():
                try:
                    found.append(cook(recipe)[: 1 << 18])
                except Exception:  # noqa: BLE001 - a recipe that is no file is no seed
                    continue
    if corpus is not None:
        found += [p.read_bytes()[: 1 << 18] for p in sorted(corpus.rglob("*")) if p.is_file() and not p.is_symlink()]
    return found


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file with a few things wrong."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(8):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 8, 64)))
            case 2:
                del out[at : at + rng.choice((1, 4, 16, 256, 4096))]
            case 3:
                out[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(out), 65536)))
            case 4:
                out[at : at + 8] = struct.pack("<Q", rng.choice((0, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1, len(out))))
            case 5:
                piece = out[at : at + rng.choice((8, 64, 512))]
                out[at:at] = piece * rng.choice((1, 2, 50))
            case 6:
                out[at:at] = rng.choice(_MAGICS)
            case _:
                out = out[:at] if rng.random() < 0.5 else out[at:]
    return bytes(out[: 1 << 20])


def pickle_of(rng: random.Random) -> bytes:
    """Return opcodes at random, most of them with arguments that parse."""
    words = (
        "os",
        "system",
        "torch",
        "_utils",
        "builtins",
        "eval",
        "collections",
        "OrderedDict",
        "a.b.c",
        "numpy",
        "dtype",
        "é",
        "",
    )
    out = bytearray(b"\x80" + bytes([rng.randrange(6)]) if rng.random() < 0.8 else b"")
    codes = [op.name for op in pickletools.opcodes]
    for _ in range(rng.randrange(1, 60)):
        name = rng.choice(codes)
        arg = next(op for op in pickletools.opcodes if op.name == name).arg
        value: object = None
        if arg is not None:
            value = f"{rng.choice(words)} {rng.choice(words)}" if arg.name == "stringnl_noescape_pair" else str(rng.randrange(256))
            if arg.name.startswith(("string", "unicode", "bytes")) and "pair" not in arg.name:
                value = rng.choice(words)
        try:
            out += opcode(name, value)
        except (ValueError, struct.error, OverflowError, KeyError):
            continue
    return bytes(out + (b"." if rng.random() < 0.8 else b""))


def archive_of(rng: random.Random, inner: Callable[[random.Random], bytes]) -> bytes:
    """Return a zip of random members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for index in range(rng.randrange(1, 6)):
            name = rng.choice(("data.pkl", "a/data.pkl", "a/data/0", "config.json", "x.npy", "../x", "a/code/m.py")) + str(
                index or ""
            )
            archive.writestr(name, inner(rng)[: 1 << 16])
    return out.getvalue()


def header_of(rng: random.Random) -> bytes:
    """Return a safetensors file whose header is nearly right."""
    tensors: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for index in range(rng.randrange(6)):
        shape = [rng.choice((0, 1, 2, 3, 8, 2**31, 2**63, -1)) for _ in range(rng.randrange(4))]
        end = at + rng.choice((0, 4, 8, 64, 2**40))
        tensors[f"base_model.model.layers.{index}.lora_{rng.choice('AB')}.weight"] = {
            "dtype": rng.choice(("F32", "BF16", "F16", "U8", "F4", "X", 3)), "shape": shape, "data_offsets": [at, end],
        }  # fmt: skip
        at = end if rng.random() < 0.8 else 0
    text = mutated(json.dumps(tensors).encode(), rng) if rng.random() < 0.3 else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if rng.random() < 0.8 else rng.randrange(1 << 20)) + text + bytes(min(at, 1 << 16))


def gguf_of(rng: random.Random) -> bytes:
    """Return a GGUF file whose tables are nearly right."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", rng.choice((1, 2, 3, 4)), rng.randrange(4), rng.randrange(6)))
    for _ in range(rng.randrange(6)):
        key = rng.choice((b"general.architecture", b"tokenizer.chat_template", b"general.alignment", b"tokenizer.ggml.tokens"))
        out += struct.pack("<Q", len(key)) + key
        kind = rng.randrange(14)
        out += struct.pack("<I", kind)
        if kind == 8:
            text = rng.choice((b"{{ messages }}", b"{% for m in messages %}{{ m.content }}{% endfor %}", rng.randbytes(20)))
            out += struct.pack("<Q", len(text)) + text
        elif kind == 9:
            out += struct.pack("<IQ", rng.randrange(13), rng.choice((0, 1, 3, 1 << 40))) + rng.randbytes(24)
        else:
            out += rng.randbytes((1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8, 8)[kind])
    return bytes(out) + rng.randbytes(rng.randrange(200))


def json_of(rng: random.Random, depth: int = 0) -> object:
    """Return a random JSON value with keys loaders act on."""
    keys = ("auto_map", "peft_type", "r", "target_modules", "chat_template", "added_tokens", "model", "vocab", "normalizer",
            "rank_pattern", "base_model_name_or_path", "id", "content", "type", "merges", "class_name", "config",
            "lora_alpha", "cells", "source")  # fmt: skip
    leaves = (
        None,
        True,
        0,
        -1,
        1e308,
        2**70,
        "LORA",
        "a" * 300,
        "../../x",
        "(a+)+$",
        "x--y.Z",
        [],
        {},
        "{{ 7 }}",
        "https://example.invalid",
    )
    if depth > 4 or rng.random() < 0.3:
        return rng.choice(leaves)
    if rng.random() < 0.3:
        return [json_of(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {rng.choice(keys): json_of(rng, depth + 1) for _ in range(rng.randrange(8))}


def template_of(rng: random.Random) -> bytes:
    """Return statements and expressions of a template, most of them closed."""
    parts = ("{{", "}}", "{%", "%}", " for m in messages ", " endfor ", " if m.content ", " endif ", " set x = ",
    "range(10**9)", "|join",
             "[0]", "'a' * 10**9", "~", "namespace(a=1)", "|attr('__class__')", " macro f(a) ", " endmacro ", "(", ")", "x.y",
             "'", '"', "#", "{#")  # fmt: skip
    return "".join(rng.choice(parts) for _ in range(rng.randrange(1, 80))).encode()


def inputs(rng: random.Random, begin: Sequence[bytes]) -> Iterator[bytes]:
    """Yield files without end."""
    made: tuple[Callable[[], bytes], ...] = (
        lambda: pickle_of(rng),
        lambda: archive_of(rng, pickle_of),
        lambda: header_of(rng),
        lambda: gguf_of(rng),
        lambda: json.dumps(json_of(rng)).encode(),
        lambda: json.dumps({"chat_template": template_of(rng).decode()}).encode(),
        lambda: template_of(rng),
        lambda: archive_of(rng, lambda r: json.dumps(json_of(r)).encode()),
    )
    while True:
        if rng.random() < 0.6:
            yield mutated(rng.choice(begin), rng)
        elif rng.random() < 0.7:
            yield rng.choice(made)()
        else:
            yield mutated(rng.choice(made)(), rng)


def _work(seed: int, minutes: float, corpus: Path | None, said: multiprocessing.Queue[Broken | tuple[int, float]]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES + (1 << 30), _BYTES + (1 << 30)))  # the interpreter's own gigabyte of addresses
    rng, begin = random.Random(seed), seeds(corpus)
    plugins = [p for p in discover(scanners, Scanner).values() if not isinstance(p, Voice)]
    until, done, slowest = time.monotonic() + 60 * minutes, 0, 0.0
    for data in inputs(rng, begin):
        if time.monotonic() > until:
            break
        name = rng.choice(_NAMES)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            ctx = RunContext(run_id="fuzz", on=datetime(2026, 11, 24, tzinfo=UTC), store=Store(Path(folder)))
            made = composition({name: data, "adapter_config.json": b'{"peft_type": "LORA", "r": 8}'} | {name: data}, None, ctx)
            start = time.process_time()
            for plugin in plugins:
                why = _asked(plugin, made, ctx)
                if why:
                    said.put(Broken(f"{plugin.id}: {why}", name, data))
            slowest = max(slowest, time.process_time() - start)
        done += 1
    said.put((done, slowest))


def _asked(plugin: Scanner, made: Composition, ctx: RunContext) -> str:
    """Return how a scanner broke its promise over a composition, or nothing."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    signal.alarm(12 * _SECONDS)
    try:
        declared = {d.id for d in plugin.declares}
        for fact in plugin.scan(made, ctx) if plugin.wants(made) else ():
            if getattr(fact, "rule", None) is not None and fact.rule not in declared:  # type: ignore[union-attr]
                return f"undeclared rule {fact.rule}"  # type: ignore[union-attr]
    except _TooLongError:
        return f"more than {_SECONDS} s of processor time, or {12 * _SECONDS} s: {traceback.format_exc(limit=-3)}"
    except MemoryError:
        return f"more than {_BYTES >> 20} MB: {traceback.format_exc(limit=-3)}"
    except Exception:  # noqa: BLE001 - any exception is what this program looks for
        return traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return f"memory grew by {grown} MB" if grown > _BYTES >> 20 else ""


class _TooLongError(Exception):
    """Raised by the alarm."""


def _ring(number: int, frame: object) -> None:
    raise _TooLongError


def main() -> int:
    """Run the workers, print what broke, and exit 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each worker")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="further seeds: every file below this folder")
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument("--keep", type=Path, help="write inputs that broke something here")
    asked = parser.parse_args()
    for kind in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(kind, _ring)
    said: multiprocessing.Queue[Broken | tuple[int, float]] = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=_work, args=(asked.seed + k, asked.minutes, asked.corpus, said))
        for k in range(asked.workers)
    ]
    for worker in workers:
        worker.start()
    broken, done, slowest, ended = collections.Counter[str](), 0, 0.0, 0
    while ended < len(workers) and (any(w.is_alive() for w in workers) or not said.empty()):
        try:
            one = said.get(timeout=1)
        except Exception:  # noqa: BLE001 - nothing was said yet
            continue
        if isinstance(one, tuple):
            done, slowest, ended = done + one[0], max(slowest, one[1]), ended + 1
            continue
        reason = one.why.strip().splitlines()
        key = f"{reason[0][:120]} … {reason[-1][:160]}"
        broken[key] += 1
        if broken[key] == 1:
            print(f"{one.name} ({len(one.data)} bytes): {one.why}\n", flush=True)
            if asked.keep:
                asked.keep.mkdir(parents=True, exist_ok=True)
                (asked.keep / f"{len(broken):04}-{one.name}").write_bytes(one.data)
    died = sum(1 for w in workers if w.exitcode not in (0, None))
    print(f"{done:,} inputs, {sum(broken.values())} broken promises of {len(broken)} kinds, {died} "
          f"workers died, slowest {slowest:.2f} s, {asked.workers} × {asked.minutes:g} minutes, seed {asked.seed}")  # fmt: skip
    return 1 if broken or died else 0


if __name__ == "__main__":
    sys.exit(main())
