"""What text beside weights may be besides text: code, commands, active markup, expressions, access tokens, a file in disguise.

Metadata of weights is for people and trainers: JSON of a training run, names, dates, prompts, a description in Markdown or HTML.
So nothing is said of calls, links, imports or tags as such, but of what acts when some program takes the text for code.
Read by ``scanners.tensor_layout``. Every pattern is linear in the text.

Source:
    CWE-94, CWE-78, CWE-79, CWE-1236, CWE-1336; POSIX shell grammar; HTML Living Standard (what runs script); Python ``ast``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from scanners._formats.code import python_source
from scanners._formats.tensors.carried_files import HEAD, carried_file

#: Text is looked at in full up to here; more of it is no metadata.
LONGEST = 4 << 20
#: What a credential is called here; a reader of credentials says more.
TOKEN = "what looks like an access token"  # noqa: S105 - words, no credential
_NESTED = 4
_LONGEST_NAME = 2_000
_SHELLS = r"(?:(?:ba|z|da|k|c|a|fi)?sh|python[\d.]*|perl|ruby|node|php|osascript|powershell|pwsh|iex|cmd)(?:\.exe)?"
_COMMANDS = (
    r"(?:curl|wget|nc|ncat|bash|sh|zsh|id|whoami|uname|cat|ls|rm|chmod|python3?|perl|nslookup|dig|ping|env|printenv|touch"
    r"|echo|base64)"
)
#: What a pipe into a shell begins with; a list of words between bars is none.
_PRODUCERS = (
    r"(?:curl|wget|fetch|aria2c|base64|base32|xxd|printf|echo|cat|openssl|gunzip|zcat|tr|sed|awk|rev|tac|ncat?|dig|iwr|irm"
    r"|invoke-\w{1,20})"
)
_SHELL = re.compile(
    rf"(?<![\w.-]){_PRODUCERS}\s[^\n]{{1,500}}?\|\s{{0,9}}(?:sudo\s{{1,9}})?(?:/(?:usr/)?bin/)?(?:env\s{{1,9}})?{_SHELLS}(?=$|[\s;|&\"'`)-])"
    rf"|\b{_SHELLS}\s{{1,9}}(?:-[a-z]{{0,6}}c\b|/c\b|-e(?:nc|ncodedcommand)?\s)"
    rf"|\$\(\s{{0,9}}{_COMMANDS}\b[^)\n]{{0,400}}\)(?!\$)"
    rf"|(?:^|[;&|]{{1,2}})\s{{0,9}}(?:sudo\s{{1,9}})?rm\s{{1,9}}-[a-z]{{0,4}}[rf]"
    rf"|(?:;|&&|\|\|)\s{{0,9}}{_COMMANDS}\s{{1,9}}(?:-|/|https?:)"
    r"|/dev/(?:tcp|udp)/|\$\{IFS\}|\bchmod\s{1,9}(?:\+x|0?[75]\d\d)\b|\bnc(?:at)?\s{1,9}-[a-z]{0,4}e\b|\A#!\s{0,9}/",
    re.IGNORECASE | re.MULTILINE,
)
_MARKUP = re.compile(
    r"<\s{0,9}(?:script|iframe|object|embed|applet|base|form)\b(?=[\s/>])|<\s{0,9}meta\s[^>]{0,200}http-equiv"
    r"|<[a-z][^<>]{0,2000}[\s/\"']on[a-z]{3,20}\s{0,9}=|\b(?:java|vb)script\s{0,9}:\s{0,9}[\w(]|\bdata:text/html\b"
    r"|<!ENTITY\b|<\?(?:php|xml-stylesheet)\b|<svg[^<>]{0,2000}\bonload",
    re.IGNORECASE,
)
_PYTHON = re.compile(
    r"(?<![\w.])(?:exec|eval|__import__|execfile)\s{0,3}\(\s{0,9}[^\s)]"
    r"|\b(?:os\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?|remove|unlink)|subprocess\.\w{1,30}|pty\.spawn|shutil\.rmtree"
    r"|importlib\.import_module|ctypes\.(?:CDLL|cdll)|(?:pickle|marshal|dill|cloudpickle)\.loads?|socket\.socket)\s{0,3}\("
    r"|__(?:globals|builtins|subclasses|mro|bases|import|getattribute|reduce(?:_ex)?|loader|code)__"
    r"|\b(?:Runtime\.getRuntime|ProcessBuilder|child_process|require\s{0,3}\(\s{0,3}['\"]child_process)"
)
_EXPRESSION = re.compile(
    r"\$\{\s{0,9}(?:jndi|lower|upper|env|sys|script|java|T\()\s{0,9}[:.(]|<%=?[^%]{1,400}%>|#\{[^}\n]{1,400}\}|\A[=+@-]\s{0,3}(?:cmd|DDE|HYPERLINK|IMPORT\w{1,8}|WEBSERVICE)\s{0,3}[|(]"
)
#: Double braces round plain words are the emphasis of a prompt.
_JINJA = re.compile(r"\{\{[^{}]{0,200}(?:\w[(\[.]\w|\w\s{0,3}[*|+]\s{0,3}\w)[^{}]{0,200}\}\}|\{%[^%]{1,400}%\}")
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(?:hf_[A-Za-z0-9]{30,60}|gh[pousr]_[A-Za-z0-9]{30,60}|github_pat_\w{30,100}|sk-[A-Za-z0-9_-]{20,200}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abprs]-[A-Za-z0-9-]{10,80}|AIza[A-Za-z0-9_-]{35}|glpat-[A-Za-z0-9_-]{20,40}"
    r"|eyJ[A-Za-z0-9_-]{10,400}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,400})"
    r"|-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----|\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,80}:[^\s:/@]{3,80}@"
)
_SECRET_KEY = re.compile(r"(?:^|[_.-])(?:api_?key|secret|passw(?:or)?d|access_?token|auth_?token|private_?key)s?\Z", re.IGNORECASE)
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/]{4}){16,}[A-Za-z0-9+/]{0,3}={0,2}")
_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "LATIN", "MODIFIER LETTER", "DESERET")


@dataclass(frozen=True)
class Sign:
    """Something text is besides text.

    Attributes:
        what: In words.
        excerpt: The piece that shows it; empty for what must not be shown.
    """

    what: str
    excerpt: str = ""


def signs(key: str, text: str, *, depth: int = 0) -> Iterator[Sign]:
    """Yield what a value of metadata is besides text; each kind once.

    Args:
        key: Its name.
        text: The value; JSON is looked into, so that its strings are read as a loader would have them.
        depth: JSON inside JSON around it.
    """
    inner = _json(text) if depth < _NESTED else None
    if inner is None:
        yield from _plain(key, text)
        return
    seen = set[str]()
    for name, value in _strings(inner):
        for sign in (*signs(name or key, value, depth=depth + 1), *(_plain("", name) if name else ())):
            if sign.what not in seen:
                seen.add(sign.what)
                yield sign


def _plain(key: str, text: str) -> Iterator[Sign]:
    if len(text) < 4:
        return
    for pattern, what in (
        (_SHELL, "a shell command"),
        (_MARKUP, "markup that runs"),
        (_EXPRESSION, "an expression some program evaluates"),
    ):
        if found := pattern.search(text):
            yield Sign(what, found.group()[:80])
    if found := _PYTHON.search(text):
        yield Sign("code", found.group()[:80])
    elif what := _program(text):
        yield Sign("code", what)
    if (jinja := _JINJA.search(text)) and not found:
        yield Sign("an expression of a template", jinja.group()[:80])
    if _TOKEN.search(text) or (_SECRET_KEY.search(key) and _random(text)):
        yield Sign(TOKEN)
    yield from _files(text)


def _program(text: str) -> str:
    """Return what text does if it is a Python program that acts under other names: imported as, or built."""
    if len(text) > 200_000 or "(" not in text or "import" not in text:
        return ""
    return next((s.name for s in python_source.review(text).sinks if s.grade == "dangerous"), "")


def _files(text: str) -> Iterator[Sign]:
    for run in _ENCODED.finditer(text):
        encoded = run.group()[: HEAD * 4 // 3 // 4 * 4]
        try:
            data = base64.b64decode(encoded[: len(encoded) // 4 * 4], validate=True)
        except (binascii.Error, ValueError):
            continue
        if words := carried_file(data):
            yield Sign(f"{words}, encoded")
            return


def _random(text: str) -> bool:
    """Return whether a value is a secret's: one long word of several kinds of characters."""
    word = text.strip()
    kinds = sum(any(test(c) for c in word) for test in (str.isdigit, str.islower, str.isupper))
    return 12 <= len(word) <= 200 and kinds >= 2 and word.isascii() and not set(word) & set(" /\\{}<>")


def _json(text: str) -> object | None:
    if text[:1] not in '{["' or len(text) > LONGEST:
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _strings(value: object) -> Iterator[tuple[str, str]]:
    """Yield every string of a JSON value with its key."""
    todo: list[tuple[str, object]] = [("", value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            todo += [(str(k), v) for k, v in value.items()]
            for name in value:
                yield "", str(name)
        elif isinstance(value, list):
            todo += [(key, v) for v in value]


def odd_name(name: str) -> str | None:
    """Return what makes a tensor's name another than it looks, in words, or None.

    Letters of scripts nobody confuses with Latin are fine.
    """
    if len(name) > _LONGEST_NAME:
        return f"is {len(name):,} characters long"
    if name.isascii() and name.isprintable():
        if name.startswith("/") or ".." in name.split("/"):
            return "is a path that leaves its folder"
        return "begins or ends with a blank" if name != name.strip() else None
    for character in name:
        kind = unicodedata.category(character)
        if kind == "Cc":
            return f"holds the control character U+{ord(character):04X}"
        if kind in ("Cf", "Zl", "Zp", "Cs", "Co", "Cn") or (kind == "Zs" and character != " "):
            return f"holds the invisible character U+{ord(character):04X}"
        if kind.startswith("M"):
            return f"holds the combining mark U+{ord(character):04X}"
        if not character.isascii() and _looks_latin(character):
            return f"holds U+{ord(character):04X}, which looks like a Latin letter"
    return None


def _looks_latin(character: str) -> bool:
    folded = unicodedata.normalize("NFKC", character)
    return folded.isascii() or unicodedata.name(character, "").startswith(_SCRIPTS)
