"""When a gate takes a recorded verdict in place of a new audit."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from api.curator import _holds
from governance.context import EvaluationSettings, RunContext
from governance.licensing import Intent
from governance.verdict import Scorecard
from policies.loader import LoadedPolicy
from tests.scorecards import SCORECARDS
from tests.unit.policy_words import NO_BAD_FILE, policy

EVALUATORS = ("retention", "domain-skill")


@pytest.fixture
def judge(tmp_path: Path) -> LoadedPolicy:
    return policy(tmp_path, NO_BAD_FILE, spec="  maxEvidenceAge: 30d\n")


def recorded(ctx: RunContext) -> Scorecard:
    """Return a scorecard of an audit that was asked as ``ctx`` asks."""
    card = SCORECARDS["approve"]
    said = {"intent": ctx.intent.model_dump_json(exclude_none=True), "evaluation": ctx.evaluation.model_dump_json()}
    checks = {c.id: c for c in card.dossier.checks}
    whole = [checks.get(e) or card.dossier.checks[0].model_copy(update={"id": e}) for e in EVALUATORS]
    dossier = card.dossier.model_copy(update={"checks": (*card.dossier.checks, *(c for c in whole if c.id not in checks))})
    return card.model_copy(update={"settings": said, "created": ctx.on, "dossier": dossier})


def test_the_same_question_within_its_time_is_answered_from_the_record(ctx: RunContext, judge: LoadedPolicy) -> None:
    card = recorded(ctx)
    assert _holds(card, judge, ctx, EVALUATORS)
    assert _holds(card, judge, dataclasses.replace(ctx, on=ctx.on + timedelta(days=30)), EVALUATORS)
    assert not _holds(card, judge, dataclasses.replace(ctx, on=ctx.on + timedelta(days=31)), EVALUATORS)


def test_another_question_is_not(ctx: RunContext, judge: LoadedPolicy) -> None:
    card = recorded(ctx)
    assert not _holds(card, judge, dataclasses.replace(ctx, intent=Intent(use="commercial")), EVALUATORS)
    assert not _holds(card, judge, dataclasses.replace(ctx, evaluation=EvaluationSettings(limit=4)), EVALUATORS)


def test_an_audit_that_loaded_no_model_answers_nothing_of_models(ctx: RunContext, judge: LoadedPolicy) -> None:
    card = recorded(ctx)
    inspected = tuple(c for c in card.dossier.checks if c.id not in EVALUATORS)
    short = card.model_copy(update={"dossier": card.dossier.model_copy(update={"checks": inspected})})
    assert not _holds(short, judge, ctx, EVALUATORS)
