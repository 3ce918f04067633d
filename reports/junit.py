"""JUnit XML, which every pipeline shows as tests: one suite for a composition, one case for a rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from governance.verdict import RuleStatus, Scorecard
from reports._ci.results import Entry, Failure, Result, results
from reports._render.words import visible

#: What XML 1.0 cannot hold, not even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JUnit:
    """Rules as test cases: a failed one is a failure, an undecided one an error, a waived one is skipped with its waiver."""

    id = "junit"
    version = "1"
    media_type = "application/xml"
    suffix = ".junit.xml"

    def render(self, card: Scorecard) -> bytes:
        """Return one suite as UTF-8 XML."""
        return suites([Entry(card)])


def suites(entries: Sequence[Entry], failures: Sequence[Failure] = ()) -> bytes:
    """Return several verdicts as one document.

    Args:
        entries: Scorecards; each becomes a suite.
        failures: Models without a verdict; each becomes a suite with one error.

    Returns:
        UTF-8 XML in the form that Jenkins' ``junit-10.xsd`` describes.
    """
    root = Element("testsuites", name="model curator")
    for entry in entries:
        root.append(_suite(entry))
    for failure in failures:
        suite = SubElement(root, "testsuite", name=_text(visible(failure.model)), tests="1", failures="0", errors="1", skipped="0")
        case = SubElement(suite, "testcase", classname="curator", name="verdict", time="0")
        SubElement(case, "error", message=_text(visible(failure.text)), type="no verdict")
    indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode").encode("utf-8", "replace") + b"\n"


def _suite(entry: Entry) -> Element:
    found = results([entry])
    count = {s: sum(r.rule.status is s for r in found) for s in RuleStatus}
    suite = Element(
        "testsuite",
        name=_text(entry.model),
        tests=str(len(found)),
        failures=str(count[RuleStatus.FAIL]),
        errors=str(count[RuleStatus.UNKNOWN]),
        skipped=str(count[RuleStatus.WAIVED] + count[RuleStatus.NOT_APPLICABLE]),
        time=f"{entry.card.seconds:.3f}",
        timestamp=entry.card.created.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    properties = SubElement(suite, "properties")
    verdict = entry.card.verdict
    for name, value in (
        ("decision", verdict.decision.value),
        ("policy", visible(f"{verdict.policy}@sha256:{verdict.policy_digest}")),
        ("composition", entry.card.dossier.composition.digest),
        ("run", visible(entry.card.run_id, 80)),
    ):
        SubElement(properties, "property", name=name, value=_text(value))
    for result in found:
        suite.append(_case(result))
    return suite


def _case(result: Result) -> Element:
    rule = result.rule
    case = Element("testcase", classname=_text(f"{result.policy}.{rule.effect}"), name=_text(rule.rule), time="0")
    match rule.status:
        case RuleStatus.FAIL if rule.effect == "note":  # a note is told and never counts
            SubElement(case, "system-out").text = _text(result.text)
        case RuleStatus.FAIL | RuleStatus.UNKNOWN:
            tag = "failure" if rule.status is RuleStatus.FAIL else "error"
            said = SubElement(case, tag, message=_text(result.text), type=_text(f"{rule.severity.value}, asks for {rule.effect}"))
            said.text = _text("\n".join(filter(None, (visible(rule.title), *map(_seen, result.places), visible(rule.remediation)))))
        case RuleStatus.WAIVED | RuleStatus.NOT_APPLICABLE:
            SubElement(case, "skipped", message=_text(result.text))
        case _:
            pass
    return case


def _seen(place: object) -> str:
    return visible(str(place), 300)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


PLUGIN = JUnit()
