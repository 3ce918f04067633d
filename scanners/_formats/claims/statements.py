"""What a repository's card and configurations say for the bill of materials: one short statement each, with its place.

Made in the inspection child for ``scanners._formats.claims.description``; read by ``reports._bom``. Claims, not facts: nothing here
is believed, and nothing is guessed. Text of a card is taken only from under the heading that announces it.

Source:
    Hugging Face Hub documentation, "Model Cards"; PEFT 0.21, "adapter_config.json"; Transformers 5, "Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from governance.context import RunContext
from governance.subject import Statement, Subject
from scanners._formats.documents import read_bytes

_CARD = "README.md"
_LONGEST = 600
_MOST = 120
_MOST_METRICS = 40
_CARD_CHARACTERS = 400_000
_PEFT = (
    "r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "use_dora", "use_rslora", "bias", "task_type",
    "peft_version", "num_virtual_tokens", "init_lora_weights",
)  # fmt: skip
_MODEL = (
    "model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
    "max_position_embeddings", "dtype", "torch_dtype", "transformers_version",
)  # fmt: skip
#: Parts of a configuration that give a model senses beside text.
_TOWERS = {"vision_config": "image", "audio_config": "audio", "speech_config": "audio", "video_config": "video"}
_TEXT_MODELS = re.compile(r"For(CausalLM|ConditionalGeneration|SequenceClassification|MaskedLM|TokenClassification)\Z")
#: First words of a heading, and what stands below it.
_HEADINGS = (
    ("limitations", ("limitation", "known limitation", "technical limitation", "bias, risks", "risks and limitation")),
    ("uses", ("intended use", "direct use", "use case", "uses", "intended purpose", "how to use this for")),
    ("misuse", ("out-of-scope", "misuse")),
    ("users", ("intended user", "users")),
    ("ethics", ("ethical", "ethics")),
    ("training", ("training procedure", "training detail", "training")),
    ("hardware", ("hardware", "compute infrastructure")),
)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)[ \t#]*$")
#: Tags that name a training method which CycloneDX has a word for.
_APPROACHES = {
    "sft": "supervised",
    "ppo": "reinforcement-learning",
    "grpo": "reinforcement-learning",
    "rloo": "reinforcement-learning",
}


def statements(
    subject: Subject,
    config_path: str | None,
    config: Mapping[str, object],
    model: Mapping[str, object],
    card: Mapping[str, object],
    ctx: RunContext,
) -> tuple[Statement, ...]:
    """Return what a repository says of itself, at most 120 statements of at most 600 characters.

    Args:
        subject: Whose card is read for its text.
        config_path: Where the adapter's configuration lies; None: there is none.
        config: The adapter's configuration.
        model: ``config.json``.
        card: Front matter of the card.
        ctx: Opens files.
    """
    said = [
        *_listed("peft", config_path or "", config, _PEFT),
        *_listed("config", "config.json", model, _MODEL),
        *_senses(model),
        *_front(card),
        *_text(subject, ctx),
    ]
    return tuple(said[:_MOST])


def _listed(prefix: str, where: str, document: Mapping[str, object], keys: tuple[str, ...]) -> Iterator[Statement]:
    for key in keys:
        value = _short(document.get(key))
        if value:
            yield Statement(key=f"{prefix}:{key}", value=value, where=f"{where}#{key}")


def _senses(model: Mapping[str, object]) -> Iterator[Statement]:
    architectures = model.get("architectures")
    names = [a for a in architectures[:10] if isinstance(a, str)] if isinstance(architectures, list) else []
    if any(_TEXT_MODELS.search(n) for n in names):
        yield Statement(key="input", value="text", where="config.json#architectures")
        yield Statement(key="output", value="text", where="config.json#architectures")
    for key, sense in _TOWERS.items():
        if isinstance(model.get(key), dict):
            yield Statement(key="input", value=sense, where=f"config.json#{key}")


def _front(card: Mapping[str, object]) -> Iterator[Statement]:
    for key, name in (("pipeline_tag", "task"), ("library_name", "library"), ("language", "language"), ("version", "version")):
        value = _short(card.get(key))
        if value:
            yield Statement(key=name, value=value, where=f"{_CARD}#{key}")
    tags = card.get("tags")
    named = {
        _APPROACHES[t.lower()]
        for t in (tags[:100] if isinstance(tags, list) else ())
        if isinstance(t, str) and t.lower() in _APPROACHES
    }
    if len(named) == 1:
        yield Statement(key="approach", value=named.pop(), where=f"{_CARD}#tags")
    emitted = card.get("co2_eq_emissions")
    if isinstance(emitted, dict):
        for key in ("emissions", "source", "training_type", "geographical_location", "hardware_used"):
            value = _short(emitted.get(key))
            if value:
                name = "hardware" if key == "hardware_used" else f"co2:{key}"
                yield Statement(key=name, value=value, where=f"{_CARD}#co2_eq_emissions.{key}")
    yield from _index(card.get("model-index"))


def _index(value: object) -> Iterator[Statement]:
    """Yield the numbers a card reports: ``type | data set | value``."""
    found = 0
    for model in _dicts(value):
        for result in _dicts(model.get("results")):
            data = result.get("dataset")
            name = _short(data.get("name") or data.get("type")) if isinstance(data, dict) else ""
            for metric in _dicts(result.get("metrics")):
                kind, number = _short(metric.get("type") or metric.get("name")), metric.get("value")
                if kind and isinstance(number, int | float) and not isinstance(number, bool) and found < _MOST_METRICS:
                    found += 1
                    text = " | ".join((kind.replace("|", "/"), name.replace("|", "/"), f"{float(number):.10g}"))
                    yield Statement(key="metric", value=text, where=f"{_CARD}#model-index")


def _dicts(value: object) -> list[dict[str, object]]:
    return [v for v in value[:50] if isinstance(v, dict)] if isinstance(value, list) else []


def _text(subject: Subject, ctx: RunContext) -> Iterator[Statement]:
    entry = subject.file(_CARD)
    if entry is None or not entry.present:
        return
    text = (read_bytes(subject, _CARD, ctx) or b"").decode("utf-8", "replace")[:_CARD_CHARACTERS]
    sections = _sections(_body(text))
    first = next((p for _, body in sections if (p := _paragraph(body))), "")
    if first:
        yield Statement(key="description", value=first, where=f"{_CARD}, first paragraph")
    seen: set[str] = set()
    for heading, body in sections:
        key = next((k for k, starts in _HEADINGS if heading.lower().startswith(starts)), "")
        said = _short(body)
        if key and said and key not in seen and "[More Information Needed]" not in said:
            seen.add(key)
            yield Statement(key=key, value=said, where=f"{_CARD}, under {heading[:80]!a}")


def _body(text: str) -> str:
    """Return a card without its front matter."""
    lines = text.lstrip("\ufeff").splitlines()
    if lines and lines[0].strip() == "---":
        end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), 0)
        lines = lines[end + 1 :]
    return "\n".join(lines)


def _sections(body: str) -> list[tuple[str, str]]:
    """Return headings with the text up to the next heading; fenced code is no heading and is left out."""
    found: list[tuple[str, list[str]]] = [("", [])]
    fenced = False
    for line in body.splitlines()[:5_000]:
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and len(line) < 300 and (heading := _HEADING.match(line)):
            found.append((heading[2].strip("* :"), []))
        elif not fenced:
            found[-1][1].append(line)
    return [(heading, "\n".join(lines)) for heading, lines in found]


def _paragraph(body: str) -> str:
    """Return the first paragraph of prose: no list, table, picture or markup."""
    for block in re.split(r"\n[ \t]*\n", body):
        text = " ".join(block.split())
        if len(text) > 20 and text[0] not in "-*|<![>#" and "[More Information Needed]" not in text:
            return text[:_LONGEST]
    return ""


def _short(value: object) -> str:
    """Return a scalar, or a list of scalars, as text; anything else is empty."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return " ".join(value.split())[:_LONGEST]
        case int() | float():
            return str(value)[:_LONGEST]
        case list():
            return ", ".join(filter(None, (_short(v) for v in value[:64] if isinstance(v, str | int | float))))[:_LONGEST]
        case _:
            return ""
