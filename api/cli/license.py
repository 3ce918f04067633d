"""``curator license``: whether an adapter keeps the terms of everything it was made from, and what would if it were otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli.groups import by_default
from api.cli.license_table import print_answer, print_drift, print_report, print_scores
from api.cli.session import Interrupt, err, errors_shown, settings, watched
from governance.errors import SubjectError
from governance.licensing import Intent

LICENSE_HELP = """Judge the license of one adapter against everything it was made from. Engineering help, not legal advice.

REF is a folder, or owner/name[@revision] on a Hub; of a Hub's repositories only cards, configurations and license texts are
read. Two verdicts: did its author keep the terms, and may you use it.

Exit codes: 0 nothing open, or duties only; 10 unknown or conflict; 11 violation; 1 no answer; 2 bad usage.

Examples:

  curator license ./my-adapter --base ./base-model

  curator license acme/med-lora --purpose commercial --where DE --mau 2000000

  curator license what-if --child apache-2.0 --name acme/x --relation adapter --parent base:llama3.1

  curator license drift acme/med-lora v1 main
"""
Format = Annotated[Literal["table", "json"], typer.Option("--format", "-f")]


app = typer.Typer(
    cls=by_default("of"),
    help=LICENSE_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    subcommand_metavar="REF [OPTIONS] | COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Purpose = Literal["research", "internal", "commercial", "redistribute", "outputs-only"]
PurposeOption = Annotated[Purpose | None, typer.Option(help="what you want it for")]
WhereOption = Annotated[str | None, typer.Option(help="where you are: EU, UK, KR, or an ISO 3166 code")]
MauOption = Annotated[int | None, typer.Option(min=0, help="monthly active users in the month the clause measures")]
RevenueOption = Annotated[int | None, typer.Option(min=0, help="US dollars a year, with affiliates")]
MultimodalOption = Annotated[Literal["yes", "no"] | None, typer.Option(help="whether the base takes more than text")]


@app.command("of", hidden=True, help=LICENSE_HELP)
def of(
    ref: Annotated[str, typer.Argument(help="a folder, or owner/name[@revision]", metavar="REF")],
    base: Annotated[str | None, typer.Option(help="the base model, if not the one the adapter names", metavar="REF")] = None,
    purpose: PurposeOption = None,
    where: WhereOption = None,
    mau: MauOption = None,
    revenue: RevenueOption = None,
    multimodal: MultimodalOption = None,
    format_id: Format = "table",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Judge one adapter."""
    from api.licensing import license_report
    from api.references import parse_reference
    from governance.subject import CompositionRef

    with errors_shown(as_json=format_id == "json"):
        intent = _intent(purpose, where, mau, revenue, multimodal)
        interrupt = Interrupt()
        asked = CompositionRef(adapter=parse_reference(ref), base=parse_reference(base) if base else None)
        with watched(quiet=quiet) as emit:
            found = license_report(asked, settings(), intent=intent, emit=emit, checkpoint=interrupt)
        if format_id == "json":
            typer.echo(found.model_dump_json(indent=2))
        else:
            print_report(found)
    _end(found.verdict)


@app.command("what-if")
def what_if(
    child: Annotated[str, typer.Option(help="license of the child; empty: none; any: which may it carry")] = "",
    license_name: Annotated[str, typer.Option(help="its license_name, if the license is other")] = "",
    name: Annotated[str, typer.Option(help="repository id of the child")] = "",
    relation: Annotated[str, typer.Option(help="adapter, merge, quantized or finetune")] = "adapter",
    has: Annotated[str, typer.Option(help="what the child's files show, parted by |")] = "",
    parent: Annotated[
        list[str] | None, typer.Option(help="KIND:LICENSE[:NAME] (repeatable); base:any: which base clears it")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of the asker (repeatable)")] = None,
    format_id: Annotated[Literal["json", "table"], typer.Option("--format", "-f")] = "json",
) -> None:
    """Answer a question about a lineage that may not exist. Exit 0 whatever the verdict.

    Tokens of --has: text:LICENSE, notice, display, changes, copyright, attribution, restrictions. Kinds of --parent: base, dataset,
    teacher, service. Keys of --context: purpose, where, mau, revenue, multimodal.
    """
    from policies.licenses import license_table
    from scanners._licenses.whatif import Question, answer

    question = Question(
        child=child, license_name=license_name, name=name, relation=relation, has=tuple(has.split("|")),
        parents=tuple(parent or ()), context=tuple(word for text in context or () for word in text.split("|")),
    )  # fmt: skip
    with errors_shown(as_json=format_id == "json"):
        found = _understood(lambda: answer(question, license_table()))
        if format_id == "json":
            typer.echo(json.dumps(found, ensure_ascii=False))
        else:
            print_answer(found)


@app.command()
def drift(
    ref: Annotated[str, typer.Argument(help="owner/name, or a folder with one folder for each revision", metavar="REF")],
    first: Annotated[str, typer.Argument(metavar="REV1")],
    second: Annotated[str, typer.Argument(metavar="REV2")],
    purpose: PurposeOption = None,
    where: WhereOption = None,
    format_id: Format = "table",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Say what changed in the terms between two revisions of a repository and of its lineage.

    Exit codes are those of the later revision's verdict.
    """
    from api.licensing import drift as compare
    from api.references import parse_reference

    with errors_shown(as_json=format_id == "json"), watched(quiet=quiet) as emit:
        found = compare(
            parse_reference(ref), first, second, settings(), intent=_intent(purpose, where, None, None, None), emit=emit
        )
        if format_id == "json":
            typer.echo(found.model_dump_json(indent=2))
        else:
            print_drift(found)
    _end(found.verdict_after)


@app.command()
def cases(
    file: Annotated[Path, typer.Argument(help="worked cases, CSV", exists=True, dir_okay=False)],
    format_id: Format = "table",
) -> None:
    """Judge a file of worked cases, and say how often the engine agrees."""
    from policies.licenses import license_table
    from scanners._licenses.cases import read, report

    with errors_shown(as_json=format_id == "json"):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SubjectError(f"{file} cannot be read as UTF-8 text", hint="save the cases as CSV in UTF-8") from error
        found = _understood(lambda: report(read(text), license_table()))
        if format_id == "json":
            typer.echo(json.dumps(found, ensure_ascii=False))
        else:
            print_scores(found)


def _understood(ask: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Return an answer; a question nobody can understand is bad usage."""
    from scanners._licenses.whatif import QuestionError

    try:
        return ask()
    except QuestionError as error:
        raise typer.BadParameter(str(error)) from error


def _intent(purpose: Purpose | None, where: str | None, mau: int | None, revenue: int | None, multimodal: str | None) -> Intent:
    if where is not None and not (len(where) == 2 and where.isalpha()):
        raise typer.BadParameter(f"{where!r}; EU, UK, KR or an ISO 3166 code of two letters", param_hint="--where")
    return Intent(
        use=purpose,
        region=where.upper() if where else None,
        mau=mau,
        revenue=revenue,
        multimodal=None if multimodal is None else multimodal == "yes",
    )


def _end(verdict: str) -> None:
    from api.outcomes import OK, REJECT, REVIEW

    code = {"violation": REJECT, "conflict": REVIEW, "unknown": REVIEW}.get(verdict, OK)
    err.print(f"exit {code} ({verdict})", markup=False, soft_wrap=True)
    raise typer.Exit(code)
