"""How many of the 41 automatable minimum elements of the G7 paper (2026-05-12) a CycloneDX document reaches, and why not more.

    python -m tests.benchmarks.bom_score                    # the three demo adapters, inspected without loading a model
    python -m tests.benchmarks.bom_score FILE …             # any CycloneDX JSON documents
    python -m tests.benchmarks.bom_score --samples          # the sample scorecards of the tests
    … --system NAME --supplier NAME --hardware NAME         # what a person would answer
    … --envelope FILE                                       # a DSSE envelope that names the document's digest

The denominator is fixed. A field that holds a word which says nothing counts as empty; a field whose absence has a reason
counts as absent, not as reached. Models and data are looked for at the root, among components and nested: where a tool puts
them is its own affair. It judges completeness, not truth.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports._bom.tree import each_component, items
from reports._bom.values import is_filler

ROOT = Path(__file__).parents[2]
ADAPTERS = ("clean", "forgetful", "backdoored")
BASE = ROOT / ".curator" / "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Bom:
    """A document, and ways to look into it."""

    document: dict[str, Any]
    envelope: bytes | None = None
    raw: bytes = b""

    @property
    def metadata(self) -> dict[str, Any]:
        return self.document.get("metadata") or {}

    @property
    def root(self) -> dict[str, Any]:
        return self.metadata.get("component") or {}

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [c for _, c in each_component(self.document) if c.get("type") in kinds]

    @property
    def models(self) -> list[dict[str, Any]]:
        return self.of("machine-learning-model")

    @property
    def data(self) -> list[dict[str, Any]]:
        return [c for c in self.of("data") if any(d.get("type") == "dataset" for d in items(c.get("data")))]

    @property
    def tools(self) -> list[dict[str, Any]]:
        tools = self.metadata.get("tools") or {}
        return items(tools.get("components")) if isinstance(tools, dict) else items(tools)

    def signed(self) -> bool:
        if self.document.get("signature"):
            return True
        if not self.envelope:
            return False
        statement = base64.b64decode(json.loads(self.envelope)["payload"]).decode()
        return hashlib.sha256(self.raw).hexdigest() in statement

    def absence(self, *names: str) -> str:
        """Return the reason a property gives for what is not there."""
        holders = [self.metadata, *self.models, *self.data, self.root]
        for p in (p for h in holders for p in items(h.get("properties"))):
            if any(p.get("name", "").endswith(f"absent:{n}") for n in names):
                return str(p["value"])
        return ""


def told(value: Any) -> bool:
    """Return whether a value says something."""
    if isinstance(value, dict):
        return any(told(v) for v in value.values())
    if isinstance(value, list):
        return any(told(v) for v in value)
    return value not in (None, "") and not is_filler(value)


def every(holders: list[dict[str, Any]], field: Callable[[dict[str, Any]], Any]) -> bool:
    return bool(holders) and all(told(field(h)) for h in holders)


def first(holders: list[dict[str, Any]], field: Callable[[dict[str, Any]], Any]) -> bool:
    return any(told(field(h)) for h in holders)


def has(component: dict[str, Any], prefix: str) -> bool:
    return any(
        prefix in p.get("name", "") and told(p.get("value"))
        for p in items(component.get("properties"))
        if "absent:" not in p.get("name", "")
    )


def parameters(component: dict[str, Any]) -> dict[str, Any]:
    return (component.get("modelCard") or {}).get("modelParameters") or {}


def metrics(bom: Bom) -> Iterator[Any]:
    for m in bom.models:
        yield from ((m.get("modelCard") or {}).get("quantitativeAnalysis") or {}).get("performanceMetrics") or ()


def training(m: dict[str, Any]) -> bool:
    p = parameters(m)
    return told(p.get("architectureFamily")) and told(p.get("modelArchitecture")) and bool(p.get("datasets") or p.get("approach"))


def senses(m: dict[str, Any]) -> bool:
    return told(parameters(m).get("inputs")) and told(parameters(m).get("outputs"))


def contents(c: dict[str, Any]) -> list[Any]:
    return [(d.get("contents") or {}).get("properties") for d in items(c.get("data"))]


def licensed(c: dict[str, Any]) -> bool:
    """Return whether something is said of the license; for the adapter, both what is declared and what is concluded."""
    return told(
        [e.get("license", e).get("id") or e.get("license", e).get("name") or e.get("expression") for e in items(c.get("licenses"))]
    )


def linked_data(bom: Bom) -> bool:
    refs = {c.get("bom-ref") for c in bom.data}
    return any(refs & set(d.get("dependsOn") or ()) for d in items(bom.document.get("dependencies")))


Check = Callable[[Bom], bool]
ELEMENTS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("SBOM author", lambda b: told(b.metadata.get("supplier")) or told(b.metadata.get("authors")), ("supplier",)),
    ("SBOM version", lambda b: told(b.document.get("version")), ()),
    ("format name", lambda b: told(b.document.get("bomFormat")), ()),
    ("format version", lambda b: told(b.document.get("specVersion")), ()),
    ("author signature", lambda b: b.signed(), ("signature",)),
    ("tool name", lambda b: every(b.tools, lambda t: t.get("name")), ()),
    ("tool version", lambda b: every(b.tools, lambda t: t.get("version")), ()),
    ("generation context", lambda b: told(b.metadata.get("lifecycles")) or has(b.metadata, "generationContext"), ()),
    ("SBOM timestamp", lambda b: told(b.metadata.get("timestamp")), ()),
    ("dependency relationship", lambda b: first(items(b.document.get("dependencies")), lambda d: d.get("dependsOn")), ()),
    ("system name", lambda b: b.root.get("type") == "application" and told(b.root.get("name")), ("system",)),
    ("system components", lambda b: len(items(b.document.get("components"))) > 1, ()),
    ("system producer", lambda b: told(b.metadata.get("supplier")) or told(b.root.get("publisher")), ("supplier",)),
    ("system version", lambda b: told(b.root.get("version")), ("version",)),
    ("system timestamp", lambda b: told(b.metadata.get("timestamp")), ()),
    ("model name", lambda b: every(b.models, lambda m: m.get("name")), ()),
    ("model identifier", lambda b: every(b.models, lambda m: m.get("purl") or m.get("cpe") or m.get("swhid")), ("purl",)),
    ("model version", lambda b: every(b.models, lambda m: m.get("version")), ("version",)),
    ("model timestamp", lambda b: any(has(m, "timestamp:created") for m in b.models), ("timestamp:created",)),
    ("model producer", lambda b: first(b.models, lambda m: m.get("supplier") or m.get("publisher")), ("purl",)),
    ("model description", lambda b: every(b.models, lambda m: m.get("description")), ()),
    ("model hash value", lambda b: every(b.models, lambda m: [h.get("content") for h in items(m.get("hashes"))]), ("hashes",)),
    ("model hash algorithm", lambda b: every(b.models, lambda m: [h.get("alg") for h in items(m.get("hashes"))]), ("hashes",)),
    ("model properties", lambda b: first(b.models, parameters), ()),
    ("model input and output", lambda b: any(senses(m) for m in b.models), ()),
    ("training properties", lambda b: any(training(m) for m in b.models), ()),
    ("model license", lambda b: every(b.models, licensed), ("licenses:declared", "licenses:concluded")),
    ("openness", lambda b: any(has(m, "openness:") for m in b.models), ()),
    ("model external references", lambda b: first(b.models, lambda m: m.get("externalReferences")), ()),
    ("data set name", lambda b: every(b.data, lambda c: c.get("name")), ()),
    ("data set description", lambda b: every(b.data, lambda c: c.get("description")), ()),
    ("data set content", lambda b: first(b.data, contents), ("contents",)),
    ("data set identifier", lambda b: every(b.data, lambda c: c.get("purl") or c.get("bom-ref")), ()),
    ("data set hash", lambda b: every(b.data, lambda c: c.get("hashes")), ()),
    ("data set provenance", lambda b: every(b.data, lambda c: [d.get("governance") for d in items(c.get("data"))]), ()),
    ("data set dependency", linked_data, ()),
    ("data set license", lambda b: every(b.data, licensed), ()),
    ("infrastructure software", lambda b: first(b.of("library", "framework"), lambda c: c.get("name")), ()),
    ("infrastructure hardware", lambda b: first(b.of("device"), lambda c: c.get("name")), ()),
    ("vulnerability referencing", lambda b: told(b.document.get("vulnerabilities")), ()),
    ("operational KPIs", lambda b: any(told(m.get("value")) for m in metrics(b)), ()),
)  # fmt: skip
#: Why an element has no fact, where the document itself gives no reason.
WHY = {
    "training properties": "the card names neither data sets nor a training method that has a word in CycloneDX",
    "infrastructure hardware": "neither the card nor a person names hardware (--hardware)",
    "vulnerability referencing": "no check found a weakness to refer to; none is invented",
    "operational KPIs": "nothing was measured (inspection only), and the card reports nothing",
    "author signature": "the document was not signed (curator attest)",
    "system name": "no person named a system (--system)",
    "SBOM author": "no person named an organization (--supplier)",
    "system producer": "no person named an organization (--supplier)",
    "model producer": "a folder has no namespace that would name its publisher",
    "dependency relationship": "no base, data set, tokenizer or library is known",
    "system components": "no base, data set, tokenizer or library is known",
    "model properties": "configuration and card state nothing of the architecture, or were not read",
    "model input and output": "configuration and card do not tell, or were not read",
    "model external references": "no address, no card and no license file",
    "infrastructure software": "no configuration states a library",
}


def score(bom: Bom) -> list[tuple[int, str, bool, str]]:
    """Return each element: number, name, whether it is reached, and why not."""
    rows = []
    for number, (name, check, absent) in enumerate(ELEMENTS, 1):
        reached = check(bom)
        why = WHY.get(name) or bom.absence(*absent)
        if not reached and name.startswith("data set") and not bom.data:
            why = "no card names a data set"
        elif not reached and name.startswith("data set"):
            why = why or bom.absence("hashes", "contents", "licenses:declared") or "its card was not read"
        rows.append((number, name, reached, why if not reached else ""))
    return rows


def shown(label: str, bom: Bom) -> int:
    """Print one document's elements; return how many are reached."""
    rows = score(bom)
    reached = sum(r[2] for r in rows)
    absent = [r for r in rows if not r[2]]
    print(f"{label}: {reached}/{len(ELEMENTS)} reached, {len(absent)} not")
    for number, name, _, why in absent:
        print(f"  {number:2} {name}: {why or 'no fact'}")
    return reached


def rendered(adapter: str, answers: list[str]) -> bytes:
    """Return what the command writes for a demo adapter."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bom.json"
        command = [sys.executable, "-m", "api.cli.main", "bom", f"tests/demo/adapters/{adapter}", "-q", "-o", str(out), *answers]
        command += ["--base", str(BASE)] if BASE.exists() else []
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        return out.read_bytes()


def main() -> None:
    """Score what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--samples", action="store_true")
    parser.add_argument("--envelope", type=Path)
    for name in ("system", "system-version", "supplier", "hardware"):
        parser.add_argument(f"--{name}")
    asked = parser.parse_args()
    envelope = asked.envelope.read_bytes() if asked.envelope else None
    answers = {n: v for n in ("system", "system-version", "supplier", "hardware") if (v := getattr(asked, n.replace("-", "_")))}
    documents: dict[str, bytes] = {f.name: f.read_bytes() for f in asked.files}
    if asked.samples:
        from reports.cyclonedx import PLUGIN
        from tests.scorecards import SCORECARDS

        settings = {f"bom:{k}": v for k, v in answers.items()}
        documents |= {
            f"sample {n}": PLUGIN.render(c.model_copy(update={"settings": {**c.settings, **settings}}))
            for n, c in SCORECARDS.items()
        }
    if not documents:
        options = [word for k, v in answers.items() for word in (f"--{k}", v)]
        documents = {f"demo adapter {a}": rendered(a, options) for a in ADAPTERS}
    for label, raw in documents.items():
        shown(f"{label} ({len(raw):,} bytes)", Bom(json.loads(raw), envelope, raw))


if __name__ == "__main__":
    main()
