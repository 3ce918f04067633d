"""``curator evaluate``: adapters against their base, side by side, without a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli.evaluate_pace import paced
from api.cli.evaluate_table import print_evaluation
from api.cli.session import ExecutorOption, Interrupt, RayActors, RayAddress, command_app, err, errors_shown, settings
from api.evaluate import Asked, evaluate
from api.outcomes import evaluation_exit_code
from governance.context import EvaluationSettings
from governance.errors import SubjectError
from governance.evaluation import EvaluationDocument

EVALUATE_HELP = """Measure adapters against their base on the same items: what each one kept, gained and lost.

ADAPTER is a folder, or owner/name[@revision] on a Hub. The base is loaded once, in 4 bits, and its answers serve all of
them. Files are not scanned and no verdict is recorded: `curator audit` does that.

Each family of tasks ends retained (a loss as large as the margin is ruled out), degraded (such a loss was shown) or
inconclusive. Margins are the policy's.

Exit codes: 0 every family of every adapter is retained; 10 a person must look: inconclusive, or a part was not measured;
11 an adapter is degraded; 1 nothing could be measured; 2 bad usage.

Examples:

  curator evaluate ./a ./b ./c --base ./base-model

  curator evaluate acme/med-lora --domain medical --limit 200 --format json --output med.json

  curator evaluate ./a --base ./base-model --data ./our-tasks --only retention,domain-skill

Answers are kept as they come: after an interruption the same command goes on where it was.
"""
Shape = Literal["table", "json", "html"]


def evaluate_command(
    adapters: Annotated[list[str], typer.Argument(help="folders, or owner/name[@revision]", metavar="ADAPTER...")],
    base: Annotated[str | None, typer.Option(help="the base of all of them, if not the one each names", metavar="REF")] = None,
    suite: Annotated[str, typer.Option(help="which tasks are measured: a suite's id or its YAML file")] = "auto",
    tasks: Annotated[list[str] | None, typer.Option(help="lm-eval tasks, fetched from the Hub", metavar="NAME,...")] = None,
    data: Annotated[
        Path | None, typer.Option(help="folder of JSONL tasks with a manifest.json", exists=True, file_okay=False)
    ] = None,
    domain: Annotated[str | None, typer.Option(help="whose skill is measured; else what each card speaks of")] = None,
    limit: Annotated[int | None, typer.Option(help="items for each task", min=1)] = None,
    early_stop: Annotated[bool, typer.Option(help="stop asking a family once its outcome is beyond doubt")] = True,
    only: Annotated[list[str] | None, typer.Option(help="evaluators to ask", metavar="ID,...")] = None,
    policy: Annotated[str | None, typer.Option(help="whose margins are tested at: a shipped policy's name, or a file")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where models run")] = "auto",
    executor: ExecutorOption = None,
    ray_address: RayAddress = None,
    ray_actors: RayActors = None,
    format_id: Annotated[Shape, typer.Option("--format", "-f")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Measure adapters against their base."""
    if output is not None and not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.absolute().parent}", param_hint="--output")
    with errors_shown(as_json=format_id == "json"):
        evaluation = EvaluationSettings(
            suite=_suite(suite), tasks=_split(tasks), data=data.resolve() if data else None, limit=limit, device=device,
            stop_early=early_stop,
        )  # fmt: skip
        asked = Asked(
            adapters=tuple(adapters), base=base, evaluation=evaluation, domain=domain, only=_split(only), policy=policy,
        )  # fmt: skip
        chosen = settings(executor=executor, ray_address=ray_address, ray_actors=ray_actors)
        interrupt = Interrupt("run the same command again: it goes on where it was")
        with paced(quiet=quiet) as emit:
            found = evaluate(asked, chosen, emit=emit, checkpoint=interrupt)
        show(found, format_id, output)
    end_evaluation(found)


def show(found: EvaluationDocument, format_id: Shape, output: Path | None) -> None:
    """Write the document where it was asked for.

    Raises:
        SubjectError: The file cannot be written.
    """
    try:
        if format_id == "table":
            print_evaluation(found, output)
        elif output is not None:
            output.write_bytes(_document(found, format_id))
        else:
            typer.echo(_document(found, format_id).decode().rstrip("\n"))
    except OSError as error:
        hint = "the answers are kept: the same command with another --output takes seconds"
        raise SubjectError(f"{output} cannot be written: {error.strerror}", hint=hint) from error


def _document(found: EvaluationDocument, format_id: Literal["json", "html"]) -> bytes:
    if format_id == "json":
        return found.model_dump_json(indent=2).encode() + b"\n"
    from reports._render.compared import evaluation_page

    return evaluation_page(found)


def end_evaluation(found: EvaluationDocument) -> None:
    """Print the last line and leave with the evaluation's exit code."""
    code, words = evaluation_exit_code(found)
    err.print(f"exit {code} ({words})", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _split(values: Iterable[str] | None) -> tuple[str, ...]:
    """Return names that may be given one by one or with commas between them, each once."""
    return tuple(dict.fromkeys(name.strip() for value in values or () for name in value.split(",") if name.strip()))


def _suite(said: str) -> str:
    """Return the id of a suite, or the absolute path of a file that is one."""
    path = Path(said).expanduser()
    return str(path.resolve()) if path.suffix in (".yaml", ".yml") or "/" in said else said


app = command_app(evaluate_command, help=EVALUATE_HELP)
