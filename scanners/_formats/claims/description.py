"""What a repository says of itself: kind, base, license, data sets, tokenizer, template. Claims, not facts.

Made in the inspection child for ``governance.hub``, which pins what is claimed; the scanners judge the claims later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from governance.context import RunContext
from governance.subject import BaseClaim, Description, Subject
from scanners._formats.claims.statements import statements
from scanners._formats.claims.training_records import parent_claims
from scanners._formats.documents import Document, front_matters, read_bytes, read_json
from scanners._formats.tables import table

ADAPTER_CONFIG = "adapter_config.json"
CARD = "README.md"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "spiece.model",
)  # fmt: skip
#: What a training program writes where nobody filled in a license (TRL: ``licence: license``).
_TEMPLATE = ("license", "licence")
_WEIGHTS = re.compile(r"(^|/)(model|pytorch_model|consolidated)[^/]*\.(safetensors|bin|pth|gguf)$|\.gguf$")


def describe(subject: Subject, ctx: RunContext) -> Description:
    """Return what a repository says of itself.

    Args:
        subject: A pinned repository; files that are not present are passed over.
        ctx: Where its files lie, and the ceilings.

    Returns:
        Claims, with a problem in words for everything that could not be read.
    """
    problems: list[str] = []
    names = [f.path for f in subject.files if f.present]
    config_path = _config_path(names, problems)
    config = _mapping(subject, config_path, ctx, problems)
    card, cards = _card(subject, ctx)
    model_config = _mapping(subject, "config.json", ctx, problems)
    tokenizer_files = tuple(n for n in TOKENIZER_FILES if n in names)
    fronts = [document.mapping for document in cards]
    licenses = tuple(
        dict.fromkeys(t for c in fronts for key in ("license", "licence") for t in _texts(c.get(key)) if t.lower() not in _TEMPLATE)
    )
    kind = _kind(config_path, config, names, model_config)
    return Description(
        kind=kind,
        dialect=_dialect(config_path, config, names),
        peft_type=_text(config.get("peft_type")),
        claims=tuple(_claims(config_path, config, card, model_config)),
        license=next(iter(licenses), None),
        license_name=next((n for c in fronts if (n := _text(c.get("license_name")))), None),
        license_link=next((n for c in fronts if (n := _text(c.get("license_link")))), None),
        licenses=licenses,
        datasets=tuple(_texts(card.get("datasets"))),
        parents=parent_claims(subject, ctx, fronts, config, config_path, is_model=kind != "unknown"),
        domain=_domain(card, subject.name),
        tokenizer_files=tokenizer_files,
        chat_template=_template_digest(subject, ctx),
        statements=statements(subject, config_path, config, model_config, card, ctx),
        problems=tuple(problems + ([f"{CARD}: {len(cards)} front matters"] if len(cards) > 1 else [])),
    )


def adapter_config_path(subject: Subject) -> str | None:
    """Return where the adapter's configuration is: at the root, or in the one folder that has one."""
    return _config_path([f.path for f in subject.files if f.present], [])


def _config_path(names: Iterable[str], problems: list[str]) -> str | None:
    found = sorted(n for n in names if n.rsplit("/", 1)[-1] == ADAPTER_CONFIG)
    if ADAPTER_CONFIG in found:
        return ADAPTER_CONFIG
    if len(found) > 1:
        problems.append(f"several adapters and none at the root: {', '.join(found[:5])}; each is a subject of its own")
    return found[0] if len(found) == 1 else None


def _mapping(subject: Subject, name: str | None, ctx: RunContext, problems: list[str]) -> Mapping[str, object]:
    if name is None or (entry := subject.file(name)) is None or not entry.present:
        return {}
    document = read_json(subject, name, ctx)
    problems += [f"{name}: {p}" for p in document.problems]
    return document.mapping


def _card(subject: Subject, ctx: RunContext) -> tuple[Mapping[str, object], tuple[Document, ...]]:
    entry = subject.file(CARD)
    if entry is None or not entry.present:
        return {}, ()
    data = read_bytes(subject, CARD, ctx)
    found = front_matters((data or b"").decode("utf-8", "replace"))
    return (found[0].mapping if found else {}), found


def _kind(config_path: str | None, config: Mapping[str, object], names: Iterable[str], model: Mapping[str, object]) -> str:
    if config_path or _dialect(config_path, config, names):
        return "adapter"
    return "model" if model.get("model_type") or any(_WEIGHTS.search(n) for n in names) else "unknown"


def _dialect(config_path: str | None, config: Mapping[str, object], names: Iterable[str]) -> str:
    listed = {n.rsplit("/", 1)[-1] for n in names}
    if "peft_type" in config:
        return "peft"
    if "lora_parameters" in config or "fine_tune_type" in config or "adapters.safetensors" in listed:
        return "mlx"
    if "pytorch_adapter.bin" in listed:
        return "adapterhub"
    if "pytorch_lora_weights.safetensors" in listed:
        return "diffusers"
    return "peft" if {"adapter_model.safetensors", "adapter_model.bin"} & listed else ""


def _claims(
    path: str | None, config: Mapping[str, object], card: Mapping[str, object], model: Mapping[str, object]
) -> Iterable[BaseClaim]:
    named = _text(config.get("base_model_name_or_path")) or _text(config.get("model"))
    if named:
        yield BaseClaim(
            by="adapter-config", name=named, revision=_text(config.get("revision")), where=f"{path}#base_model_name_or_path"
        )
    for name in _texts(card.get("base_model")):
        yield BaseClaim(by="card", name=name, where=f"{CARD}#base_model")
    if not named and path and (origin := _text(model.get("_name_or_path"))):
        yield BaseClaim(by="adapter-config", name=origin, where="config.json#_name_or_path")


def _template_digest(subject: Subject, ctx: RunContext) -> str | None:
    """Return the SHA-256 of the template's text; a file of its own wins over the tokenizer's configuration."""
    own = subject.file("chat_template.jinja")
    if own is not None and own.present:
        return own.sha256
    entry = subject.file("tokenizer_config.json")
    if entry is None or not entry.present:
        return None
    template = read_json(subject, "tokenizer_config.json", ctx).mapping.get("chat_template")
    text = template if isinstance(template, str) else repr(template) if template else ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else None


def _domain(card: Mapping[str, object], name: str) -> str | None:
    words = [w for key in ("tags", "datasets", "model_name") for v in _texts(card.get(key)) for w in _words(v)]
    words += _words(Path(name).name)
    for word in words:
        for domain, marks in _domains().items():
            if word in marks:
                return domain
    return None


def _words(text: str) -> list[str]:
    return [text.lower(), *re.split(r"[^a-z0-9]+", text.lower())]


@cache
def _domains() -> dict[str, frozenset[str]]:
    return {domain: frozenset(words) for domain, words in table("domains").items()}


def _text(value: object) -> str | None:
    return value.strip()[:300] or None if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [t for v in values[:50] if (t := _text(v))]
