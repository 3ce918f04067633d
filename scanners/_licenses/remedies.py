"""What closes an open duty, ready to be applied by a person: notices, credits, card metadata, a name. Pure functions.

Read by ``scanners.license_terms`` (which puts them into a finding's evidence) and ``curator license``. Nothing is uploaded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from governance.licensing import LicenseTerms
from scanners._licenses.bases import compliant_name
from scanners._licenses.lineage import Duty, Lineage, Parent, named_as_asked

_LONGEST = 1_000


def remedies(alike: list[Duty], lineage: Lineage) -> dict[str, str]:
    """Return the text that closes duties which say the same of several parents, by kind; nothing if only the author can do it.

    Args:
        alike: What one rule said.
        lineage: Of whom.
    """
    labels = {d.parent for d in alike}
    parents = [p for p in lineage.parents if p.label in labels and p.terms is not None]
    terms = parents[0].terms if parents else lineage.terms
    if terms is None:
        return {"remedy-card": card(lineage)} if alike[0].id.startswith("LIC-CHILD") else {}
    found: dict[str, str] = {}
    match alike[0].id:
        case "LIC-NAME" | "LIC-OUT-NAME":
            found["name"] = name(lineage)
        case "LIC-NOTICE":
            found["notice"] = notice([p.terms for p in parents if p.terms is not None])
        case "LIC-NOTICES" | "LIC-DATA-ATTR" | "LIC-DATA-NOTICE":
            found["attribution"] = attribution(parents)
        case "LIC-DISPLAY" | "LIC-OUT-DISPLAY":
            found["card-line"] = (terms.display or (terms.display_if.text if terms.display_if else "")).split("|")[0].strip()
        case "LIC-COPY" | "LIC-VERSION" | "LIC-TEXT-MISSING":
            found["file"] = agreement(terms)
        case "LIC-NC" | "LIC-SAME" | "LIC-RELABEL":
            found["card"] = metadata(terms)
        case "LIC-PASS" | "LIC-PASS-OTHER-RAIL" | "LIC-OUT-DERIV":
            found["attachment"] = restrictions(terms)
        case "LIC-CHILD-UNKNOWN" | "LIC-CHILD-FAMILY":
            found["card"] = card(lineage)
        case _:
            pass
    return {f"remedy-{k}": v[:_LONGEST] for k, v in found.items() if v}


def notice(rows: Iterable[LicenseTerms]) -> str:
    """Return the text of a NOTICE file: one block for each ancestor's license, equal ones once."""
    blocks: list[str] = []
    for terms in rows:
        if terms.notice is None:
            continue
        parts = [terms.notice.sentence] if terms.notice.sentence else []
        if terms.notice.copied:
            parts.append(f"[{terms.notice.copied}: {terms.name}, {terms.notice.clause}]")
        blocks.append("\n".join(parts))
    return "\n\n".join(dict.fromkeys(b for b in blocks if b))


def attribution(parents: Iterable[Parent], *, changed: str = "fine-tuned (low-rank adapter)") -> str:
    """Return a block that credits bases and data sets: name, source, license, and that it was changed."""
    lines = []
    for parent in parents:
        terms = parent.terms
        license_ = f"{terms.name}" + (f" ({terms.link})" if terms.link else "") if terms is not None else "license unknown"
        place = "datasets/" if parent.kind == "dataset" else ""
        what = "used as training data" if parent.kind == "dataset" else f"changed: {changed}"
        source = f"https://huggingface.co/{place}{parent.name}" if re.fullmatch(r"[\w.-]+/[\w.-]+", parent.name) else parent.name
        lines.append(f"- {parent.name} ({source}), {license_}; {what}")
    return "\n".join(dict.fromkeys(lines))


def metadata(terms: LicenseTerms) -> str:
    """Return the license keys of a card."""
    if terms.hub:
        return f"license: {terms.id}"
    link = terms.link or "LICENSE"
    return f"license: other\nlicense_name: {terms.id}\nlicense_link: {link}"


def card(lineage: Lineage) -> str:
    """Return corrected front matter: the license, every base and its relation, data sets."""
    lines = [metadata(lineage.terms)] if lineage.readable is not None and lineage.terms is not None else ["license: # choose one"]
    bases = list(dict.fromkeys(p.name for p in lineage.parents if p.kind == "base" and p.name != "the base"))
    data = list(dict.fromkeys(p.name for p in lineage.parents if p.kind == "dataset"))
    if bases:
        lines += ["base_model:", *(f"- {_quoted(b)}" for b in bases), f"base_model_relation: {lineage.relation}"]
    if data:
        lines += ["datasets:", *(f"- {_quoted(d)}" for d in data)]
    return "---\n" + "\n".join(lines) + "\n---"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9][\w./-]*", name) else "'" + name.replace("'", "''").replace("\n", " ") + "'"


def name(lineage: Lineage) -> str:
    """Return a name that begins as every license in the lineage asks; the old one if it does.

    Two licenses may ask for two beginnings that cannot both stand first; the more special one then wins.
    """
    asked = [
        p.terms.naming.value
        for p in lineage.parents
        if p.terms is not None
        and p.terms.naming is not None
        and (p.kind == "base" or p.terms.outputs.rule == "allowed-with-naming")
    ]
    made = lineage.name
    for prefix in sorted(set(asked), key=lambda a: (len(a), a)):
        if not named_as_asked(made, prefix):
            made = compliant_name(made, prefix)
    return made


def agreement(terms: LicenseTerms) -> str:
    """Return which file has to be added, and where its text is published."""
    where = terms.link or (f"SPDX {terms.spdx}" if terms.spdx else "the repository of the base, at its pinned revision")
    return f"LICENSE: the text of the {terms.name}, from {where}"


def restrictions(terms: LicenseTerms) -> str:
    """Return which use restrictions have to become an enforceable provision of the child's terms."""
    where = terms.use_policy or "the attachment of use restrictions in its text"
    return f"Use restrictions of the {terms.name} ({terms.clauses.get('pass', 'see its text')}): {where}"


def expression(rows: Collection[LicenseTerms]) -> str:
    """Return the licenses that all apply as an SPDX expression; texts SPDX does not list become references."""
    words = [t.spdx or "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", t.id) for t in rows]
    return " AND ".join(dict.fromkeys(words))
