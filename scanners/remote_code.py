"""Code that comes with a model: what asks a loader to run it, and what it would do. Nothing is imported or run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.code.notebooks import read_notebook
from scanners._formats.code.python_sinks import Sink
from scanners._formats.code.python_source import Source, review
from scanners._formats.code.script_acts import Act
from scanners._formats.code.scripts import read_script, script_kind
from scanners._formats.configs.configurations import Path, fields, read_configuration
from scanners._formats.configs.values import is_document
from scanners._formats.kind_table import words_of
from scanners._formats.names import shown
from scanners._formats.tree import Content, contents

Whose = Literal["adapter", "base"]

_OWN = Rule(
    id="remote-code",
    summary="asks to run code shipped beside it",
    severity=Severity.MEDIUM,
    references=("AML.T0011.000", "CWE-829"),
)
_FOREIGN = Rule(
    id="remote-code-foreign",
    summary="asks to run code of another repository",
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
_INSTALL = Rule(
    id="install-script",
    summary="a script or installer file fetches and runs, or installs from where nobody vouches",
    severity=Severity.HIGH,
    references=("CWE-494", "AML.T0011.001", "AML.T0010.001"),
)
_LARGEST = 4 << 20
_READ = ("json", "text", "python", "shell", "html", "unknown")
_PROSE = (".md", ".rst", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".toml", ".jinja", ".html", ".xml", ".log")
_PYTHON = re.compile(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|exec\(|__import__\()", re.MULTILINE)
#: Modules the interpreter imports at every start, if they lie where it looks.
_AT_START = ("sitecustomize.py", "usercustomize.py")


class RemoteCode:
    """Looks for code that a loader, an installer or a person would run, and reads it.

    Detects:
        ``auto_map`` and ``custom_pipelines`` entries in any configuration, to own code or (``owner/name--module.Class``) to
        another repository; ``custom_generate`` folders; Python under any name and in notebooks that evaluates text, unpickles,
        starts processes, connects, loads native code, or acts when imported, by whatever alias; scripts, requirements,
        package and build files that fetch and run, or install from foreign indexes, addresses and look-alike names.

    Why it matters:
        With ``trust_remote_code`` a loader executes these files as the user. Code of another repository can change after
        the audit, whatever revision of this one is pinned. Installers run what they fetch.

    Misses:
        What code does through names built from input; Python 2 and other languages, which are said to be unread; effects of
        packages it imports; whether honest-looking code is wrong.

    Source:
        transformers ``dynamic_module_utils.py``, ``generation/utils.py``; MITRE ATLAS AML.T0011.000, AML.T0010.003.
    """

    id = "remote-code"
    version = "2"
    declares = (_OWN, _FOREIGN, _DANGEROUS, _SHIPPED, _INSTALL)

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: code may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read configurations first, so that code they refer to is known, then code."""
        for whose in ("adapter", "base"):
            side: Whose = "adapter" if whose == "adapter" else "base"
            mark = "" if side == "adapter" else "base: "
            roots: list[Content] = []
            for entry, root in contents(composition, ctx, side):
                if root is None:
                    yield Coverage(item=mark + entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                else:
                    roots.append(root)
            referred: set[str] = set()
            configured: dict[str, str] = {}
            for root in roots:
                for content in root.walk():
                    if content.kind in ("json", "text") and content.name != "tokenizer.json" and content.size <= _LARGEST:
                        findings = list(_configured(content, side, referred))
                        said = [f for f in findings if isinstance(f, Finding)]
                        if findings or is_document(content.name):
                            configured[root.path] = next((f for f in findings if isinstance(f, str)), configured.get(root.path, ""))
                        yield from said[: ctx.limits.findings // 4]
            for root in roots:
                ctx.checkpoint()
                yield from _root(root, side, mark, referred, configured)


def _root(root: Content, whose: Whose, mark: str, referred: set[str], configured: dict[str, str]) -> Iterator[Fact | Coverage]:
    read, problem = root.path in configured, configured.get(root.path, "")
    for content in root.walk():
        if content.kind not in _READ or (content.kind == "unknown" and not content.name.endswith((".py", ".pth"))):
            continue
        role = _role(content)
        if content.kind == "html" and not role:
            continue
        if content.size > _LARGEST:
            problem = problem or ("larger than code is reviewed" if role else "")
            continue
        data = content.read(_LARGEST)
        if data is None:
            problem = problem or "it cannot be read"
            continue
        found = list(_code(content, data, role, whose, referred))
        read = read or bool(found) or role != ""
        for said in found:
            if isinstance(said, Finding):
                yield said
            else:
                problem = problem or said
    if problem:
        yield Coverage(item=mark + root.path, outcome=Outcome.SKIPPED, reason=problem)
    elif read:
        yield Coverage(item=mark + root.path, outcome=Outcome.COMPLETED)
    else:
        yield Coverage(item=mark + root.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: no code")


def _role(content: Content) -> str:
    """Return what content is read as because of its name or first line; empty if its text must tell."""
    if content.kind == "python" or content.suffix in (".py", ".pyw", ".pyi"):
        return "python"
    if content.suffix == ".ipynb":
        return "notebook"
    return script_kind(_where(content)) or ("shell" if content.kind == "shell" else "")


def _where(content: Content) -> str:
    """Return the path by which a program would find some content."""
    return (content.entry[-1] if content.entry else content.path).replace("\\", "/")


def _configured(content: Content, whose: Whose, referred: set[str]) -> Iterator[Finding | str]:
    """Yield what a configuration asks to run; remember which files that is."""
    data = content.read(_LARGEST)
    if data is None or not any(word in data for word in (b"auto_map", b"custom_pipelines", b"\\u", b"a\0u\0")):
        return
    found = read_configuration(data, content.name)
    if found is not None and found.unreadable:
        yield f"it speaks of code to run, but {found.unreadable}"
    for path, value in fields(found.value) if found is not None else ():
        if isinstance(value, str) and _refers(path):
            yield from _reference(content, whose, path, value, referred)


def _refers(path: Path) -> bool:
    """Return whether a value stands where loaders look for the class to run: right below, or in a list below."""
    near = path[-3:]
    return ("auto_map" in near and path[-1] != "model_type") or ("custom_pipelines" in path and path[-1] == "impl")


def _reference(content: Content, whose: Whose, path: Path, value: str, referred: set[str]) -> Iterator[Finding]:
    key = shown(".".join(p for p in path if not p.isdigit())[:200])
    owner, _, module = value.rpartition("--")
    if owner:
        yield _said(
            _FOREIGN, content, whose,
            f"asks a loader to run {module[:80]!a} from the repository {owner[:80]!a}, neither pinned nor read here",
            "do not load it with trust_remote_code; ask for a release without foreign code", key=key,
        )  # fmt: skip
        return
    file = value.rsplit(".", 1)[0].replace(".", "/") + ".py"
    folder = content.path.rsplit("/", 1)[0] + "/" if "/" in content.path else ""
    referred.add(folder + file)
    yield _said(
        _OWN, content, whose,
        f"asks a loader to run {value[:80]!a} from {shown(file[:100])}; it runs as the user, with trust_remote_code",
        "load it without trust_remote_code, or have a person read the code first", key=key,
    )  # fmt: skip


def _code(content: Content, data: bytes, role: str, whose: Whose, referred: set[str]) -> Iterator[Finding | str]:
    text = data.decode("utf-8", "replace")
    if role == "python":
        yield from _python(content, text, whose, referred)
    elif role == "notebook" or (content.kind == "json" and b'"nbformat"' in data):
        yield from _notebook(content, data, whose, named=role == "notebook")
    elif role:
        kind = script_kind(_where(content)) or "shell"
        quiet = kind in ("requirements", "package.json", "pth", "packager")
        yield from _script(content, read_script(text, kind, content.name), whose, quiet=quiet)
    elif content.kind in ("text", "unknown") and content.suffix not in _PROSE and len(_PYTHON.findall(text)) > 0:
        result = review(text)
        if not result.problem and result.sinks:
            yield from _reviewed(content, result, whose, content.path in referred)
    elif content.kind == "text" and not content.suffix:
        yield from _script(content, read_script(text, "shell"), whose, quiet=True)


def _python(content: Content, text: str, whose: Whose, referred: set[str]) -> Iterator[Finding | str]:
    result = review(text)
    known = content.path in referred
    if _is_generate(content):
        known = True
        yield _said(_OWN, content, whose,
                    "generate() runs this file in place of its own loop, with trust_remote_code (transformers 4.51 and later)",
                    "load it without trust_remote_code, or have a person read the code first")  # fmt: skip
    elif content.name in _AT_START:
        yield _said(
            _INSTALL, content, whose, "every start of Python runs a module of this name where it looks for modules", "remove it"
        )
    elif not known:
        yield _said(_SHIPPED, content, whose, "Python code comes with the model; no configuration refers to it", "leave it out")
    yield from _reviewed(content, result, whose, known)
    if result.problem:
        yield result.problem


def _is_generate(content: Content) -> bool:
    parts = (*content.path.split("/"), *(p for e in content.entry for p in e.split("/")))
    return parts[-2:] == ("custom_generate", "generate.py")


def _reviewed(content: Content, source: Source, whose: Whose, referred: bool) -> Iterator[Finding]:
    acting = [s for s in source.sinks if s.grade == "dangerous" or (s.grade == "effect" and s.on_import)]
    if not referred:  # a training script may load what its author trusts; code a loader runs may not decide that for the user
        acting = [s for s in acting if not s.loaded and not s.what.startswith(("trusts the code", "starts threads"))]
    if not acting:
        return
    worst = any(s.hidden for s in acting)
    told = "; ".join(_sink(s) for s in acting[:4]) + (f"; and {len(acting) - 4} more" if len(acting) > 4 else "")
    lines = ", ".join(str(s.line) for s in acting[:20])
    finding = _said(_DANGEROUS, content, whose, f"the code {told}", "do not run it; have a person read these lines", lines=lines)
    certain = {"severity": Severity.CRITICAL, "confidence": Confidence.HIGH} if worst else {"confidence": Confidence.MEDIUM}
    yield finding.model_copy(update=certain)


def _sink(sink: Sink) -> str:
    return f"{sink.what} ({shown(sink.name)}, line {sink.line}{', when imported' if sink.on_import else ''})"


def _notebook(content: Content, data: bytes, whose: Whose, *, named: bool) -> Iterator[Finding | str]:
    book = read_notebook(data)
    if book is None:
        if named:
            yield "it is no notebook that can be read"
        return
    more = f"; outputs of {book.scripted} cells hold scripts, which run where it is shown" if book.scripted else ""
    yield _said(_SHIPPED, content, whose, f"a notebook comes with the model; no loader needs it{more}", "leave it out")
    if book.sending:
        yield _said(_DANGEROUS, content, whose, f"outputs of {book.sending} cells hold scripts that send the page's own data away",
                    "do not open it as trusted; clear its outputs")  # fmt: skip
    acts = read_script(book.shell, "shell") if book.shell else ()
    yield from _script(content, acts, whose, quiet=True)
    result = review(book.python)
    hidden = [s for s in result.sinks if s.hidden or s.what.startswith(("climbs", "loads compiled"))]
    if hidden:
        yield from _reviewed(content, Source(sinks=tuple(hidden)), whose, referred=False)


def _script(content: Content, acts: tuple[Act, ...], whose: Whose, *, quiet: bool) -> Iterator[Finding]:
    if acts:
        worst = max(acts, key=lambda a: a.severity.rank)
        told = "; ".join(f"{a.words} (line {a.line})" for a in acts[:4]) + (f"; and {len(acts) - 4} more" if len(acts) > 4 else "")
        finding = _said(_INSTALL, content, whose, f"it {told}", "do not run it, and install nothing it asks for")
        yield finding.model_copy(update={"severity": worst.severity, "confidence": Confidence.MEDIUM})
    elif not quiet:
        yield _said(_SHIPPED, content, whose, "a script or build file comes with the model; no loader needs it", "leave it out")


def _said(
    rule: Rule, content: Content, whose: Whose, message: str, remedy: str, key: str | None = None, **evidence: str
) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        basis=Basis.BYTES if key else Basis.TEXT,
        message=f"{content}: {message}",
        subject=whose,
        locations=(content.location(key=key),),
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


PLUGIN = RemoteCode()
