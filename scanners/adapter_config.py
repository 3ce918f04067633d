"""The adapter's configuration held against its own tensors and against the base it names."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, Subject
from scanners._formats.adapters import (
    PEFT_TYPES,
    AdapterTensors,
    LoraConfig,
    broken_pairs,
    declared_full,
    odd_layers,
    read_config,
    sort_tensors,
    wrong_ranks,
)
from scanners._formats.base_names import kinship, place
from scanners._formats.bases import BaseShapes, from_config, from_headers, misfits
from scanners._formats.description import adapter_config_path
from scanners._formats.documents import read_json
from scanners._formats.patterns import UnreadablePatternError
from scanners._formats.safetensors import Tensor, read_header

_POISON = ("AML.T0018",)
_RANK = Rule(
    id="adapter-rank-mismatch", summary="configuration and tensors differ in rank", severity=Severity.HIGH, references=_POISON
)
_SCALING = Rule(
    id="adapter-scaling", summary="the update's scale is zero, negative or no number", severity=Severity.HIGH, references=_POISON
)
_TARGETS = Rule(
    id="adapter-targets-mismatch",
    summary="target modules and tensors do not cover each other",
    severity=Severity.MEDIUM,
    references=_POISON,
)
_PAIR = Rule(id="adapter-pair-broken", summary="half an update, or halves that do not fit", severity=Severity.HIGH)
_FULL = Rule(
    id="adapter-full-weights",
    summary="whole weights of the base are replaced without being declared",
    severity=Severity.HIGH,
    references=_POISON,
)
_FOREIGN = Rule(id="adapter-foreign-tensor", summary="tensors of no known kind", severity=Severity.MEDIUM, references=_POISON)
_DIALECT = Rule(id="adapter-dialect", summary="not a LoRA adapter as peft writes it", severity=Severity.INFO)
_MISMATCH = Rule(
    id="base-mismatch",
    summary="the tensors cannot belong to the base",
    severity=Severity.HIGH,
    references=("AML.T0010.003",),
)
_CLAIMS = Rule(id="base-claims-differ", summary="several bases are named", severity=Severity.MEDIUM, references=("AML.T0073",))
_UNRESOLVED = Rule(id="base-unresolved", summary="the base named is no repository", severity=Severity.LOW, references=("CWE-829",))
_WEIGHTS = ("adapter_model.safetensors", "adapters.safetensors", "pytorch_lora_weights.safetensors")
_PICKLES = ("adapter_model.bin", "pytorch_adapter.bin", "adapter_model.pt")


class AdapterConfig:
    """Compares what an adapter says of itself with what it holds, and with its base.

    Detects:
        Ranks, targets and saved modules that configuration and tensors do not agree on; half or swapped updates; scales
        that are zero, negative or no number; whole weights shipped undeclared; tensors of no known kind; widths, layers or
        modules the base does not have; several bases named; a base that is no repository.

    Why it matters:
        Loaders trust one side each: one takes the rank from the file, another from the configuration. Undeclared whole
        weights replace parts of the base nobody expects to change, and an adapter for another base is not the one its card
        describes.

    Misses:
        Tensors of other adapter types than LoRA, and of MLX, kohya, diffusers and AdapterHub files; weights that are
        pickles; bases of the same shapes as the named one; widths of quantized bases.

    Source:
        LoRA, arXiv:2106.09685; rsLoRA, arXiv:2312.03732; peft 0.21.2 ``tuners/lora``; MITRE ATLAS AML.T0010.003.
    """

    id = "adapter-config"
    version = "1"
    declares = (_RANK, _SCALING, _TARGETS, _PAIR, _FULL, _FOREIGN, _DIALECT, _MISMATCH, _CLAIMS, _UNRESOLVED)

    def wants(self, composition: Composition) -> bool:
        """Return whether this is an adapter at all."""
        return composition.description.kind == "adapter" or any(_is_part(f.path) for f in composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read the configuration, then tensors, then the base."""
        adapter = composition.adapter
        yield from _claims(composition)
        path = adapter_config_path(adapter)
        if path is None:
            yield from _without_config(adapter)
            return
        document = read_json(adapter, path, ctx)
        if not document.mapping:
            reason = document.problems[0] if document.problems else "is no JSON object"
            yield Coverage(item=path, outcome=Outcome.SKIPPED, reason=reason)
            return
        yield from _others(adapter, path)
        kind = document.mapping.get("peft_type")
        if kind != "LORA":
            yield from _dialect(path, kind, document.mapping)
            return
        config = read_config(document.mapping)
        yield from _scaling(path, config)
        yield Coverage(item=path, outcome=Outcome.COMPLETED)
        folder = path.rsplit("/", 1)[0] + "/" if "/" in path else ""
        weights = next((folder + w for w in _WEIGHTS if adapter.file(folder + w)), None)
        if weights is None:
            yield _no_weights(adapter, folder)
            return
        yield from _weights(composition, config, path, weights, ctx)


def _is_part(path: str) -> bool:
    return path.rsplit("/", 1)[-1] in ("adapter_config.json", *_WEIGHTS, *_PICKLES)


def _said(
    rule: Rule, message: str, remedy: str, *places: Location, severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH, **evidence: str,
) -> Finding:  # fmt: skip
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        confidence=confidence,
        basis=Basis.BYTES,
        message=message,
        locations=places,
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


def _without_config(adapter: Subject) -> Iterator[Coverage]:
    found = sorted(f.path for f in adapter.files if f.path.rsplit("/", 1)[-1] == "adapter_config.json")
    absent = [p for p in found if (entry := adapter.file(p)) and not entry.present]
    if absent:
        yield Coverage(item=absent[0], outcome=Outcome.SKIPPED, reason="not downloaded")
    elif found:
        reason = f"{len(found)} adapters; audit each folder by itself"
        yield Coverage(item="adapter_config.json", outcome=Outcome.SKIPPED, reason=reason)
    else:
        reason = "weights without a configuration: nothing to hold them against"
        yield Coverage(item="adapter_config.json", outcome=Outcome.SKIPPED, reason=reason)


def _others(adapter: Subject, path: str) -> Iterator[Coverage]:
    for entry in adapter.files:
        if entry.path != path and entry.path.rsplit("/", 1)[-1] == "adapter_config.json":
            yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason="another adapter; a subject of its own")


def _no_weights(adapter: Subject, folder: str) -> Coverage:
    pickled = next((folder + w for w in _PICKLES if adapter.file(folder + w)), None)
    if pickled:
        return Coverage(item=pickled, outcome=Outcome.SKIPPED, reason="weights are a pickle; their shapes are not read")
    return Coverage(item=f"{folder}adapter_model.safetensors", outcome=Outcome.SKIPPED, reason="a configuration without weights")


def _dialect(path: str, kind: object, said: Mapping[str, object]) -> Iterator[Fact | Coverage]:
    if isinstance(kind, str) and kind in PEFT_TYPES:
        name, remedy = f"a {kind} adapter of peft", "measure it; its tensors were not compared with its configuration"
    elif kind is None and ("lora_parameters" in said or "fine_tune_type" in said):
        name, remedy = "an adapter of MLX", "convert it to peft's format to have it compared"
    elif kind is None and ("config" in said or "architecture" in said):
        name, remedy = "an adapter of AdapterHub", "convert it to peft's format to have it compared"
    else:
        name, remedy = f"an adapter of the unknown type {str(kind)[:40]!r}", "ask the author which library wrote it"
    yield _said(_DIALECT, f"this is {name}, not LoRA as peft writes it", remedy, Location(path=path, key="peft_type"))
    yield Coverage(item=path, outcome=Outcome.SKIPPED, reason=f"{name}: its tensors are not compared with its configuration")


def _claims(composition: Composition) -> Iterator[Fact]:
    # A folder the asker gave says nothing about what the adapter was made on; its shapes are compared instead.
    claims = [c for c in composition.description.claims if c.by != "request" or place(c.name) == "hub"]
    for claim in claims:
        where = place(claim.name)
        if where == "hub":
            continue
        path, _, key = claim.where.partition("#")
        what = "is a folder of somebody's machine" if where == "local" else "no repository: a URL, a way out, or letters no Hub has"
        yield _said(
            _UNRESOLVED,
            f"{claim.where or claim.by} names the base {claim.name[:120]!r}, which is {what}",
            "name the base by its repository; give it with --base until then",
            Location(path=path or claim.by, key=key or None),
            severity=Severity.MEDIUM if where == "hostile" else None,
        )  # fmt: skip
    if all(c.by == "request" for c in claims) and composition.description.kind == "adapter":
        yield _said(_UNRESOLVED, "nothing names the base model", "ask the author; give the base with --base until then")
    named = list({c.name: c for c in claims if place(c.name) == "hub"}.values())
    for other in named[1:]:
        if kinship(named[0].name, other.name) == "same" or any(c.by == other.by for c in named if c is not other):
            continue
        near = kinship(named[0].name, other.name) == "family"
        yield _said(
            _CLAIMS,
            f"{named[0].where or named[0].by} names the base {named[0].name[:120]!r}, "
            f"{other.where or other.by} names {other.name[:120]!r}"
            + ("; same family" if near else "; another family"),
            "ask the author which one it was trained on",
            severity=Severity.LOW if near else None,
            confidence=Confidence.MEDIUM,
        )  # fmt: skip


def _scaling(path: str, config: LoraConfig) -> Iterator[Finding]:
    """Yield ranks and alphas no honest training run leaves behind."""
    ranks = {"r": config.rank, **{f"rank_pattern.{k[:80]}": v for k, v in config.rank_pattern.items()}}
    alphas = {"lora_alpha": config.alpha, **{f"alpha_pattern.{k[:80]}": v for k, v in config.alpha_pattern.items()}}
    for key, rank in ranks.items():
        if rank is None or rank <= 0:
            shown = "no whole number" if rank is None else str(rank)
            yield _said(_SCALING, f"the rank {key} is {shown}", "ask the author for the right one", Location(path=path, key=key))
    for key, alpha in alphas.items():
        if alpha is None or not math.isfinite(alpha) or alpha <= 0:
            why = "no number" if alpha is None else f"{alpha:g}"
            effect = "the update is turned round" if alpha is not None and alpha < 0 else "the update has no defined scale"
            yield _said(
                _SCALING, f"{key} is {why}: {effect if alpha != 0 else 'the update does nothing'}",
                "ask the author for the right one", Location(path=path, key=key),
            )  # fmt: skip


def _weights(composition: Composition, config: LoraConfig, path: str, weights: str, ctx: RunContext) -> Iterator[Fact | Coverage]:
    entry = composition.adapter.file(weights)
    if entry is None or not entry.present:
        yield Coverage(item=weights, outcome=Outcome.SKIPPED, reason="not downloaded")
        return
    header = read_header(composition.adapter, weights, ctx)
    if header.pointer or (header.problems and not header.tensors):
        yield Coverage(item=weights, outcome=Outcome.SKIPPED, reason=header.problems[0].message)
        return
    own = sort_tensors(header.tensors)
    if not header.tensors:
        yield Coverage(item=weights, outcome=Outcome.SKIPPED, reason="holds no tensors")
        return
    if own.kohya:
        yield _said(_DIALECT, "the tensors are named as kohya's scripts do", "convert it to peft's format", Location(path=weights))
        yield Coverage(item=weights, outcome=Outcome.SKIPPED, reason="kohya's names are not compared with a configuration")
        return
    yield from _pairs(weights, config, own)
    yield from _whole(weights, config, own)
    unread = yield from _targets(path, weights, config, own)
    yield Coverage(item=weights, outcome=Outcome.SKIPPED if unread else Outcome.COMPLETED, reason=unread)
    yield from _base(composition, config, weights, own, ctx)


def _pairs(weights: str, config: LoraConfig, tensors: AdapterTensors) -> Iterator[Finding]:
    count = len(tensors.pairs)
    broken, ranks = broken_pairs(config, tensors), wrong_ranks(config, tensors)
    for tensor, what in odd_layers(config, tensors)[:5]:
        yield _said(
            _TARGETS, f"{what}; no base is built like that", "ask the author for an intact file",
            Location(path=weights, tensor=tensor.name), confidence=Confidence.MEDIUM,
        )  # fmt: skip
    if broken:
        yield _said(
            _PAIR, f"{len(broken)} of {count} updates are broken; first: {broken[0][1]}",
            "ask the author for an intact file", *(Location(path=weights, tensor=t.name) for t, _ in broken[:5]),
        )  # fmt: skip
    if ranks:
        first, found, expected = ranks[0]
        yield _said(
            _RANK,
            f"{len(ranks)} of {count} updates have another rank than the configuration says; "
            f"first: {first.name} has {found}, expected {expected}",
            "ask the author for configuration and weights of the same training run",
            *(Location(path=weights, tensor=t.name) for t, _, _ in ranks[:5]), found=str(found), expected=str(expected),
        )  # fmt: skip


def _whole(weights: str, config: LoraConfig, tensors: AdapterTensors) -> Iterator[Finding]:
    undeclared: list[Tensor] = []
    for module, own in tensors.full.items():
        why = declared_full(config, module, own)
        if why is None:
            undeclared.extend(own)
            continue
        yield _said(
            _FULL, f"whole weights of {module} are shipped; {why}", "none needed if the card says so",
            *(Location(path=weights, tensor=t.name) for t in own[:5]), severity=Severity.LOW,
        )  # fmt: skip
    if undeclared:
        yield _said(
            _FULL,
            f"{len(undeclared)} whole weights are shipped that the configuration does not declare, first {undeclared[0].name} "
            f"{list(undeclared[0].shape)}; they replace what the base holds there",
            "ask the author why; load only the declared updates",
            *(Location(path=weights, tensor=t.name) for t in undeclared[:5]),
        )  # fmt: skip
    if tensors.foreign:
        yield _said(
            _FOREIGN, f"{len(tensors.foreign)} tensors are of no kind peft writes, first {tensors.foreign[0].name[:120]!r}",
            "ask the author which tool wrote them", *(Location(path=weights, tensor=t.name[:300]) for t in tensors.foreign[:5]),
        )  # fmt: skip


def _targets(path: str, weights: str, config: LoraConfig, tensors: AdapterTensors) -> Generator[Finding, None, str]:
    """Yield what targets and tensors do not agree on; return why they could not be compared, if so."""
    if config.parameters:
        return ""
    try:
        beside = [m for m in tensors.pairs if not config.targeted(m)]
    except UnreadablePatternError as error:
        return f"target_modules is a pattern that is not read ({error})"
    if beside:
        yield _said(
            _TARGETS, f"{len(beside)} of {len(tensors.pairs)} updated modules are no declared target, first {beside[0]}",
            "ask the author for configuration and weights of the same training run",
            *(Location(path=weights, tensor=p.name) for m in beside[:5] if (p := tensors.pairs[m].down or tensors.pairs[m].up)),
        )  # fmt: skip
    here = (*tensors.pairs, *tensors.full)
    unmet = [t for t in config.targets if not any(m == t or m.endswith(f".{t}") for m in here)]
    if unmet and tensors.pairs:
        yield _said(
            _TARGETS, f"the configuration names target modules without tensors: {', '.join(unmet[:8])}",
            "ask the author; harmless if the base has no such modules", Location(path=path, key="target_modules"),
            severity=Severity.LOW, confidence=Confidence.MEDIUM,
        )  # fmt: skip
    return ""


def _base(
    composition: Composition, config: LoraConfig, weights: str, tensors: AdapterTensors, ctx: RunContext
) -> Iterator[Fact | Coverage]:
    base = composition.base
    if base is None:
        yield Coverage(item="base", outcome=Outcome.SKIPPED, reason=f"base unknown: {composition.base_reason or 'none was found'}")
        return
    shapes = _shapes(base, ctx)
    if isinstance(shapes, str):
        yield Coverage(item="base", outcome=Outcome.SKIPPED, reason=shapes)
        return
    if config.packed:
        yield Coverage(item="base", outcome=Outcome.SKIPPED, reason="a LoRA variant whose shapes follow other laws")
        return
    wrong = misfits(tensors.pairs, shapes, transposed=config.fan_in_fan_out)
    if wrong:
        yield _said(
            _MISMATCH,
            f"{len(wrong)} of {len(tensors.pairs)} updates of {weights} cannot belong to {base.name} ({shapes.where}); "
            f"first: {wrong[0].module} has {wrong[0].what}",
            "find the base it was trained on, and give it with --base",
            *(Location(path=weights, tensor=w.tensor) for w in wrong[:5]),
            base=str(base), read=shapes.where,
        )  # fmt: skip
    packed = "the base is quantized: names and layers were compared, widths could not be"
    yield Coverage(
        item="base", outcome=Outcome.PARTIAL if shapes.packed else Outcome.COMPLETED, reason=packed if shapes.packed else ""
    )


def _shapes(base: Subject, ctx: RunContext) -> BaseShapes | str:
    """Return what is known of the base's shapes, or why nothing is."""
    entry = base.file("config.json")
    said = read_json(base, "config.json", ctx).mapping if entry and entry.present else {}
    files = [f for f in base.files if f.path.endswith(".safetensors") and "/" not in f.path and not _is_part(f.path)]
    if files and all(f.present for f in files):
        headers = [read_header(base, f.path, ctx) for f in files]
        tensors = [t for h in headers for t in h.tensors]
        if tensors and not any(h.pointer for h in headers):
            return from_headers(tensors, said, f"{len(files)} safetensors files" if len(files) > 1 else files[0].path)
    shapes = from_config(said)
    return shapes or "neither weights nor a configuration of the base can be read here"


PLUGIN = AdapterConfig()
