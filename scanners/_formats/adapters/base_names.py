"""Names of base models: whether one can be resolved, and whether two mean the same family.

Read by ``scanners.adapter_config``. A family is a name and its version, not an owner, a size or a storage format.
"""

from __future__ import annotations

import re
from typing import Literal

_NOISE = re.compile(
    r"(?:\A|[-_.])(instruct|it|chat|base|hf|bnb|4bit|8bit|unsloth|gptq|awq|int4|int8|fp8|gguf|bf16|fp16|dynamic|quantized|v\d+(\.\d+)*)(?=\Z|[-_.])"
)
#: What may follow family and size without meaning other weights' shapes.
_TAIL = re.compile(
    r"[-_.](instruct|it|chat|base|hf|bnb|4bit|8bit|bit|unsloth|gptq|awq|int4|int8|fp8|gguf|bf16|fp16|dynamic|quantized|mlx|pt|"
    r"v\d{1,2}(\.\d{1,2})?|2[3-6](0\d|1[0-2])|deduped|preview|qat|q4_0|unquantized)\Z"
)
_SIZE = re.compile(r"(?:\A|[-_.])(\d+x)?\d+(\.\d+)?[bmk](?=\Z|[-_.])")
_FAMILY = re.compile(r"([a-z]+)[-_. ]?(\d+(?:\.\d+)?)?")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z", re.ASCII)
_ALIKE = re.compile(r"[\w.-]+/[\w.-]+\Z")
_LOCAL = re.compile(r"\A([/\\~.]|[A-Za-z]:[\\/])|\\|\A(content|root|home|workspace|mnt|data|models?|checkpoints?|outputs?)/|/.*/")

Place = Literal["hub", "local", "hostile"]
Kinship = Literal["same", "family", "other"]


def place(name: str) -> Place:
    """Return where a base's name points: a Hub, somebody's disk, or somewhere it should not.

    A name shaped like a repository's that mixes alphabets is none: no Hub has it, and it may be mistaken for one that is.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) or ".." in re.split(r"[\\/]", name) or any(ord(c) < 32 for c in name):
        return "hostile"
    if _ALIKE.match(name) and re.search(r"[A-Za-z]", name) and not name.isascii():
        return "hostile"
    return "hub" if _HUB.match(name) and not _LOCAL.search(name) else "local"


def kinship(first: str, second: str) -> Kinship:
    """Return how near two names of bases are.

    Args:
        first: ``owner/name`` or a name alone.
        second: Likewise.

    Returns:
        ``same`` if only owner, case or storage differ; ``family`` if size or tuning differ; else ``other``.
    """
    one, two = _bare(first), _bare(second)
    if one == two or _stored(one) == _stored(two):
        return "same"
    return "family" if _family(one) == _family(two) else "other"


def core(name: str) -> str:
    """Return a base's name without owner, tuning, version of the release and storage format: family and size."""
    bare = re.sub(r"\A(?:meta-|hf-)(?=llama)", "", _bare(name)[:200])
    last = ""
    while bare != last:
        last, bare = bare, _TAIL.sub("", bare)
    return bare


def cached_revision(name: str) -> tuple[str, str] | None:
    """Return repository and commit if a path is that of a Hub cache, which tells both; else None."""
    match = re.search(r"models--([\w.-]+?)--([\w.-]+?)(?:[\\/]snapshots[\\/]([0-9a-f]{40}))?(?:[\\/]|\Z)", name, re.ASCII)
    return (f"{match[1]}/{match[2]}", match[3] or "") if match else None


def _bare(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1].lower().removeprefix("meta-")


def _stored(name: str) -> str:
    """Return a name without what only says how it is stored."""
    return re.sub(r"[-_.](hf|bnb|4bit|8bit|unsloth|gptq|awq|int4|int8|fp8|gguf|bf16|fp16|dynamic|quantized)(?=\Z|[-_.])", "", name)


def _family(name: str) -> tuple[str, str]:
    core = _NOISE.sub("", _SIZE.sub("", name)).removeprefix("meta-").strip("-_.")
    match = _FAMILY.match(core)
    return (match[1], match[2] or "") if match else (core, "")
