"""Credentials and personal paths that were published with a model."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.code.secrets import find_secrets, home_folders
from scanners._formats.kind_table import kind_rows, words_of
from scanners._formats.names import shown
from scanners._formats.tree import Content, contents

_SECRET = Rule(
    id="secret-exposed",
    summary="a token or key, shown masked",
    severity=Severity.HIGH,
    references=("CWE-798", "AML.T0055"),
)
_PATH = Rule(id="local-path-exposed", summary="a path of a person's machine", severity=Severity.LOW, references=("CWE-200",))
#: Read as a whole; a longer text is read to its ceiling.
_TEXT_BYTES, _KEYED_BYTES, _HEADER_BYTES = 64 << 20, 1 << 20, 1 << 20
#: Binary formats whose first part is text somebody wrote: metadata, constants.
_HEADED = ("safetensors", "gguf", "pickle", "onnx", "protobuf", "numpy", "sqlite", "parquet", "unknown", "msgpack", "pdf")
_SHOWN = 20


class ExposedSecrets:
    """Looks for credentials in every text, in headers of weights, and in constants of pickles.

    Detects:
        Tokens of known shape (GitHub and npm with their checksums, Hugging Face, OpenAI, Anthropic, AWS, Google, Azure, Slack,
        Stripe, PyPI, GitLab and others), private keys, signed tokens, passwords in addresses and netrc files, Kaggle keys;
        values of high entropy beside a telling key; paths of home folders.

    Why it matters:
        Whoever downloads the model can use them, and a token that may write to the repository can change what others load.

    Misses:
        Secrets without a shape or a telling key; vocabularies of tokenizers, which hold anything; values beside telling
        keys in documents above 1 MiB; the rest of binary files after their first 1 MiB. Whether a secret still works.

    Source:
        ``scanners/_formats/tables/secrets.yaml``; CWE-798.
    """

    id = "exposed-secrets"
    version = "1"
    declares = (_SECRET, _PATH)

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield what was left in each file, and coverage for it."""
        for entry, root in contents(composition, ctx):
            ctx.checkpoint()
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                continue
            read, gap = False, ""
            for content in root.walk():
                is_text = kind_rows()[content.kind].text
                if not is_text and content.kind not in _HEADED:
                    continue
                data = _bytes(content, is_text)
                if data is None:
                    gap = "it cannot be read"
                    continue
                read = True
                if is_text and content.size > _TEXT_BYTES:
                    gap = f"only its first {_TEXT_BYTES >> 20} MiB were read"
                yield from _found(content, data, is_text)
            if gap:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason=gap)
            elif read:
                yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)
            else:
                yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: no text")


def _bytes(content: Content, is_text: bool) -> bytes | None:
    """Return what is read of some content: a text, or the first part of anything else, its header if it says how long that is."""
    limit = _TEXT_BYTES if is_text else _HEADER_BYTES
    try:
        with content.open() as stream:
            if content.kind == "safetensors":
                begin = stream.read(8)
                return begin + stream.read(min(int.from_bytes(begin, "little"), limit))
            data = stream.read(limit)
    except (OSError, SubjectError):
        return None
    if is_text and b"\0" in data[:64]:
        return data.replace(b"\0", b"")
    return _without_vocabulary(data) if is_text and len(data) > _KEYED_BYTES else data


def _without_vocabulary(data: bytes) -> bytes:
    """Return a large tokenizer without its vocabulary and merges, which hold any text there is."""
    at = data.find(b'"vocab"')
    end = max(data.rfind(b'"merges"'), at)
    if at < 0 or b'"added_tokens"' not in data[:at]:
        return data
    return data[:at] + data[max(end, len(data) - (64 << 10)) :][-(64 << 10) :]


def _found(content: Content, data: bytes, is_text: bool) -> Iterator[Finding]:
    secrets = find_secrets(data, keyed=is_text and len(data) <= _KEYED_BYTES)
    for secret in secrets[:_SHOWN]:
        more = f"; {len(secrets) - _SHOWN} more in this file" if len(secrets) > _SHOWN and secret is secrets[_SHOWN - 1] else ""
        yield Finding(
            rule=_SECRET.id,
            severity=_SECRET.severity,
            confidence=Confidence.HIGH if secret.certain else Confidence.MEDIUM,
            basis=Basis.BYTES,
            message=f"{content}: it holds {secret.what}, {shown(secret.masked)}: whoever downloads the model can use it{more}",
            locations=(content.location(offset=secret.offset),),
            remediation="revoke it, then publish without it",
            references=_SECRET.references,
        )
    names = home_folders(data) if len(data) <= _KEYED_BYTES else ()
    if names:
        told = ", ".join(f"{n!a}" for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield Finding(
            rule=_PATH.id,
            severity=_PATH.severity,
            message=f"{content}: it tells names of people's folders: {told}",
            locations=(content.location(),),
            remediation="publish relative paths or none",
            references=_PATH.references,
        )


PLUGIN = ExposedSecrets()
