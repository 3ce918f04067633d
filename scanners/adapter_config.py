"""The adapter's configuration held against its own tensors and against the base it names."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Location, Outcome, Severity
from governance.subject import Composition
from scanners._formats.adapters import base_checks, base_claims
from scanners._formats.adapters import checks as adapter_checks
from scanners._formats.adapters import scale as adapter_scale
from scanners._formats.adapters.base_claims import Claim
from scanners._formats.adapters.bases import widths_of_pairs, widths_of_parts
from scanners._formats.adapters.files import CONFIG, Adapter, Weights, adapters, added_tokens, is_part, read_weights
from scanners._formats.adapters.peft_laws import Break, Law, breaks, fields_of, law_of, sort_by
from scanners._formats.adapters.rules import DIALECT, FOREIGN, PAIR, RANK, RULES, cut, said
from scanners._formats.adapters.tensors import AdapterTensors, LoraConfig, from_mlx, read_config, sort_tensors
from scanners._formats.documents import front_matters, read_bytes, read_json
from scanners._formats.tensors.safetensors import Tensor

_CARD = "README.md"
_SAME = "ask the author for configuration and weights of the same training run"
_ORDER = (Outcome.SKIPPED, Outcome.PARTIAL)
_BROKEN = {"rank": RANK, "shape": PAIR, "missing": PAIR}


@dataclass(frozen=True)
class _Case:
    """One adapter, with what its configuration says and what its file of weights holds."""

    composition: Composition
    adapter: Adapter
    said: Mapping[str, object]
    path: str
    weights: str
    tensors: tuple[Tensor, ...]
    names: tuple[str, ...]
    ctx: RunContext


class AdapterConfig:
    """Compares what an adapter says of itself with what it holds, and with its base.

    Detects:
        Ranks, targets, layers, saved modules, magnitudes and vocabulary rows that configuration and tensors do not agree
        on, for every adapter type of peft, for MLX, and for weights kept as pickles; missing, swapped or foreign tensors;
        scales that are zero, negative, no number or far from any training run, and loaders that would apply another one;
        whole weights shipped undeclared; widths, layers or modules the base does not have, also against the known widths
        of well-known bases when the base is not at hand; several bases named; a base that is no repository, or whose name
        only looks like a well-known one. Every folder with an adapter is compared by itself.

    Why it matters:
        Loaders trust one side each: one takes the rank from the file, another from the configuration. Undeclared whole
        weights replace parts of the base nobody expects to change, an adapter for another base is not the one its card
        describes, and a name with one letter changed makes a loader fetch a stranger's model.

    Misses:
        Tensors of AdapterHub and GGUF files; types whose shapes do not tell widths or ranks; bases of the same shapes as
        the named one; widths of quantized bases; values, which other scanners read.

    Source:
        LoRA, arXiv:2106.09685; rsLoRA, arXiv:2312.03732; DoRA, arXiv:2402.09353; peft 0.21.2 ``tuners``; MITRE ATLAS
        AML.T0010.003.
    """

    id = "adapter-config"
    version = "2"
    declares = RULES

    def wants(self, composition: Composition) -> bool:
        """Return whether this is an adapter at all."""
        return composition.description.kind == "adapter" or any(is_part(f.path) for f in composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read each adapter's configuration, then its tensors, then the base."""
        base: list[Coverage] = []
        for fact in self._facts(composition, ctx):
            if isinstance(fact, Coverage) and fact.item == "base":
                base.append(fact)
            else:
                yield fact
        if base:  # several files were compared with it: the least that can be said of all
            yield min(base, key=lambda c: _ORDER.index(c.outcome) if c.outcome in _ORDER else len(_ORDER))

    def _facts(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        claims = base_claims.described(composition)
        text = _card(composition, ctx)
        fronts = front_matters(text)
        claims += base_claims.in_card(text, fronts[0].mapping if fronts else {})
        found = adapters(composition.adapter)
        for adapter in found:
            ctx.checkpoint()
            claims += yield from _one(composition, adapter, claims, ctx)
        if not any(a.config for a in found):
            reason = (
                "weights without a configuration: nothing to hold them against" if found else "no adapter as peft or MLX writes it"
            )
            yield Coverage(item=CONFIG, outcome=Outcome.SKIPPED, reason=reason)
        yield from base_claims.judged(claims, is_adapter=composition.description.kind == "adapter")


def _card(composition: Composition, ctx: RunContext) -> str:
    entry = composition.adapter.file(_CARD)
    data = read_bytes(composition.adapter, _CARD, ctx) if entry and entry.present else None
    return (data or b"").decode("utf-8", "replace")


def _one(
    composition: Composition, adapter: Adapter, known: list[Claim], ctx: RunContext
) -> Generator[Fact | Coverage, None, list[Claim]]:
    """Compare one adapter; return what it says its base is beyond what is known already."""
    claims: list[Claim] = []
    said_: Mapping[str, object] = {}
    path = f"{adapter.folder}{CONFIG}"
    if adapter.config is not None:
        document = read_json(composition.adapter, path, ctx) if adapter.config.present else None
        if document is None or not document.mapping:
            why = "not downloaded" if document is None else document.problems[0] if document.problems else "is no JSON object"
            yield Coverage(item=path, outcome=Outcome.SKIPPED, reason=why)
            return claims
        said_ = document.mapping
        claims += _named(path, said_, known)
    read: list[tuple[str, Weights]] = []
    for entry in adapter.weights:
        weights = read_weights(composition.adapter, entry, ctx)
        claims += base_claims.in_metadata(entry.path, weights.metadata)
        read.append((entry.path, weights))
        if weights.empty:
            yield said(
                PAIR, f"{entry.path} holds no tensor: nothing is applied, and the model is its base", _SAME,
                Location(path=entry.path), severity=Severity.MEDIUM,
            )  # fmt: skip
        if weights.unread:
            item = _comparison(entry.path) if weights.pickled else entry.path  # pickle-imports has read it, whatever it holds
            yield Coverage(item=item, outcome=Outcome.SKIPPED, reason=weights.unread)
    names = tuple(c.name for c in (*claims, *known))
    cases = [_Case(composition, adapter, said_, path, p, w.tensors, names, ctx) for p, w in read if w.tensors]
    if adapter.config is None:
        for case in cases:
            yield from _unconfigured(case)
        return claims
    if not read:
        yield Coverage(
            item=f"{adapter.folder}adapter_model.safetensors", outcome=Outcome.SKIPPED, reason="a configuration without weights"
        )
    yield from _configured(path, said_, cases)
    return claims


def _named(path: str, said_: Mapping[str, object], known: list[Claim]) -> list[Claim]:
    found = []
    for key in ("base_model_name_or_path", "model", "model_name"):
        value = said_.get(key)
        if isinstance(value, str) and value.strip() and not any(c.path == path or c.name == value.strip()[:300] for c in known):
            revision = said_.get("revision")
            found.append(Claim("adapter-config", value.strip()[:300], path, key, revision if isinstance(revision, str) else None))
    return found[:1]


def _comparison(path: str) -> str:
    """Return what coverage calls the comparison of a file that was read, but has nothing it could be held against."""
    return f"comparison of {path}"


def _covered(weights: str, unread: str) -> Coverage:
    if unread:
        return Coverage(item=_comparison(weights), outcome=Outcome.SKIPPED, reason=unread)
    return Coverage(item=weights, outcome=Outcome.COMPLETED)


def _configured(path: str, said_: Mapping[str, object], cases: list[_Case]) -> Iterator[Fact | Coverage]:
    kind = said_.get("peft_type")
    law = law_of(kind) if isinstance(kind, str) else None
    mlx = kind is None and ("lora_parameters" in said_ or "fine_tune_type" in said_)
    if kind == "LORA" or (mlx and said_.get("fine_tune_type") in ("lora", "dora", None)):
        config = from_mlx(said_) if mlx else read_config(said_)
        if mlx:
            yield _dialect(path, "an adapter of MLX", "convert it to peft's format to serve it elsewhere")
        yield from _unlisted(path, "LORA", said_) if not mlx else ()
        parts = [sort_tensors(case.tensors) for case in cases]
        modules = [m for own in parts for m in own.pairs]
        yield from adapter_scale.scales(path, config, modules)
        yield from adapter_scale.loaders(path, said_, config, modules)
        yield Coverage(item=path, outcome=Outcome.COMPLETED)
        for case, own in zip(cases, parts, strict=True):
            yield from _lora(case, config, own)
    elif law is not None:
        yield _dialect(path, f"a {law.type} adapter of peft", "serve it with peft; few other loaders know this type")
        yield from _unlisted(path, law.type, said_)
        if law.nested:
            yield Coverage(item=path, outcome=Outcome.SKIPPED, reason="it loads further adapters, which are subjects of their own")
        else:
            yield Coverage(item=path, outcome=Outcome.COMPLETED)
        for case in cases:
            yield from _by_law(case, law)
    else:
        name = _stranger(said_, mlx=mlx)
        yield _dialect(path, name, "ask the author which library wrote it, or convert it to peft's format")
        unknown = "unknown type" in name
        reason = f"{name}: its tensors are not compared with its configuration"
        yield Coverage(item=path if unknown else _comparison(path), outcome=Outcome.SKIPPED, reason=reason)
        for case in cases:
            item = case.weights if unknown else _comparison(case.weights)
            yield Coverage(item=item, outcome=Outcome.SKIPPED, reason=f"{name}: no law for its tensors is known")


def _stranger(said_: Mapping[str, object], *, mlx: bool) -> str:
    if mlx:
        return "whole weights of MLX"
    kind = said_.get("peft_type")
    if kind is None and ("config" in said_ or "architecture" in said_ or "adapter_config" in said_):
        return "an adapter of AdapterHub"
    return f"an adapter of the unknown type {cut(str(kind), 40)}"


def _dialect(path: str, name: str, remedy: str) -> Fact:
    return said(DIALECT, f"this is {name}, not LoRA as peft writes it", remedy, Location(path=path, key="peft_type"))


def _unlisted(path: str, kind: str, said_: Mapping[str, object]) -> Iterator[Fact]:
    """Yield the settings no release known here declares; newer and older ones have some, so it is a note."""
    unknown = sorted(k for k in said_ if k not in fields_of(kind))
    if unknown:
        yield said(
            DIALECT,
            f"{len(unknown)} settings are of no {kind} configuration known here: {cut(', '.join(unknown[:12]), 300)}",
            "none needed; another release or library wrote them",
            Location(path=path, key=unknown[0][:200]),
            confidence=Confidence.MEDIUM,
        )


def _lora(case: _Case, config: LoraConfig, own: AdapterTensors) -> Iterator[Fact | Coverage]:
    if own.kohya and not own.pairs:
        yield _dialect(case.weights, "a file of kohya's scripts", "convert it to peft's format")
        yield Coverage(
            item=_comparison(case.weights), outcome=Outcome.SKIPPED, reason="kohya's names are not compared with a configuration"
        )
        return
    yield from adapter_checks.pairs(case.weights, config, own)
    yield from adapter_checks.unloaded(case.weights, own)
    yield from adapter_checks.whole(case.weights, config, own.full, own.foreign)
    modules = {m: some for m, p in own.pairs.items() if (some := p.down or p.up)}
    widths = {m: w for m, w in widths_of_pairs(own.pairs).items() if not config.stacks(m)}
    unread = yield from adapter_checks.targets(case.path, case.weights, config, modules, (*own.full, *own.beside))
    yield _covered(case.weights, unread)
    yield from base_checks.held(
        case.composition, case.names, case.weights, widths, own.full, packed=config.packed,
        transposed=config.fan_in_fan_out, added=added_tokens(case.composition.adapter, case.adapter.folder, case.ctx), ctx=case.ctx,
    )  # fmt: skip


def _by_law(case: _Case, law: Law) -> Iterator[Fact | Coverage]:
    """Compare an adapter of any other type by the law of that type."""
    own = sort_by(law, case.tensors)
    named = case.said.get("target_modules")
    plain = isinstance(named, str) and named.isidentifier()  # Adaption prompts name one module, where others give a pattern
    config = read_config({**case.said, "target_modules": [named]} if plain and not law.rank else case.said)
    ranks = {m: config.rank_of(m) for m in own.modules} if law.rank == "r" else {}
    for what, group in _grouped(breaks(law, own, case.said, ranks)).items():
        yield said(
            _BROKEN[what],
            f"{len(group)} laws of a {law.type} adapter do not hold; first: {cut(group[0].words, 300)}",
            _SAME,
            *(Location(path=case.weights, tensor=b.tensor or None) for b in group[:5]),
        )
    rest = sort_tensors(own.rest)
    if not own.modules and not own.shared and own.rest:
        yield said(
            FOREIGN, f"no tensor of {len(own.rest)} is one of a {law.type} adapter, first {cut(own.rest[0].name)}", _SAME,
            Location(path=case.weights, tensor=own.rest[0].name[:300]),
        )  # fmt: skip
    halves = [t for p in rest.pairs.values() for t in (p.down, p.up) if t]
    foreign = (*rest.foreign, *halves) if own.modules or own.shared else ()
    yield from adapter_checks.whole(case.weights, config, rest.full, foreign)
    modules = {m: next(iter(o.parts.values())) for m, o in own.modules.items()}
    beside = (*rest.full, *rest.beside)
    unread = ""
    if "target_modules" in case.said:
        unread = yield from adapter_checks.targets(case.path, case.weights, config, modules, beside)
    yield _covered(case.weights, unread)
    widths = {m: w for m, w in widths_of_parts(own.modules).items() if w.into or w.out}
    yield from base_checks.held(
        case.composition, case.names, case.weights, widths, rest.full, packed=not widths,
        transposed=config.fan_in_fan_out, added=0, ctx=case.ctx,
    )  # fmt: skip


def _grouped(found: list[Break]) -> dict[str, list[Break]]:
    groups: dict[str, list[Break]] = {}
    for item in found:
        groups.setdefault(item.what, []).append(item)
    return groups


def _unconfigured(case: _Case) -> Iterator[Fact | Coverage]:
    """Compare the halves of an adapter that has no configuration: kohya, diffusers, or one that lost it."""
    own = sort_tensors(case.tensors)
    name = "a file of kohya's scripts" if own.kohya else "a file of diffusers" if "pytorch_lora" in case.weights else ""
    if name:
        yield _dialect(case.weights, name, "convert it to peft's format to have it compared with a configuration")
    config = LoraConfig(rank=None, alpha=1.0, all_linear=True, some_layers=True)
    for finding in adapter_checks.pairs(case.weights, config, own):
        yield finding.model_copy(update={"severity": Severity.MEDIUM}) if finding.severity.rank > 2 else finding
    reason = (
        "no configuration: only the halves were compared with each other"
        if own.pairs
        else "no configuration, and no tensor of LoRA"
    )
    yield Coverage(item=_comparison(case.weights), outcome=Outcome.PARTIAL if own.pairs else Outcome.SKIPPED, reason=reason)


PLUGIN = AdapterConfig()
