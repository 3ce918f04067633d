"""Every format over every sample: equal to its golden, valid by its official schema, and harmless whatever a subject says."""

from __future__ import annotations

import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import reports
from governance.contracts import ReportFormat
from governance.plugins import discover
from governance.verdict import Scorecard
from reports._render import words
from reports.scorecard_json import json_schema
from tests.scorecards import SCORECARDS

FORMATS = discover(reports, ReportFormat)
GOLDENS = Path(__file__).parent / "goldens"
#: What is compared whole; JSON is compared by reading it back, CycloneDX 1.6 by its schema.
COMPARED = ("cyclonedx", "html", "markdown", "spdx", "table")
ORDINARY = [name for name in SCORECARDS if name != "hostile"]
_DRAWING = re.compile(r"<svg xmlns.*?</svg>", re.DOTALL)
_STYLE = re.compile(r"<style>.*?</style>|sha256-[A-Za-z0-9+/=]+", re.DOTALL)


def text(form: str, name: str) -> str:
    return FORMATS[form].render(SCORECARDS[name]).decode()


def comparable(form: str, rendered: str) -> str:
    """Leave out what is no content: the style sheet, and drawings, whose coordinates follow the fonts of the machine."""
    return _STYLE.sub("[style]", _DRAWING.sub("[chart]", rendered)) if form == "html" else rendered


def test_the_formats_are_these() -> None:
    assert set(FORMATS) == {
        "json", "markdown", "table", "html", "cyclonedx", "cyclonedx-1-6", "spdx", "attestation", "compliance-html",
        "compliance-json", "sarif", "junit", "gitlab", "badge",
    }  # fmt: skip
    assert len({f.suffix for f in FORMATS.values()} | {"1.6"}) >= 5


@pytest.mark.parametrize("form", COMPARED)
@pytest.mark.parametrize("name", ORDINARY)
def test_golden(form: str, name: str, request: pytest.FixtureRequest) -> None:
    if form == "spdx":
        pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    golden = GOLDENS / f"{name}{FORMATS[form].suffix}"
    now = comparable(form, text(form, name))
    if request.config.getoption("--update-goldens"):
        golden.write_text(now)
    assert now == golden.read_text(), "if the change is wanted: make goldens"


def test_no_golden_is_left_over() -> None:
    assert {p.name for p in GOLDENS.iterdir()} == {f"{n}{FORMATS[f].suffix}" for n in ORDINARY for f in COMPARED}


@pytest.mark.parametrize("name", SCORECARDS)
def test_json_follows_the_committed_schema_and_reads_back(name: str) -> None:
    committed = json.loads((Path(__file__).parents[1] / "docs" / "scorecard.schema.json").read_text())
    document = json.loads(text("json", name))
    jsonschema.Draft202012Validator(committed).validate(document)
    assert next(iter(document)) == "schema_version"
    assert Scorecard.model_validate_json(text("json", name)) == SCORECARDS[name]


def test_the_committed_schema_is_current_and_refuses_what_is_wrong() -> None:
    committed = json.loads((Path(__file__).parents[1] / "docs" / "scorecard.schema.json").read_text())
    assert committed == json_schema()
    broken = json.loads(text("json", "approve"))
    broken["verdict"]["decision"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(committed).validate(broken)


class Page(HTMLParser):
    """Collects what an HTML page is made of."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", SCORECARDS)
def test_html_is_whole_asks_nobody_and_runs_nothing(name: str) -> None:
    page = Page(text("html", name))
    assert page.open == []
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "foreignobject", "image", "use"}
    assert [k for k, _ in page.attributes if k.startswith("on") or k == "style" or k == "src"] == []
    links = [v for k, v in page.attributes if k in ("href", "xlink:href") and not v.startswith("https://huggingface.co/")]
    assert links == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags >= {"main", "h1", "h2", "table", "th"}


@pytest.mark.parametrize("form", ["html", "markdown", "table"])
def test_nothing_hostile_stays_invisible(form: str) -> None:
    rendered = text(form, "hostile")
    assert "⟨U+202E⟩" in rendered
    hidden = {c for c in rendered if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"}
    assert hidden == set()


def tokens(document: str) -> list[Token]:
    found = MarkdownIt("commonmark").enable("table").parse(document)
    return [inner for token in found for inner in (token, *(token.children or ()))]


def test_markdown_gives_a_subject_no_markup() -> None:
    hostile = tokens(text("markdown", "hostile"))
    assert not {t.type for t in hostile} & {"html_inline", "html_block", "link_open", "image", "code_block", "fence", "hardbreak"}
    assert {t.type for t in hostile} <= {t.type for name in ORDINARY for t in tokens(text("markdown", name))}
    said = "".join(t.content for t in hostile if t.type == "text")
    assert "</td><script>alert(1)</script>" in said
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", text("markdown", "hostile"))
    assert not re.search(r"(?<!\\)@someone|www\.example|(?<!\\)#1", outside), "a forge makes a link of it"


def test_markdown_tables_keep_their_columns() -> None:
    rows: list[int] = []
    for token in tokens(text("markdown", "hostile")):
        if token.type == "tr_open":
            rows.append(0)
        elif token.type in ("td_open", "th_open"):
            rows[-1] += 1
    ordinary = text("markdown", "reject-backdoor")
    assert set(rows) == {line.count(" | ") + 1 for line in ordinary.splitlines() if line.startswith("| ")}


def test_the_terminal_shows_no_escape_of_a_subject_and_keeps_its_width() -> None:
    from rich.cells import cell_len

    assert max(cell_len(line) for line in text("table", "hostile").splitlines()) <= 100
    assert "\x1b" not in text("table", "hostile")


def test_the_terminal_is_colored_only_when_asked() -> None:
    from io import StringIO

    from rich.console import Console

    from reports.table import render_rich

    out = StringIO()
    render_rich(SCORECARDS["review"], Console(file=out, width=100, force_terminal=True, color_system="standard"))
    assert "\x1b[" in out.getvalue()
    assert "\x1b[" not in text("table", "review")


@pytest.mark.parametrize("form", ["html", "markdown", "table"])
def test_verdict_and_reason_come_first_and_gaps_are_told(form: str) -> None:
    rendered = comparable(form, text(form, "review"))
    reason = rendered.index("1 not known")
    assert all(
        reason < rendered.index(later)
        for later in ("ot checked", "Base against adapter", "model curator 0.1.0")
        if later in rendered
    )
    assert "stopped after 300 s" in rendered
    assert "inspected files only" in text(form, "no-base") or "names no base" in text(form, "no-base")


def test_an_unknown_metric_is_shown_under_its_own_name() -> None:
    card = SCORECARDS["approve"]
    odd = card.dossier.measurements[0].model_copy(update={"metric": "novel-thing", "scope": "somewhere", "base_value": None})
    changed = card.model_copy(update={"dossier": card.dossier.model_copy(update={"measurements": (odd,)})})
    for form in ("html", "markdown", "table"):
        assert "ovel-thing" in FORMATS[form].render(changed).decode().replace("\\-", "-")


def test_a_chart_shows_hostile_labels_as_text() -> None:
    from reports._render.charts import dots_chart
    from reports._render.drawn import Bar

    drawn = dots_chart([Bar("<script>alert(1)</script>", 0.5, 0.4, 0.3, 0.5, False)])
    assert drawn.startswith("<svg")
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn
    assert dots_chart([]) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-0.134, "−0.134"), (3.1e-12, "3.10e−12"), (31.7, "31.70"), (float("nan"), "not a finite number")],
)
def test_numbers(value: float, shown: str) -> None:
    assert words.number(value) == shown


def test_text_is_capped_and_says_so() -> None:
    assert words.visible("a" * 700).endswith("… (100 more characters)")
    assert words.visible("e" + "\u0301" * 5).count("⟨U+0301⟩") == 3
    assert words.visible(" a\n\tb ") == "a b"


def test_the_matrix_tells_unread_from_read_and_keeps_the_worst() -> None:
    from governance.evidence import Coverage, Outcome
    from reports._render.files import matrix

    card = SCORECARDS["reject-pickle"]
    check = card.dossier.check("inventory")
    assert check is not None
    said = (
        Coverage(item="adapter: README.md", outcome=Outcome.SKIPPED, reason="too large"),
        Coverage(item="README.md", outcome=Outcome.COMPLETED),
        Coverage(item="adapter_config.json#auto_map", outcome=Outcome.COMPLETED),
        Coverage(item="base: adapter_model.safetensors", outcome=Outcome.COMPLETED),
    )
    only = card.dossier.model_copy(
        update={"checks": (check.model_copy(update={"coverage": said, "outcome": Outcome.PARTIAL}),), "findings": ()}
    )
    rows = {row.path: row for row in matrix(only).rows}
    assert [(rows["README.md"].cells[0].state, rows["README.md"].cells[0].reason)] == [("unread", "too large")]
    assert rows["adapter_config.json"].cells[0].state == "read"
    assert rows["adapter_model.safetensors"].cells[0].state == "none"
    assert set(matrix(only).unread) == set(rows) - {"adapter_config.json"}
    pickled = {row.path: [c.text for c in row.cells] for row in matrix(card.dossier).rows}
    assert "critical" in pickled["training_args.bin"]
    assert "unread" in pickled["pytorch_model.bin"]
