"""Judges a bill of materials of any tool: which format it is, whether it follows its schema, and whether it holds together.

Read by ``curator bom lint``. The file is hostile: it is bounded in size and depth, and what is wrong with it is told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import SubjectError
from reports._bom import lint, lint_spdx
from reports._bom.problem import Problem
from reports._bom.tree import DEEPEST

#: Versions of CycloneDX whose schema is checked.
CYCLONEDX = ("1.4", "1.5", "1.6", "1.7")
_SPDX_3 = "https://spdx.org/rdf/3."
_SPDX = "https://spdx.org/rdf/3.0.1/"
#: Largest document read, in bytes.
LARGEST = 64 * 1024 * 1024
_HINT = "CycloneDX JSON 1.4 to 1.7 and SPDX 3.0.1 JSON-LD are read; convert it with the tool that wrote it"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was read, and everything wrong with it.

    Attributes:
        form: Name and version of the format.
        components: How many components or elements it lists.
    """

    form: str
    components: int
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """How many problems are faults and not advice."""
        return sum(p.is_error for p in self.problems)


def judge(data: bytes) -> Judgement:
    """Return what is wrong with a bill of materials.

    Args:
        data: The file's bytes.

    Raises:
        SubjectError: It is not a bill of materials this tool reads; says what it is instead.
        PrerequisiteError: The official SPDX model is not installed.
    """
    document, twice = _parsed(data)
    problems = [Problem("BOM-SCHEMA", "/", f"the key {key[:80]!r} occurs more than once in one object") for key in twice]
    if document.get("bomFormat") == "CycloneDX":
        version = _cyclonedx(document)
        problems += lint.against_schema(data.decode("utf-8-sig"), version)
        problems += lint.lint(document)
        return Judgement(f"CycloneDX {version} JSON", len(list(lint.each_component(document))), tuple(problems))
    _assert_spdx(document)
    problems += lint_spdx.against_model(document)
    problems += lint_spdx.lint(document)
    graph = document.get("@graph")
    return Judgement("SPDX 3.0.1 JSON-LD", len(graph) if isinstance(graph, list) else 0, tuple(problems))


def _parsed(data: bytes) -> tuple[dict[str, object], list[str]]:
    """Return the document and the keys that stand twice in one object."""
    if len(data) > LARGEST:
        raise SubjectError(f"the file has {len(data):,} bytes; at most {LARGEST:,} are read", hint="split it, or leave out files")
    head = data[:2_000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise SubjectError("the file is empty", hint=_HINT)
    if head.startswith(b"<"):
        kind = "CycloneDX XML" if b"cyclonedx.org/schema" in head else "XML"
        raise SubjectError(f"this is {kind}, which is not read", hint=_HINT)
    if b"SPDXVersion:" in head:
        raise SubjectError("this is SPDX 2 in tag-value form, which is not read", hint=_HINT)
    twice: Counter[str] = Counter()

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(found)
        if len(made) < len(found):
            twice.update(k for k, times in Counter(k for k, _ in found).items() if times > 1)
        return made

    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise SubjectError("the file is not UTF-8 text, so it is no JSON", hint=_HINT) from error
    except RecursionError as error:
        raise SubjectError("the file is nested too deeply to be a bill of materials", hint=_HINT) from error
    except ValueError as error:
        raise SubjectError(f"the file is not JSON: {str(error)[:160]}", hint=_HINT) from error
    if not isinstance(value, dict):
        raise SubjectError("the file is JSON, but no object", hint=_HINT)
    if _deeper(value, DEEPEST):
        raise SubjectError(f"the file is nested deeper than {DEEPEST} levels", hint=_HINT)
    return value, sorted(twice)[:50]


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _deeper(value: object, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [i for v in level if isinstance(v, dict | list) for i in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return False
    return True


def _cyclonedx(document: Mapping[str, object]) -> str:
    version = document.get("specVersion")
    if version not in CYCLONEDX:
        raise SubjectError(f"CycloneDX {str(version)[:20]!r} is not read", hint=_HINT)
    return str(version)


def _assert_spdx(document: Mapping[str, object]) -> None:
    if "spdxVersion" in document:
        raise SubjectError(f"this is {str(document['spdxVersion'])[:20]!r} JSON, which is not read", hint=_HINT)
    context = document.get("@context")
    named = [c for c in (context if isinstance(context, list) else [context]) if isinstance(c, str)]
    if any(c.startswith(_SPDX) for c in named):
        return
    if any(c.startswith(_SPDX_3) for c in named):
        raise SubjectError(f"the SPDX version of {named[0][:80]!r} is not read", hint=_HINT)
    raise SubjectError("the file is JSON, but neither CycloneDX (bomFormat) nor SPDX 3 (@context)", hint=_HINT)
