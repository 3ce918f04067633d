"""``curator policy``: check, test, show, explain, compare and replay policies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

import evaluators
import scanners
from api.cli.session import RowFormat, curator, err, errors_shown
from api.cli.tables import print_rows
from api.curator import vocabulary
from governance.context import utc_now
from governance.contracts import Evaluator, Scanner
from governance.errors import PolicyError, SubjectError
from governance.plugins import discover
from governance.verdict import RuleResult, RuleStatus, Scorecard
from policies import cases, difference
from policies.document import json_schema
from policies.loader import GATES, LoadedPolicy, assert_waivers_stand, load, load_test, shipped
from policies.replay import Change, Replay, change, replay, ways

app = typer.Typer(help="Check, test, show, explain, compare and replay policies.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="a shipped policy's name, or a YAML file", metavar="POLICY")]
Run = Annotated[str, typer.Argument(help="run id, or the name of an adapter: its newest", metavar="RUN")]
Other = Annotated[str | None, typer.Option("--policy", help="judge by this policy; without it by the one the verdict cites")]


def load_policy(reference: str) -> LoadedPolicy:
    """Return a checked policy.

    Raises:
        PolicyError: It cannot be used.
    """
    return load(reference, vocabulary(discover(scanners, Scanner), discover(evaluators, Evaluator)))


@app.command()
def lint(references: Annotated[list[str], typer.Argument(help="shipped names or YAML files", metavar="POLICY…")]) -> None:
    """Check policies: fields, types, names of facts, rules that cannot fail, waivers without effect.

    Exit 1, with the place of each fault and what to do, if one of them cannot be used.
    """
    with errors_shown():
        for reference in references:
            policy = load_policy(reference)
            assert_waivers_stand(reference, policy, utc_now().date())
            typer.echo(f"{policy.id} {policy.version} is sound: {len(policy.rules)} rules, sha256:{policy.digest}")


@app.command("test")
def run_cases(
    references: Annotated[list[Path] | None, typer.Argument(help="PolicyTest files; none: those of the shipped policies")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="also list rules no case makes pass, or fail")] = False,
    format_id: RowFormat = "table",
) -> None:
    """Run the cases of PolicyTest files. Exit 1 if one of them comes out otherwise than it must.

    A file names the policy it is about: a shipped name, or a path beside it.
    """
    with errors_shown(as_json=format_id == "json"):
        wrong, rows = 0, []
        for path in references or sorted(GATES.glob("*.test.yaml")):
            cases_of = load_test(path)
            about = cases_of.metadata.policy
            policy = load_policy(about if about in shipped() else str(path.parent / about))
            results = cases.run(cases_of, policy)
            rows += [
                {"policy": policy.id, "case": r.case.name, "result": "; ".join(r.differences) or "as expected"} for r in results
            ]
            wrong += sum(bool(r.differences) for r in results)
            rows += [{"policy": policy.id, "case": "coverage", "result": gap} for gap in _unseen(policy, results) if coverage]
        print_rows(rows, as_json=format_id == "json", empty="no cases")
    if wrong:
        err.print(f"{wrong} of {len(rows)} cases came out otherwise")
        raise typer.Exit(1)


def _unseen(policy: LoadedPolicy, results: Iterable[cases.CaseResult]) -> Iterable[str]:
    seen = {(r.rule, r.status) for one in results for r in one.verdict.results}
    for rule in policy.rules:
        missing = [s.value for s in (RuleStatus.PASS, RuleStatus.FAIL) if (rule.id, s) not in seen]
        if missing:
            yield f"no case makes {rule.id} {' or '.join(missing)}"


@app.command()
def show(reference: Reference = "default", format_id: RowFormat = "table") -> None:
    """List the rules of a policy, inherited ones included."""
    with errors_shown(as_json=format_id == "json"):
        rows = [
            {
                "rule": r.id,
                "effect": r.effect,
                "severity": r.severity.value,
                "title": r.title,
                "expression": " ".join(r.expression.split()),
            }
            for r in load_policy(reference).rules
        ]
        print_rows(rows, as_json=format_id == "json", empty="no rules")


@app.command()
def explain(
    run: Run,
    rule: Annotated[str | None, typer.Argument(help="only this rule", metavar="RULE")] = None,
    format_id: RowFormat = "table",
) -> None:
    """Say why a recorded verdict is what it is: each rule, what it asks, and every fact it read."""
    from api.cli.audit import find

    with errors_shown(as_json=format_id == "json"), curator() as opened:
        card = find(opened, run)
        wanted = [r for r in card.verdict.results if rule in (None, r.rule)]
        if not wanted:
            names = ", ".join(r.rule for r in card.verdict.results)
            raise SubjectError(f"the verdict has no rule {rule!r}", hint=f"one of: {names}")
        try:
            written = {r.id: r for r in opened.recorded_policy(card.verdict.policy_digest).rules}
        except PolicyError:
            written = {}
        asked = {r.rule: written[r.rule].expression for r in wanted if r.rule in written}
        if format_id == "json":
            document = [r.model_dump(mode="json") | {"expression": asked.get(r.rule)} for r in wanted]
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return
        typer.echo(f"{card.verdict.reason}\npolicy {card.verdict.policy} {card.verdict.policy_version}, judged {card.verdict.on}")
        for result in sorted(wanted, key=_gravest):
            typer.echo("\n".join(_explained(result, asked.get(result.rule))))


def _gravest(result: RuleResult) -> tuple[int, int]:
    order = (RuleStatus.FAIL, RuleStatus.UNKNOWN, RuleStatus.WAIVED, RuleStatus.PASS, RuleStatus.NOT_APPLICABLE)
    return order.index(result.status), -result.severity.rank


def _explained(result: RuleResult, expression: str | None) -> list[str]:
    asks = f", asks for {result.decision.value}" if result.decision else ""
    lines = [f"\n{result.status.value}  {result.rule}  ({result.severity.value}, {result.effect}{asks})", f"  {result.title}"]
    if expression:
        lines.append(f"  true if   {' '.join(expression.split())}")
    lines += [f"  read      {key} = {value}" for key, value in result.reads.items()]
    lines.append(f"  because   {result.reason}")
    lines += [f"  waiver    {result.waiver}"] if result.waiver else []
    lines += [f"  remedy    {result.remediation}"] if result.remediation else []
    lines += [f"  see       {', '.join(result.references)}"] if result.references else []
    return lines


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="a shipped name or a file", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="a shipped name or a file", metavar="NEW")],
    over: Annotated[
        str | None, typer.Option(help="also judge recorded verdicts by both: 'fleet' for all, or the name of an adapter")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="most recorded verdicts, newest first", min=1)] = None,
    format_id: RowFormat = "table",
) -> None:
    """Say in words how two policies differ and, with --over, which recorded verdicts would change."""
    with errors_shown(as_json=format_id == "json"):
        first, second = load_policy(old), load_policy(new)
        lines = difference.compared(first.document, second.document)
        changes: list[Change] = []
        judged = 0
        if over is not None:
            with curator() as opened:
                for card in opened.ledger.every_scorecard(limit=limit):
                    if over not in ("fleet", card.dossier.composition.adapter.name):
                        continue
                    judged += 1
                    changes += [found] if (found := change(card, first, second)) else []
        if format_id == "json":
            document = {
                "differences": [vars(x) for x in lines],
                "judged": judged,
                "ways": ways(changes),
                "changes": [_as_json(c) for c in changes],
            }
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return
        print_rows(
            [{"way": x.kind, "what": x.what, "difference": x.text} for x in lines], as_json=False, empty="the policies say the same"
        )
        if over is not None:
            counted = ", ".join(f"{n} {way}" for way, n in ways(changes).items()) or "none"
            typer.echo(f"\nof {judged} recorded verdicts {len(changes)} would change: {counted}")
            print_rows([_row(c) for c in changes], as_json=False, empty="")


def _row(one: Change) -> dict[str, str]:
    first = one.differences[0] if one.differences else ""
    return {"run": one.run_id, "adapter": one.adapter, "before": one.before.value, "after": one.after.value, "because": first}


def _as_json(one: Change | Replay) -> dict[str, object]:
    return {k: (list(v) if isinstance(v, tuple) else v) for k, v in vars(one).items()}


@app.command("replay")
def replay_(
    run: Annotated[str | None, typer.Argument(help="run id, or the name of an adapter; none with --all", metavar="RUN")] = None,
    every: Annotated[bool, typer.Option("--all", help="every recorded verdict")] = False,
    policy: Other = None,
    limit: Annotated[int | None, typer.Option(help="most recorded verdicts, newest first", min=1)] = None,
    format_id: RowFormat = "table",
) -> None:
    """Judge recorded facts again. By the cited policy the verdict must come out bit for bit; by another, see what changes.

    Exit 1 if a verdict is not reproduced: the facts, the policy or the engine are not what they were.
    """
    if (run is None) == (not every):
        raise typer.BadParameter("name a run, or --all", param_hint="RUN")
    from api.cli.audit import find

    with errors_shown(as_json=format_id == "json"), curator() as opened:
        known: dict[str, LoadedPolicy] = {}

        def cited(card: Scorecard) -> LoadedPolicy:
            digest = card.verdict.policy_digest
            if digest not in known:
                known[digest] = load_policy(policy) if policy else opened.recorded_policy(digest)
            return known[digest]

        cards = opened.ledger.every_scorecard(limit=limit) if every else iter([find(opened, run or "")])
        if policy is None:
            found = [replay(card, cited(card)) for card in cards]
            wrong = sum(r.state != "same" for r in found)
            rows = [
                {
                    "run": r.run_id,
                    "adapter": r.adapter,
                    "state": r.state,
                    "decision": r.after.value,
                    "what": "; ".join(r.differences),
                }
                for r in found
            ]
        else:
            pairs = [(card, change(card, None, cited(card))) for card in cards]
            wrong = 0
            rows = [
                _row(c)
                if c
                else {"run": card.run_id, "adapter": str(card.dossier.composition.adapter), "before": card.verdict.decision.value,
                      "after": card.verdict.decision.value, "because": ""}
                for card, c in pairs
            ]  # fmt: skip
        print_rows(rows, as_json=format_id == "json", empty="nothing is recorded")
    if wrong:
        err.print(f"{wrong} of {len(rows)} verdicts are not reproduced")
        raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """List the shipped policies."""
    for name in shipped():
        typer.echo(name)


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    typer.echo(json_schema())
