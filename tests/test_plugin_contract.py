"""What every plug-in owes: identity, the four headings, declared vocabulary, and a module of the same name."""

from __future__ import annotations

import inspect
import re

import pytest

import evaluators
import reports
import scanners
from governance.contracts import Evaluator, Plugin, ReportFormat, Scanner
from governance.plugins import discover
from governance.subject import Composition, SourceKind, Subject
from tests.scorecards import SCORECARDS

SCANNERS = discover(scanners, Scanner)
EVALUATORS = discover(evaluators, Evaluator)
FORMATS = discover(reports, ReportFormat)
PLUGINS: dict[str, Plugin] = {**SCANNERS, **EVALUATORS}
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


def test_scanners_and_evaluators_share_no_id() -> None:
    assert not set(SCANNERS) & set(EVALUATORS)


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_identity(plugin: Plugin) -> None:
    assert KEBAB.match(plugin.id)
    assert plugin.version
    assert type(plugin).__module__.split(".")[1].replace("_", "-") == plugin.id


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_docstring_has_the_four_headings(plugin: Plugin) -> None:
    text = inspect.getdoc(type(plugin)) or ""
    first = "Detects:" if plugin.id in SCANNERS else "Measures:"
    assert [h for h in (first, "Why it matters:", "Misses:", "Source:") if h not in text] == []


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_declared_words_are_unique_and_kebab(plugin: Plugin) -> None:
    ids = [d.id for d in plugin.declares]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(KEBAB.match(i) for i in ids)


def test_no_two_plugins_declare_the_same_word() -> None:
    ids = [d.id for p in PLUGINS.values() for d in p.declares]
    assert sorted(i for i in set(ids) if ids.count(i) > 1) == []


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_wants_survives_an_empty_composition(plugin: Plugin) -> None:
    empty = Composition(adapter=Subject(source=SourceKind.LOCAL, name="empty"))
    assert plugin.wants(empty) in (True, False)


@pytest.mark.parametrize("name", SCORECARDS)
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_formats_render_the_same_bytes_twice(form: ReportFormat, name: str) -> None:
    card = SCORECARDS[name]
    assert form.render(card) == form.render(card)
