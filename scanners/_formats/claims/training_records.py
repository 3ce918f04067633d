"""What a repository says it was made from: cards, configurations, merge recipes and the records training programs leave.

Read by ``scanners._formats.claims.description``. Claims, not facts; each says where it stands. Nothing is followed here.

Source:
    The programs' own documentation: axolotl (``base_model``, ``datasets``), LLaMA-Factory (``model_name_or_path``, ``dataset``),
    Unsloth and TRL (generated cards), mergekit (``models``, ``slices``, ``base_model``), transformers (generated cards, section
    "Training and evaluation data"), Hugging Face Hub "Model Cards" (``base_model``, ``datasets``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from governance.context import RunContext
from governance.subject import HUB_NAME, ParentClaim, Subject
from scanners._formats.documents import parse_yaml, read_bytes, read_json

_CARD = "README.md"
_MOST = 60
_RECORD_BYTES = 256 << 10
#: Files training programs write; the names are theirs.
_RECORDS = re.compile(
    r"\A(axolotl[\w.-]*|mergekit_config|merge_config|training_args|train_args|training_config|train_config|llamaboard_config|"
    r"sft_config|dpo_config|config|trainer_config|finetune[\w.-]*|lora[\w.-]*)\.(ya?ml|json)\Z",
    re.IGNORECASE,
)
_BASE_KEYS = (
    "base_model",
    "base_model_name_or_path",
    "model_name_or_path",
    "pretrained_model_name_or_path",
    "top.model_path",
)
#: Keys that name a base in a program's record, and the model itself in a card.
_RECORD_KEYS = (*_BASE_KEYS, "model_name", "model")
_DATA_KEYS = ("datasets", "dataset", "dataset_name", "train_dataset", "dataset_mixer", "train.dataset")
_TEACHER_KEYS = ("teacher_model", "teacher_model_name_or_path", "teacher", "distilled_from")
_FENCE = re.compile(r"^```ya?ml[ \t]*\n(.{1,20000}?)^```", re.MULTILINE | re.DOTALL)
_LINK = r"\[?`?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})`?\]?"
#: Sentences that generated cards hold.
_SENTENCES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("base", re.compile(rf"fine-?tuned version of {_LINK}", re.IGNORECASE)),
    ("base", re.compile(rf"fine-?tuned from(?: model)?[ *]{{0,4}}:[ *]{{0,4}}{_LINK}", re.IGNORECASE)),
    ("dataset", re.compile(rf"on the {_LINK}[^.\n]{{0,80}}data ?set", re.IGNORECASE)),
    ("dataset", re.compile(rf"\bdata ?set[ *]{{0,4}}:[ *]{{0,4}}{_LINK}", re.IGNORECASE)),
    ("teacher", re.compile(rf"(?:distilled from|outputs of|generated (?:by|with|using)) {_LINK}", re.IGNORECASE)),
)
#: Code in place of metadata.
_CODE: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "base",
        re.compile(
            r"""\b(?:base_?model|model_name|model_id|base_model_name)(?:_or_path)?\s{0,4}=\s{0,4}["']([^"'\n]{3,200})["']""",
            re.IGNORECASE,
        ),
    ),
    ("dataset", re.compile(r"""\bload_dataset\(\s{0,8}["']([^"'\n]{3,200})["']""")),
)  # fmt: skip


def parent_claims(
    subject: Subject,
    ctx: RunContext,
    cards: Sequence[Mapping[str, object]],
    config: Mapping[str, object],
    config_path: str | None,
    *,
    is_model: bool,
) -> tuple[ParentClaim, ...]:
    """Return every parent a repository names, each once for each kind, the stronger evidence first.

    Args:
        subject: Its files.
        ctx: Opens them.
        cards: Every front matter of the card.
        config: The adapter's configuration.
        config_path: Where that is.
        is_model: Whether there is an adapter or a model; the card of a program only shows how it is used.
    """
    said = [*_configured(config, config_path)]
    for place, card in enumerate(cards, 1):
        said += _keys(card, _CARD if place == 1 else f"{_CARD} (front matter {place})")
    for entry in subject.files:
        if entry.present and entry.size <= _RECORD_BYTES and _RECORDS.match(entry.path.rsplit("/", 1)[-1]):
            said += _record(subject, entry.path, ctx)
    said += _prose(subject, ctx, code=is_model and not any(c.kind == "base" for c in said))
    found: dict[tuple[str, str], ParentClaim] = {}
    for claim in said:
        if claim.name.lower() != subject.name.lower():
            found.setdefault((claim.kind, claim.name.lower()), claim)
    return tuple(islice(found.values(), _MOST))


def _configured(config: Mapping[str, object], path: str | None) -> Iterator[ParentClaim]:
    for key in ("base_model_name_or_path", "model"):
        for name in names(config.get(key)):
            revision = config.get("revision")
            yield ParentClaim(
                kind="base", name=name, revision=revision[:100] if isinstance(revision, str) and revision else None,
                where=f"{path}#{key}",
            )  # fmt: skip
            return


def _keys(document: Mapping[str, object], where: str, *, record: bool = False) -> Iterator[ParentClaim]:
    """Yield what the keys of a card or record name."""
    for key in _RECORD_KEYS if record else _BASE_KEYS:
        for name in names(document.get(key)):
            if key in _BASE_KEYS or "/" in name:
                yield ParentClaim(kind="base", name=name, where=f"{where}#{key}")
    for key in _DATA_KEYS:
        for name in names(document.get(key)):
            if HUB_NAME.match(name) and name.lower() not in ("generator", "none", "null", "unknown", "imagefolder", "json", "csv"):
                yield ParentClaim(kind="dataset", name=name, where=f"{where}#{key}")
    for name in names(document.get("source_datasets")):
        if "/" in name.rpartition("|")[2]:
            yield ParentClaim(kind="dataset", name=name.rpartition("|")[2], where=f"{where}#source_datasets")
    for key in _TEACHER_KEYS:
        for name in names(document.get(key)):
            yield ParentClaim(kind="teacher", name=name, where=f"{where}#{key}")
    yield from _merged(document, where)


def _merged(document: Mapping[str, object], where: str) -> Iterator[ParentClaim]:
    """Yield every model of a mergekit recipe."""
    for model in _mappings(document.get("models")):
        for name in names(model.get("model")):
            yield ParentClaim(kind="base", name=name, where=f"{where}#models")
    for part in _mappings(document.get("slices")):
        for source in _mappings(part.get("sources")):
            for name in names(source.get("model")):
                yield ParentClaim(kind="base", name=name, where=f"{where}#slices")


def _record(subject: Subject, path: str, ctx: RunContext) -> Iterator[ParentClaim]:
    if path.endswith(".json"):
        document = read_json(subject, path, ctx).mapping
        origin = document.get("_name_or_path") if "model_type" in document else None
        for name in names(origin):
            if HUB_NAME.match(name) and "/" in name:
                yield ParentClaim(kind="base", name=name, where=f"{path}#_name_or_path")
        if "model_type" in document:
            return
    else:
        data = read_bytes(subject, path, ctx, _RECORD_BYTES)
        document = parse_yaml((data or b"").decode("utf-8", "replace")).mapping
    yield from _keys(document, path, record=True)


def _prose(subject: Subject, ctx: RunContext, *, code: bool) -> Iterator[ParentClaim]:
    """Yield what a card says in recipes, in generated sentences, and in code."""
    entry = subject.file(_CARD)
    data = read_bytes(subject, _CARD, ctx) if entry is not None and entry.present else None
    text = (data or b"")[:500_000].decode("utf-8", "replace")
    for block in islice(_FENCE.finditer(text), 8):
        yield from _keys(parse_yaml(block.group(1)).mapping, f"{_CARD} (recipe)", record=True)
    for rules, where, evidence in ((_SENTENCES, "text", True), (_CODE, "code", False)):
        for kind, pattern in rules:
            for match in islice(pattern.finditer(text), 8):
                name = match.group(1).strip().rstrip(".")
                if HUB_NAME.match(name) and "/" in name and (evidence or code):
                    yield _prose_claim(kind, name, f"{_CARD} ({where})")


def _prose_claim(kind: str, name: str, where: str) -> ParentClaim:
    match kind:
        case "base":
            return ParentClaim(kind="base", name=name, where=where, evidence="inferred")
        case "teacher":
            return ParentClaim(kind="teacher", name=name, where=where, evidence="inferred")
        case _:
            return ParentClaim(kind="dataset", name=name, where=where, evidence="inferred")


def names(value: object) -> Iterator[str]:
    """Yield the names in a value: a text, a list of texts, or of objects with ``path``, ``id`` or ``name``."""
    entries: Iterable[object] = value if isinstance(value, list) else value if isinstance(value, dict) else [value]
    for entry in islice(entries, _MOST):
        text = entry if isinstance(entry, str) else _named(entry)
        for part in text.split(",") if text and "/" not in text.split(",")[0][:1] else [text]:
            cut = part.strip().removeprefix("https://huggingface.co/").removeprefix("datasets/").strip("/ ")[:300]
            if part.strip().startswith(("/", "./", "~", "..")):
                cut = part.strip()[:300]
            if cut:
                yield cut


def _named(entry: object) -> str:
    if not isinstance(entry, dict):
        return ""
    return next((v for key in ("path", "id", "name", "model", "model_path") if isinstance(v := entry.get(key), str)), "")


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (v for v in value[:_MOST] if isinstance(v, dict))
