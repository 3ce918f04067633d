"""Seconds and peak memory of whole scans, ours beside other scanners on the same files in one run.

    python -m tests.benchmarks.scan_speed SCRATCH [--peers HOME] [--runs N] [--only small|safetensors|torch]

Makes 1,000 small files (400 torch archives, 300 pickles, 200 safetensors, 100 npz), one safetensors file and one torch archive of
1 GB below SCRATCH, then times each scanner as a whole process, in turn, and prints medians. Ours is ``curator scan`` in its static
profile, once as it is called by default (with digests) and once without.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import resource
import statistics
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.peers import PEERS, arguments, environment

_GIGABYTE = 1 << 30
_SEED = 20261125


def small_files(folder: Path) -> None:
    """Write 1,000 honest small files as their own writers would."""
    numbers = np.random.default_rng(_SEED)
    for index in range(400):
        _torch(folder / f"w{index:03}.pt", numbers.standard_normal(256 + index).astype("<f4").tobytes())
    for index in range(300):
        state = {"step": index, "names": [f"layer.{k}" for k in range(40)], "lr": 1e-4 * index}
        (folder / f"s{index:03}.pkl").write_bytes(pickle.dumps(state, protocol=2 + index % 4))
    for index in range(200):
        _safetensors(folder / f"a{index:03}.safetensors", 512 + index, numbers)
    for index in range(100):
        np.savez(folder / f"n{index:03}.npz", a=numbers.standard_normal(128), b=np.arange(index + 1))


def _torch(path: Path, data: bytes) -> None:
    """Write a torch archive of one float32 tensor, as ``torch.save`` lays it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{path.stem}/data.pkl", _tensor_pickle(len(data) // 4))
        archive.writestr(f"{path.stem}/data/0", data)
        archive.writestr(f"{path.stem}/version", "3\n")
    path.write_bytes(out.getvalue())


def _tensor_pickle(count: int) -> bytes:
    """Return the opcodes of ``{"w": <tensor>}``."""
    words = b"\x80\x02}q\x00X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    size = b"\x8a\x08" + struct.pack("<q", count)
    return (
        words
        + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + size
        + b"tQK\x00"
        + size
        + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
    )


def _safetensors(path: Path, count: int, numbers: np.random.Generator) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + numbers.standard_normal(count).astype("<f4").tobytes())


def big_safetensors(path: Path) -> None:
    """Write 1 GB of bfloat16 numbers in 256 tensors."""
    block = np.random.default_rng(_SEED).standard_normal(1 << 20).astype("<f4").tobytes()
    size = len(block)
    tensors = {
        f"model.layers.{k}.w": {"dtype": "F32", "shape": [1 << 20], "data_offsets": [k * size, (k + 1) * size]} for k in range(256)
    }
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        for _ in range(_GIGABYTE // size):
            out.write(block)


def big_torch(path: Path) -> None:
    """Write a torch archive with one storage of 1 GB."""
    block = np.random.default_rng(_SEED).standard_normal(1 << 20).astype("<f4").tobytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr("big/data.pkl", _tensor_pickle(_GIGABYTE // 4))
        with archive.open("big/data/0", "w", force_zip64=True) as out:
            for _ in range(_GIGABYTE // len(block)):
                out.write(block)
        archive.writestr("big/version", "3\n")


def timed(command: Sequence[str]) -> tuple[float, float, int]:
    """Return wall seconds, peak megabytes of the largest process, and exit code of one command."""
    start = time.monotonic()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), stdin=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - start, used.ru_maxrss / 1024, child.returncode


def _rows(path: Path, peers: Path | None) -> dict[str, list[str]]:
    curator = [str(Path(sys.executable).with_name("curator")), "scan", "-q", "--no-voices", "--format", "json"]
    ours = {
        "curator": [*curator, "--no-values", str(path)],
        "curator, no digests": [*curator, "--no-values", "--no-digests", str(path)],
    }
    ours["curator, every number"] = [*curator, str(path)]
    return ours | ({p.name: arguments(p, peers, path) for p in PEERS.values()} if peers else {})


def main() -> int:
    """Print one table for each workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("small", "safetensors", "torch"))
    asked = parser.parse_args()
    small = asked.scratch / "small"
    work = {"small": small, "safetensors": asked.scratch / "big.safetensors", "torch": asked.scratch / "big.pt"}
    if not small.is_dir():
        small.mkdir(parents=True)
        small_files(small)
        big_safetensors(work["safetensors"])
        big_torch(work["torch"])
    for name, path in work.items():
        if asked.only in (None, name):
            _table(name, path, asked.peers, asked.runs)
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


def _table(name: str, path: Path, peers: Path | None, runs: int) -> None:
    print(f"\n{name}: {path}")
    rows = _rows(path, peers)
    times: dict[str, list[tuple[float, float, int]]] = {label: [] for label in rows}
    for _ in range(runs):
        for label, command in rows.items():  # in turn, so that a slow minute hits all of them
            times[label].append(timed(command))
    for label, found in times.items():
        seconds = [f[0] for f in found]
        print(f"{label:24} {statistics.median(seconds):8.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
              f" {max(f[1] for f in found):7.0f} MB  exit {sorted({f[2] for f in found})}", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
