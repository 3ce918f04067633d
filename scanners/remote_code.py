"""Code that comes with a model: what asks a loader to run it, and what it would do. Nothing is imported or run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry, Subject
from scanners._formats.documents import read_bytes, read_json
from scanners._formats.python_source import Sink, Source, review

Whose = Literal["adapter", "base"]

_OWN = Rule(
    id="remote-code",
    summary="a configuration asks to run code shipped beside it",
    severity=Severity.MEDIUM,
    references=("AML.T0011.000", "CWE-829"),
)
_FOREIGN = Rule(
    id="remote-code-foreign",
    summary="a configuration asks to run code of another repository",
    severity=Severity.HIGH,
    references=("AML.T0010.003", "CWE-494"),
)
_DANGEROUS = Rule(
    id="code-dangerous",
    summary="shipped code acts when imported, or starts processes, connections or hidden code",
    severity=Severity.HIGH,
    references=("CWE-506", "AML.T0011.000"),
)
_SHIPPED = Rule(id="code-shipped", summary="code that nothing refers to comes with the model", severity=Severity.LOW)

_SCRIPTS = (".sh", ".bash", ".bat", ".cmd", ".ps1", ".ipynb")
_SCRIPT_NAMES = ("requirements.txt", "setup.cfg", "pyproject.toml", "Dockerfile", "Modelfile", "Makefile", "environment.yml")
_CONFIG = re.compile(r"(config|_map|preprocessor|processor)[^/]*\.json\Z|\Aconfig\.json\Z")
#: Libraries an adapter's ``auto_mapping`` names on its own; anything else is imported by the author's choice.
_LIBRARIES = ("transformers", "peft", "diffusers", "sentence_transformers", "timm", "torch")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_FETCH_AND_RUN = re.compile(r"\b(curl|wget)\b[^\n|;]*\|\s*(sudo\s+)?(ba|z|da)?sh\b|\bbase64\s+(-d|--decode)[^\n|]*\|\s*(ba|z)?sh\b")


class RemoteCode:
    """Looks for code that a loader would run, and reads it.

    Detects:
        ``auto_map`` entries in any configuration, to own code or (``owner/name--module.Class``) to another repository;
        ``auto_mapping`` of an adapter to a library models do not live in, and ``megatron_core``
        likewise; shipped Python that evaluates text, unpickles, starts
        processes, connects, or writes files when imported; scripts that fetch and run; any other shipped code.

    Why it matters:
        With ``trust_remote_code`` a loader executes these files as the user. Code of another repository can change after
        the audit, whatever revision of this one is pinned.

    Misses:
        What code does through names built at run time; code in notebooks' cells; effects inside functions that are no
        listed call; whether honest-looking code is wrong.

    Source:
        transformers ``dynamic_module_utils.py``; peft ``auto_mapping`` handling; MITRE ATLAS AML.T0011.000, AML.T0010.003.
    """

    id = "remote-code"
    version = "1"
    declares = (_OWN, _FOREIGN, _DANGEROUS, _SHIPPED)

    def wants(self, composition: Composition) -> bool:
        """Return whether any file is a configuration or code."""
        return any(_kind(f) for s in (composition.adapter, composition.base) if s is not None for f in s.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read configurations first, so that code they refer to is known, then code."""
        subjects: tuple[tuple[Whose, Subject | None], ...] = (("adapter", composition.adapter), ("base", composition.base))
        for whose, subject in subjects:
            if subject is None:
                continue
            referred: set[str] = set()
            for entry in sorted(subject.files, key=lambda f: (_kind(f) != "config", f.path)):
                kind = _kind(entry)
                item = f"{whose}: {entry.path}"
                if kind and not entry.present:
                    yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="not downloaded")
                elif kind == "config":
                    yield from _config(whose, subject, entry.path, referred, ctx)
                elif kind:
                    ctx.checkpoint()
                    yield from _code(whose, subject, entry.path, referred, ctx)


def _kind(entry: FileEntry) -> str:
    """Return what a file is read as: config, python, script, or nothing; by its name only."""
    name = entry.path.rsplit("/", 1)[-1]
    if name.endswith(".json") and _CONFIG.search(name):
        return "config"
    if name.endswith((".py", ".pyw")):
        return "python"
    return "script" if name.endswith(_SCRIPTS) or name in _SCRIPT_NAMES else ""


def _config(whose: Whose, subject: Subject, path: str, referred: set[str], ctx: RunContext) -> Iterator[Fact | Coverage]:
    document = read_json(subject, path, ctx)
    if document.value is None:
        reason = document.problems[0] if document.problems else "holds nothing"
        yield Coverage(item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason=reason)
        return
    for key, value in _references(document.value):
        yield from _auto_map(whose, path, key, value, referred)
    mapping = document.mapping.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if isinstance(library, str) and library.split(".")[0] not in _LIBRARIES:
        yield _imported(whose, path, "auto_mapping", library)
    core = document.mapping.get("megatron_core")
    if isinstance(core, str) and core.split(".")[0] != "megatron":
        yield _imported(whose, path, "megatron_core", core)
    yield Coverage(item=f"{whose}: {path}", outcome=Outcome.COMPLETED)


def _imported(whose: Whose, path: str, key: str, library: str) -> Finding:
    """Return what to say of an adapter that names the library its base class is imported from."""
    ordinary = key == "auto_mapping" and _MODULE.match(library) is not None and library.split(".")[0] not in sys.stdlib_module_names
    message = f"the adapter asks peft to import {library[:80]!r}" + (
        "; if that library is installed, importing it runs its code" if ordinary else ", where no model is kept"
    )
    finding = _said(_OWN, whose, path, key, message, "remove the field; loaders need none of it")
    return finding.model_copy(update={"severity": Severity.LOW if ordinary else Severity.HIGH})


def _references(value: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (key, reference) of every ``auto_map`` at any depth."""
    if isinstance(value, dict) and depth < 8:
        for key, inside in value.items():
            if key == "auto_map":
                for name, said in inside.items() if isinstance(inside, dict) else [("", inside)]:
                    for text in said if isinstance(said, list) else [said]:
                        if isinstance(text, str):
                            yield f"auto_map.{name}".rstrip("."), text
            else:
                yield from _references(inside, depth + 1)
    elif isinstance(value, list) and depth < 8:
        for inside in value:
            yield from _references(inside, depth + 1)


def _auto_map(whose: Whose, path: str, key: str, value: str, referred: set[str]) -> Iterator[Finding]:
    owner, _, module = value.rpartition("--")
    if owner:
        yield _said(
            _FOREIGN, whose, path, key,
            f"asks a loader to run {module[:80]!r} from the repository {owner[:80]!r}, which this audit did not pin or read",
            "do not load it with trust_remote_code; ask for a release without foreign code",
        )  # fmt: skip
        return
    file = value.rsplit(".", 1)[0].replace(".", "/") + ".py"
    folder = path.rsplit("/", 1)[0] + "/" if "/" in path else ""
    referred.add(folder + file)
    yield _said(
        _OWN, whose, path, key,
        f"asks a loader to run {value[:80]!r} from {file}; it runs as the user, with trust_remote_code",
        "load it without trust_remote_code, or have a person read the code first",
    )  # fmt: skip


def _code(whose: Whose, subject: Subject, path: str, referred: set[str], ctx: RunContext) -> Iterator[Fact | Coverage]:
    item = f"{whose}: {path}"
    data = read_bytes(subject, path, ctx, min(ctx.limits.document_bytes, 4 << 20))
    if data is None:
        yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="larger than is reviewed, or unreadable")
        return
    text = data.decode("utf-8", "replace")
    if not path.endswith((".py", ".pyw")):
        yield from _script(whose, path, text)
        yield Coverage(item=item, outcome=Outcome.COMPLETED)
        return
    result = review(text)
    yield from _reviewed(whose, path, result, referred)
    outcome = Outcome.SKIPPED if result.problem else Outcome.COMPLETED
    yield Coverage(item=item, outcome=outcome, reason=result.problem)


def _reviewed(whose: Whose, path: str, source: Source, referred: set[str]) -> Iterator[Finding]:
    if path not in referred:
        yield _said(_SHIPPED, whose, path, None, "Python code comes with the model; no configuration refers to it", "leave it out")
    acting = [s for s in source.sinks if s.grade == "dangerous" or (s.grade == "effect" and s.on_import)]
    if not acting:
        return
    worst = any(s.hidden for s in acting)
    shown = "; ".join(_sink(s) for s in acting[:4]) + (f"; and {len(acting) - 4} more" if len(acting) > 4 else "")
    finding = _said(
        _DANGEROUS, whose, path, None, f"the code {shown}", "do not run it; have a person read these lines", lines=_lines(acting)
    )
    certain = {"severity": Severity.CRITICAL, "confidence": Confidence.HIGH} if worst else {"confidence": Confidence.MEDIUM}
    yield finding.model_copy(update=certain)


def _sink(sink: Sink) -> str:
    return f"{sink.what} ({sink.name}, line {sink.line}{', when imported' if sink.on_import else ''})"


def _lines(sinks: list[Sink]) -> str:
    return ", ".join(str(s.line) for s in sinks[:20])


def _script(whose: Whose, path: str, text: str) -> Iterator[Finding]:
    match = _FETCH_AND_RUN.search(text)
    if match:
        yield _said(_DANGEROUS, whose, path, None, f"fetches and runs in one line: {match[0][:80]!r}", "do not run it")
    else:
        yield _said(_SHIPPED, whose, path, None, "a script or build file comes with the model; no loader needs it", "leave it out")


def _said(rule: Rule, whose: Whose, path: str, key: str | None, message: str, remedy: str, **evidence: str) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        basis=Basis.BYTES if key else Basis.TEXT,
        message=message,
        subject=whose,
        locations=(Location(path=path, key=key),),
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


PLUGIN = RemoteCode()
