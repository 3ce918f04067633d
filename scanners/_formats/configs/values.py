"""The closed list of fields that act (``tables/config_fields.yaml``) applied to one value. Read by ``scanners.config_fields``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

from governance.evidence import Severity
from scanners._formats.code.python_sinks import grade_of
from scanners._formats.configs.configurations import Pairs
from scanners._formats.paths import escapes
from scanners._formats.tables import table

Check = Literal["any", "module", "true", "false", "kernel", "repository", "inside", "code", "url"]
_URL = re.compile(r"(?:https?|ftp|s3|gs|hf|file|git\+?\w*|ssh|data)://?\S", re.IGNORECASE)
_REPOSITORY = re.compile(r"[\w][\w.\-]*/[\w][\w.\-]*(?:@[\w.\-/]+)?\Z")
_CODE = re.compile(
    r"__(?:import|builtins|class|globals|subclasses|getattribute|mro|reduce|code|loader|base)s?__|"
    r"\b(?:eval|exec|compile|getattr|popen|import_module|check_output|Popen)\(|\blambda\b[^\n:]{0,60}:\s*\w+[.(]|"
    r"\bimport\s+(?:os|sys|subprocess|socket|ctypes|builtins)\b|\bos\.(?:system|popen|exec)|\bsubprocess\.\w+\(|<script\b",
)
#: Of these, what nobody writes as a setting.
_CERTAIN = re.compile(r"__(?:import|builtins|globals|subclasses)__|\b(?:os\.(?:system|popen|exec\w*)|subprocess\.\w+|eval|exec)\(")
_DOTTED = re.compile(r"[A-Za-z_]\w{0,60}(?:[.:/][A-Za-z_]\w{0,60}){1,6}\Z")
_FILE = re.compile(r"[\w./\\~:\-]{1,300}\.(?:py|pyc|so|dll|dylib|pkl|pickle|joblib|sh|bat|ps1|exe|jar|whl)\Z", re.IGNORECASE)
_TELLING = re.compile(
    r"(?:path|file|filename|dir|directory|url|uri|repo|repo_id|repository|module|library|model_id|name_or_path|checkpoint|plugin|"
    r"loader|import|cmd|command|script|hook|handler|entrypoint|entry_point|class_path|callback|kernel)s?\Z",
    re.IGNORECASE,
)
#: Where honest configurations keep what was a path of their author's machine.
_AUTHORS = re.compile(
    r"(?:[A-Za-z]:)?[/\\]+(?:home|root|Users|content|workspace|kaggle|mnt|data\d*|tmp|scratch|gpfs|work|nfs|opt|srv|var/tmp|storage|"
    r"lustre|fsx|project|projects|cache|models?|raid|ssd\d*|disk\d*|teamspace|dbfs|notebooks|usr/src|app|shared|public|private)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FieldRow:
    """One field that acts.

    Attributes:
        field: Its path from the end; ``*`` is any one key or position.
        rule: What to report.
        check: Which values act.
        loader: Who reads it.
        versions: Which versions.
        sink: What the value reaches.
        source: The file that reads it.
        files: Names of documents it is read from; empty for any.
        honest: Values or owners every release writes.
        severity: If not the rule's own.
        advisory: A public identifier.
    """

    field: str
    rule: str
    check: Check
    loader: str
    versions: str
    sink: str
    source: str
    files: tuple[str, ...] = ()
    honest: tuple[str, ...] = ()
    severity: str = ""
    advisory: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Its path, key by key."""
        return tuple(self.field.split("."))


@dataclass(frozen=True)
class Hit:
    """A value that acts: which row says so, how bad it is, and why in words."""

    row: FieldRow
    severity: Severity
    words: str


@cache
def rows() -> Mapping[str, tuple[FieldRow, ...]]:
    """Return the closed list by the last key of each field; ``*`` holds those that end in one."""
    found: dict[str, list[FieldRow]] = {}
    for raw in table("config_fields")["fields"]:
        lists = {k: tuple(map(str, raw.get(k, ()))) for k in ("files", "honest")}
        row = FieldRow(**{**raw, **lists})
        found.setdefault(row.keys[-1], []).append(row)
    return {key: tuple(them) for key, them in found.items()}


def matching(path: Sequence[str], name: str) -> Iterable[FieldRow]:
    """Yield the rows that speak of a field.

    Args:
        path: Keys and positions from the document's root.
        name: The document's file name.
    """
    for row in (*rows().get(path[-1], ()), *rows().get("*", ())):
        keys = row.keys
        if len(keys) > len(path) or (row.files and name not in row.files):
            continue
        if all(k in ("*", p) for k, p in zip(keys, path[-len(keys) :], strict=True)):
            yield row


def acts(row: FieldRow, value: object, name: str) -> Hit | None:
    """Return what a value of a listed field does, or None if it is one that every release writes.

    Args:
        row: The field.
        value: Its value.
        name: The document's file name.
    """
    if value is None or value == "" or isinstance(value, Pairs | list):
        return Hit(row, _severity(row), f"it holds {len(value)} entries") if row.check == "any" and value else None
    if row.check in ("true", "false"):
        set_to = _flag(value)
        return Hit(row, _severity(row), f"it says {value!a}") if set_to is (row.check == "true") else None
    if not isinstance(value, str):
        return None
    if row.check == "inside":
        return _outside(row, value, name)
    if _is_honest(value, row):
        trusted = row.check == "kernel" and "/" in value
        return Hit(row, Severity.LOW, f"{_named(value)}, of an owner the loader itself trusts") if trusted else None
    match row.check:
        case "any" | "code":
            return Hit(row, _severity(row), _named(value))
        case "module":
            return Hit(row, _module_severity(row, value), _named(value))
        case "kernel":
            return Hit(row, _severity(row), _named(value)) if "/" in value else None
        case "url":
            return Hit(row, _severity(row), _named(value)) if _URL.match(value) else None
        case _:
            far = (
                _REPOSITORY.match(value)
                or _URL.match(value)
                or escapes(value)
                or value.startswith(("hf-hub:", "hf_hub:", "local-dir:"))
            )
            if far and row.severity == "low" and value.lower().startswith(("http://", "https://", "ftp://")):
                return Hit(row, Severity.MEDIUM, f"{_named(value)}, an address and no repository")
            if far and _AUTHORS.match(value):
                return Hit(row, Severity.LOW, _named(value))
            return Hit(row, _severity(row), _named(value)) if far else None


def looks_acting(key: str, value: str) -> tuple[Severity, str] | None:
    """Return what the value of an unlisted key looks like, if it looks like something a loader could follow."""
    if len(value) > 4000 or not value:
        return None
    if _CODE.search(value):
        return Severity.MEDIUM, "an expression or a piece of code"
    if _URL.match(value):
        return Severity.LOW, "an address"
    if _FILE.match(value):
        return Severity.LOW, "the name of a program or pickle"
    if "../" in value.replace("\\", "/") and len(value) < 300 and "\n" not in value and escapes(value):
        return Severity.LOW, "a path that leaves the folder"
    if _TELLING.search(key) and ("/" in value or "\\" in value) and " " not in value.strip() and len(value) < 300:
        return Severity.LOW, "a path or a repository"
    return None


def is_certain(value: str) -> bool:
    """Return whether a short value is code that acts, and no text about code."""
    return len(value) < 400 and "\n" not in value and bool(_CERTAIN.search(value))


def is_document(name: str) -> bool:
    """Return whether a loader opens a file of this name on its own."""
    return any(fnmatchcase(name, pattern) for pattern in table("config_fields")["documents"])


def is_apart(form: str, name: str) -> bool:
    """Return whether no known loader opens a document: it is what a person hands to a trainer, by a name of their own.

    What stands in it does not count: keys of a training recipe are soon added to a configuration.

    Args:
        form: How it is written; loaders of models open JSON, unless the name says more.
        name: Its file name.
    """
    return form != "json" and not is_document(name)


def names_sink(value: object) -> str:
    """Return the function a value names, as text or as a list of its parts, if calling it starts processes or runs code."""
    if isinstance(value, list):
        value = (
            ".".join(map(str, value))
            if 2 <= len(value) <= 5 and all(isinstance(v, str) and v.isidentifier() for v in value)
            else ""
        )
    if not isinstance(value, str) or not _DOTTED.match(value):
        return ""
    name = value.replace(":", ".").replace("/", ".")
    return name if grade_of(name)[0] == "dangerous" else ""


def _severity(row: FieldRow) -> Severity:
    default = Severity.CRITICAL if row.rule == "config-trust" else Severity.HIGH
    return Severity(row.severity) if row.severity else default


def _module_severity(row: FieldRow, value: str) -> Severity:
    """A plain library name is left to the gate's knowledge of it; the interpreter's own modules hold no model."""
    if row.field == "auto_mapping.parent_library" and re.match(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", value):
        return Severity.HIGH if value.split(".")[0] in sys.stdlib_module_names else Severity.LOW
    return _severity(row)


def _is_honest(value: str, row: FieldRow) -> bool:
    if row.check == "module":
        return any(value == good or value.startswith(f"{good}.") for good in row.honest)
    return any(value == good or (good[-1:] in "/-" and value.startswith(good)) for good in row.honest) and ".." not in value


def _outside(row: FieldRow, value: str, name: str) -> Hit | None:
    why = escapes(value)
    if row.field == "weight_map.*" and why is None:
        ends = (".safetensors",) if ".safetensors." in name else (".safetensors", ".bin", ".npz", ".msgpack", ".h5")
        return None if value.endswith(ends) else Hit(row, Severity.HIGH, f"{_named(value)}, not a file of {ends[0]} weights")
    if why is None:
        return None
    by_product = row.field != "weight_map.*" and _AUTHORS.match(value) and ".." not in value
    return Hit(row, Severity.LOW if by_product else Severity.HIGH, f"{_named(value)}: {why}")


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    said = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    return said.get(value.strip().lower()) if isinstance(value, str) else None


def _named(value: str) -> str:
    return f"it names {value[:120]!a}"
