"""Questions about lineages that may not exist: which license could this child carry, and which base would clear it?

Asked by ``curator license what-if`` and by worked cases; a question is declared in the words of the Hub and names no file. Pure
functions: no network, no file, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import get_args

from governance.licensing import LicenseTable, LicenseTerms, Purpose
from governance.subject import Noun
from scanners._licenses.duties import judge, model_verdict, use_verdict, verdict
from scanners._licenses.lineage import LEVELS, Asker, Duty, Kind, Level, Lineage, Parent, Relation
from scanners._licenses.resolve import look_up

#: Stands for "every precise row" in a question.
ANY = "any"
_CONTEXT = ("purpose", "where", "mau", "revenue", "multimodal")
_TOKENS = ("notice", "display", "changes", "copyright", "attribution", "restrictions")
_KINDS: tuple[Kind, ...] = get_args(Kind)
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_RELATIONS: tuple[Relation, ...] = get_args(Relation)
_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class QuestionError(ValueError):
    """A question that cannot be understood; the message says which word."""


class Question(Noun):
    """One what-if, as it was asked."""

    child: str = ""
    license_name: str = ""
    name: str = ""
    relation: str = "adapter"
    has: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    context: tuple[str, ...] = ()


def answer(question: Question, table: LicenseTable) -> dict[str, object]:
    """Return the answer as the JSON object ``curator license what-if`` prints.

    Args:
        question: As asked; the child or one parent may be ``any``.
        table: Every row known.

    Raises:
        QuestionError: It cannot be understood.
    """
    asked = [p for p in question.parents if _token(p)[1].lower() == ANY]
    if question.child.strip().lower() == ANY:
        if asked:
            raise QuestionError("only one of child and parent may be any")
        return _every("license", _precise(table), lambda t: question.model_copy(update={"child": t, "license_name": ""}), table)
    if len(asked) > 1:
        raise QuestionError("only one parent may be any")
    if asked:
        kind, _, _ = _token(asked[0])
        return _every(kind, _precise(table), lambda t: _with_parent(question, asked[0], f"{kind}:{t}"), table)
    return shown(judge(lineage(question, table)))


def shown(duties: list[Duty]) -> dict[str, object]:
    """Return verdicts and rules as they are printed, worst rule first."""
    return {
        "verdict": verdict(duties),
        "model_verdict": model_verdict(duties),
        "use_verdict": use_verdict(duties),
        "rules": [
            {
                "id": d.id,
                "verdict": d.level,
                "grounding": d.ground.value,
                "clause": d.clause or "-",
                "parent": d.parent,
                "remedy": d.remedy,
                "message": d.message,
            }
            for d in duties
        ],
    }


def lineage(question: Question, table: LicenseTable) -> Lineage:
    """Return the lineage a question describes.

    Args:
        question: With a definite child and definite parents.
        table: Every row known.

    Raises:
        QuestionError: A word of it is not known.
    """
    found = _row(question.child, question.license_name, table)
    relation = next((r for r in _RELATIONS if r == question.relation.strip().lower()), None)
    if relation is None:
        raise QuestionError(f"--relation {question.relation!r}; one of: {', '.join(_RELATIONS)}")
    said = f"{question.child} {question.license_name}".strip().lower()
    return Lineage(
        name=question.name,
        relation=relation,
        terms=found[0] if found else None,
        or_later=bool(found and found[1]),
        reason="" if found else f"the license table has no row for {said!r}" if said else "none stated",
        parents=tuple(sorted((_parent(p, table) for p in question.parents if p.strip()), key=lambda p: p.label)),
        holds=frozenset(_held(t, table) for t in question.has if t.strip()),
        asker=asker(question.context),
    )


def asker(context: Iterable[str]) -> Asker:
    """Return who asks, from ``key=value`` words.

    Raises:
        QuestionError: A key or value is not known.
    """
    said: dict[str, str] = {}
    for word in context:
        key, sign, value = word.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not word.strip():
            continue
        if not sign or key not in _CONTEXT or not value:
            raise QuestionError(f"--context {word!r}; KEY=VALUE with one of: {', '.join(_CONTEXT)}")
        said[key] = value
    return Asker(
        purpose=_purpose(said.get("purpose")),
        where=_where(said.get("where")),
        mau=_count("mau", said.get("mau")),
        revenue=_count("revenue", said.get("revenue")),
        multimodal=_truth(said.get("multimodal")),
    )


def _purpose(text: str | None) -> Purpose | None:
    if text is None:
        return None
    found = next((p for p in _PURPOSES if p == text.lower().replace("_", "-")), None)
    if found is None:
        raise QuestionError(f"purpose {text!r}; one of: {', '.join(_PURPOSES)}")
    return found


def _where(text: str | None) -> str | None:
    if text is None:
        return None
    code = text.upper()
    if len(code) != 2 or not code.isalpha():
        raise QuestionError(f"where {text!r}; EU, UK, KR or an ISO 3166 code of two letters")
    return code


def _count(key: str, text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdecimal() or len(digits) > 18:
        raise QuestionError(f"{key} {text!r} is not a whole number")
    return int(digits)


def _truth(text: str | None) -> bool | None:
    if text is None:
        return None
    if text.lower() not in _TRUTH:
        raise QuestionError(f"multimodal {text!r}; yes or no")
    return _TRUTH[text.lower()]


def _row(license_id: str, license_name: str, table: LicenseTable) -> tuple[LicenseTerms, bool] | None:
    """Return a row and whether later versions are allowed; ``other`` is looked up by its name."""
    spelled = license_id.strip().lower()
    if spelled in ("other", "unknown", "none", ""):
        found = look_up(license_name, table) if spelled == "other" and license_name.strip() else None
        if found is not None and found.terms.family in ("other", "unknown"):
            found = None
    else:
        found = look_up(license_id, table)
    return (found.terms, found.or_later) if found else None


def _token(text: str) -> tuple[str, str, str]:
    kind, _, rest = text.strip().partition(":")
    license_id, _, name = rest.partition(":")
    return kind.strip().lower(), license_id.strip(), name.strip()


def _parent(text: str, table: LicenseTable) -> Parent:
    kind_said, license_id, license_name = _token(text)
    kind: Kind | None = next((k for k in _KINDS if k == kind_said), None)
    if kind is None or ":" not in text:
        raise QuestionError(f"--parent {text!r}; KIND:LICENSE[:NAME] with one of: {', '.join(_KINDS)}")
    name = ":".join(part.lower() for part in (license_id, license_name) if part) or "unknown"
    said = f"{license_id} {license_name}".strip().lower()
    if kind == "service":
        service = table.get(license_id.lower())
        known = service if service is not None and service.family == "service" else None
        return Parent(name=name, kind=kind, terms=known, reason="" if known else f"no such service is known: {said!r}")
    found = _row(license_id, license_name, table)
    reason = "" if found else f"the license table has no row for {said!r}" if said else "none is stated"
    return Parent(name=name, kind=kind, terms=found[0] if found else None, or_later=bool(found and found[1]), reason=reason)


def _held(token: str, table: LicenseTable) -> str:
    """Return a token of ``--has`` in one spelling."""
    word = token.strip().lower()
    if word.startswith("text:"):
        spelled = word.removeprefix("text:").strip()
        found = look_up(spelled, table)
        return f"text:{found.terms.id if found else spelled}"
    if word not in _TOKENS:
        raise QuestionError(f"--has {token!r}; text:LICENSE or one of: {', '.join(_TOKENS)}")
    return word


def _precise(table: LicenseTable) -> list[str]:
    return [t.id for t in table.values() if t.precise and t.family != "service"]


def _with_parent(question: Question, old: str, new: str) -> Question:
    return question.model_copy(update={"parents": tuple(new if p == old else p for p in question.parents)})


def _every(what: str, ids: Collection[str], made: Callable[[str], Question], table: LicenseTable) -> dict[str, object]:
    """Return the answer for every license in one place of a question: what passes, best first, and what does not."""
    judged = [(verdict(duties), terms, duties) for terms in ids for duties in [judge(lineage(made(terms), table))]]
    judged.sort(key=lambda j: (-LEVELS.index(j[0]), j[1]))
    passing: tuple[Level, ...] = ("obligation", "ok")
    return {
        "allowed": [
            {what: terms, "verdict": found, "open": _rules(duties, passing[:1])}
            for found, terms, duties in judged
            if found in passing
        ],
        "refused": [
            {what: terms, "verdict": found, "because": _rules(duties, tuple(v for v in LEVELS if v not in passing))}
            for found, terms, duties in judged
            if found not in passing
        ],
    }


def _rules(duties: list[Duty], levels: Collection[Level]) -> list[str]:
    return list(dict.fromkeys(d.id for d in duties if d.level in levels))
