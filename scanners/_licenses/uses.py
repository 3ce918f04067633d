"""May this asker use it: purpose, number of users, revenue, place. Separate from whether the model's author kept the terms.

Called by ``scanners._licenses.duties``.

Source:
    The license texts named in the rows of ``policies/licenses``; Member States: Treaty on European Union, Article 52; codes:
    ISO 3166-1 alpha-2.
"""

from __future__ import annotations

from collections.abc import Iterator

from governance.evidence import Basis
from governance.licensing import LicenseTerms
from scanners._licenses.lineage import Duty, Level, Lineage, unread
from scanners._licenses.sources import capped

#: Rules that speak of the asker; every other rule speaks of the author.
USE_RULES = frozenset({"LIC-NC-USE", "LIC-CAP", "LIC-REVENUE", "LIC-GEO"})
EU = frozenset("AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905
_SAME = {"GB": "UK", "EL": "GR"}


def place(where: str) -> frozenset[str]:
    """Return a place and the regions it belongs to; upper case."""
    code = where.strip().upper()
    code = _SAME.get(code, code)
    return frozenset({code, "EU"} if code in EU else {code})


def judge_use(lineage: Lineage) -> Iterator[Duty]:
    """Yield every term on use that the asker would break."""
    if lineage.terms is not None:
        yield from _weights(lineage, lineage.terms, "", "the adapter")
    for parent in lineage.parents:
        if parent.terms is None:
            continue
        if parent.kind == "base":
            yield from _weights(lineage, parent.terms, parent.label, f"the base {parent.name}")
        elif parent.kind in ("teacher", "dataset") and parent.terms.geo_limit is not None and parent.terms.geo_limit.outputs:
            for duty in _geography(lineage, parent.terms, parent.label, f"the {parent.kind} {parent.name}"):
                yield duty if parent.kind == "teacher" else capped(duty)


def _weights(lineage: Lineage, terms: LicenseTerms, parent: str, whose: str) -> Iterator[Duty]:
    if lineage.asker.weights:
        yield from _commercial(lineage, terms, parent, whose)
        yield from _users(lineage, terms, parent, whose)
        yield from _revenue(lineage, terms, parent, whose)
    if lineage.asker.weights or (terms.geo_limit is not None and terms.geo_limit.outputs):
        yield from _geography(lineage, terms, parent, whose)


def _said(
    rule: str, at: Level, terms: LicenseTerms, parent: str, clause: str, message: str, remedy: str, *, sure: bool = True
) -> Duty:
    rests_on = Basis.TEXT if sure and not unread(terms) else Basis.JUDGEMENT
    return Duty(
        id=rule, level=at, ground=rests_on, parent=parent, clause=f"{terms.name} {clause}".strip(), message=message, remedy=remedy
    )


def _commercial(lineage: Lineage, terms: LicenseTerms, parent: str, whose: str) -> Iterator[Duty]:
    purpose = lineage.asker.purpose
    if terms.commercial != "no" or purpose not in ("commercial", "internal"):
        return
    plain = purpose == "commercial"
    yield _said(
        "LIC-NC-USE", "violation" if plain else "conflict", terms, parent, terms.clauses.get("nc", ""),
        f"{terms.id}, the license of {whose}, reserves commercial use; {purpose} use was asked for",
        "obtain a commercial license, or use another model", sure=plain,
    )  # fmt: skip


def _users(lineage: Lineage, terms: LicenseTerms, parent: str, whose: str) -> Iterator[Duty]:
    cap, asker = terms.user_cap, lineage.asker
    if cap is None:
        return
    monthly = cap.or_revenue_usd_month
    above = (asker.mau is not None and asker.mau > cap.mau) or (
        monthly is not None and asker.revenue is not None and asker.revenue > 12 * monthly
    )
    if not above or (cap.scope == "commercial" and asker.purpose not in ("commercial", None)):
        return
    if cap.effect == "display":
        if "display" not in lineage.holds:
            message = f"{terms.id}, the license of {whose}, asks a product with so many users to show the model's name"
            yield _said("LIC-DISPLAY", "obligation", terms, parent, cap.clause, message, "show the model's name", sure=False)
        return
    yield _said(
        "LIC-CAP", "violation", terms, parent, cap.clause or terms.clauses.get("cap", ""),
        f"{terms.id}, the license of {whose}, ends above {cap.mau:,} monthly active users; {asker.mau or 0:,} were given",
        "ask the licensor for a license", sure=cap.scope == "all" or asker.purpose is not None,
    )  # fmt: skip


def _revenue(lineage: Lineage, terms: LicenseTerms, parent: str, whose: str) -> Iterator[Duty]:
    cap, asker = terms.revenue_cap, lineage.asker
    if cap is None or asker.revenue is None or asker.revenue <= cap.usd_per_year or asker.purpose not in cap.purposes:
        return
    yield _said(
        "LIC-REVENUE", "violation", terms, parent, cap.clause or terms.clauses.get("cap", ""),
        f"{terms.id}, the license of {whose}, ends above US${cap.usd_per_year:,} a year for {asker.purpose} use",
        "ask the licensor for an enterprise license",
    )  # fmt: skip


def _geography(lineage: Lineage, terms: LicenseTerms, parent: str, whose: str) -> Iterator[Duty]:
    limit, asker = terms.geo_limit, lineage.asker
    if limit is None or not asker.where or not place(asker.where) & set(limit.exclude):
        return
    modality = True if limit.scope == "all" else asker.multimodal if asker.multimodal is not None else limit.multimodal_default
    if modality is False:
        return
    clause = terms.clauses.get("geo", limit.where)
    if modality is None:
        message = (
            f"{terms.id}, the license of {whose}, excludes {asker.where} for multimodal models; whether this is one is not known"
        )
        yield _said("LIC-GEO", "unknown", terms, parent, clause, message, "say whether the base is multimodal")
        return
    yield _said(
        "LIC-GEO", "violation", terms, parent, clause,
        f"{terms.id}, the license of {whose}, grants nothing to those in {asker.where}", "use another model in that place",
    )  # fmt: skip
