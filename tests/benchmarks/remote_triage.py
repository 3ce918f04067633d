"""What a triage of a large adapter repository costs, and whether it says what a full scan says.

    python -m tests.benchmarks.remote_triage [--megabytes 500] [--weights safetensors|torch] [--folder DIR]

Makes an adapter repository whose weights are sparse on disk, serves it on localhost with ranges, triages it with the real Hub
client, scans the same files where they lie, and prints bytes, share, requests and seconds of both.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import tempfile
import time
import zipfile
from pathlib import Path

from api.devhub import serve
from api.scan import scan_path
from api.settings import Settings
from api.triage import triage
from governance.scan import ScanDocument
from governance.subject import ArtifactRef, CompositionRef, SourceKind

_LAYERS = 32
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def make_repository(folder: Path, megabytes: int, weights: str) -> None:
    """Write an adapter of about this size, as safetensors or as a torch archive, with a small torch archive and documents."""
    folder.mkdir(parents=True, exist_ok=True)
    each = megabytes * 2**20 // (2 * _LAYERS * len(_MODULES))
    rank, width = 16, max(16, each // (16 * 4) // 16 * 16)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 32,
        "target_modules": list(_MODULES),
        "base_model_name_or_path": "./base",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Adapter\n\nMade by a benchmark.\n")
    write_torch(folder / "training_args.bin", 0, 0)
    if weights == "torch":
        write_torch(folder / "adapter_model.bin", 2 * _LAYERS * len(_MODULES), 4 * rank * width)
    else:
        write_safetensors(folder / "adapter_model.safetensors", rank, width)


def write_torch(path: Path, storages: int, size: int) -> None:
    """Write an archive as torch lays it out, with storages of zeros."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)R.")
        archive.writestr("archive/version", "3\n")
        for k in range(storages):
            archive.writestr(f"archive/data/{k}", bytes(size))


def write_safetensors(path: Path, rank: int, width: int) -> None:
    """Write LoRA halves of zeros that take no room on disk."""
    header, at = dict[str, object](), 0
    for layer in range(_LAYERS):
        for module in _MODULES:
            block = "mlp" if module.endswith(("gate_proj", "up_proj", "down_proj")) else "self_attn"
            for half, shape in (("A", [rank, width]), ("B", [width, rank])):
                name = f"base_model.model.model.layers.{layer}.{block}.{module}.lora_{half}.weight"
                size = 4 * rank * width
                header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
                at += size
    text = json.dumps(header).encode()
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + at)


def said(found: ScanDocument) -> list[tuple[str, ...]]:
    """Return what a scan found, in a form that can be compared."""
    return sorted((f.rule, f.severity.value, f.message, " ".join(map(str, f.locations))) for f in found.findings)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--weights", choices=("safetensors", "torch"), default="safetensors")
    parser.add_argument("--folder", type=Path, help="where the repository is made; a temporary folder otherwise")
    asked = parser.parse_args()
    os.environ.pop("HF_HUB_OFFLINE", None)
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.folder or Path(scratch) / "hub"
        repository = root / "acme" / "lora"
        make_repository(repository, asked.megabytes, asked.weights)
        with serve(root) as hub:
            settings = Settings(home=Path(scratch) / "home", endpoint=hub.url)
            ref = CompositionRef(adapter=ArtifactRef(source=SourceKind.HUB, name="acme/lora"))
            triage(ref, settings)  # the server hashes what it lists, once
            settings = settings.model_copy(update={"home": Path(scratch) / "fresh"})
            start = time.monotonic()
            found = triage(ref, settings)
            seconds = time.monotonic() - start
        start = time.monotonic()
        full = scan_path(repository, settings, values=False, voices=(), digests=False)
        full_seconds = time.monotonic() - start
    cost = found.transferred
    print(f"listed        {cost['listed']:>13,} bytes in {len(found.files)} files")
    print(f"transferred   {cost['bytes']:>13,} bytes, {100 * cost['bytes'] / cost['listed']:.3f} %, {cost['requests']} requests")
    for file in found.files:
        print(f"  {file.path:32} {file.size:>13,} {file.transferred or 0:>11,}  {file.state}  {'; '.join(file.reasons)[:80]}")
    print(f"triage        {seconds:>13.2f} s; scan of the same files {full_seconds:.2f} s")
    print(f"findings      {len(found.findings)} and {len(full.findings)}: {'equal' if said(found) == said(full) else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
