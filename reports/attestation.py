"""The statements of a signed verdict, unsigned: what ``curator attest`` puts its signature under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain

from pydantic import ValidationError

from governance.errors import SubjectError
from governance.statements import (
    Digests,
    File,
    Particulars,
    ReferencePredicate,
    ReferenceStatement,
    Resource,
    TestsPredicate,
    TestsStatement,
    VerdictPredicate,
    VerdictStatement,
    Verifier,
)
from governance.subject import FileEntry, SourceKind, Subject
from governance.verdict import Decision, RuleResult, RuleStatus, Scorecard

#: How long a verdict is relied on, from the day it was made, if nobody says otherwise.
VALID_FOR = timedelta(days=90)
_VERIFIER = "urn:model-curator"
_RESULTS = {Decision.APPROVE: "PASSED", Decision.REVIEW: "WARNED", Decision.REJECT: "FAILED"}


def payloads(card: Scorecard, boms: Mapping[str, tuple[str, bytes]], until: datetime) -> tuple[bytes, ...]:
    """Return what is to be signed: test results, reference to the bills of materials, and the verdict that names both.

    The verdict is a SLSA verification summary and not an SVR: that one can say nothing but "passed", and has no field for the
    statements it was made with, which is what keeps the three together.

    Args:
        card: A recorded scorecard.
        boms: Media type and bytes of each bill of materials, by format.
        until: When the verdict ends.

    Raises:
        SubjectError: A file of the adapter was not read whole, or a digest is none, so that nobody can vouch for it.
    """
    try:
        return _payloads(card, boms, until)
    except ValidationError as error:
        first = error.errors()[0]
        raise SubjectError(
            f"the scorecard of run {card.run_id!a:.60} cannot be signed: {first['loc']}: {first['msg'][:100]}",
            hint="audit again: a field that should be a digest or a name is something else",
        ) from error


def _payloads(card: Scorecard, boms: Mapping[str, tuple[str, bytes]], until: datetime) -> tuple[bytes, ...]:
    composition = card.dossier.composition
    unread = [f"adapter/{f.path}" for f in composition.adapter.files if not _is_known(f)]
    if unread or not composition.adapter.files:
        raise SubjectError(
            f"{len(unread)} files of the adapter have no digest of their own; first: {unread[0] if unread else 'there are none'}",
            hint="audit a complete copy: curator audit REF",
        )
    subject = list(chain(_files("adapter", composition.adapter), _files("base", composition.base)))
    policy = Resource(
        uri=f"{_VERIFIER}:policy:{card.verdict.policy}:{card.verdict.policy_version}",
        digest=Digests(sha256=card.verdict.policy_digest),
    )
    tests = TestsStatement(subject=subject, predicate=_tests(card, policy)).payload()
    reference = ReferenceStatement(subject=subject, predicate=_reference(card, boms)).payload()
    named = [
        Resource(uri=f"{_VERIFIER}:{kind}:{card.run_id}", digest=_digests(payload))
        for kind, payload in (("test-result", tests), ("reference", reference))
    ]
    approved = card.verdict.decision is Decision.APPROVE
    verdict = VerdictStatement(
        subject=subject,
        predicate=VerdictPredicate(
            verifier=Verifier(id=_VERIFIER, version={"model-curator": card.curator_version}),
            time_verified=_when(card.verdict.on),
            resource_uri=_resource(composition.adapter),
            policy=policy,
            input_attestations=named,
            verification_result="PASSED" if approved else "FAILED",
            verified_levels=["MODELCURATOR_APPROVE" if approved else "FAILED"],
            model_curator=_particulars(card, until),
        ),
    )
    return tests, reference, verdict.payload()


def _files(role: str, part: Subject | None) -> Iterator[File]:
    for f in part.files if part is not None else ():
        if f.sha256:
            yield File(name=f"{role}/{f.path}", digest=Digests(sha256=f.sha256, sha512=f.sha512))


def _is_known(entry: FileEntry) -> bool:
    return entry.present and bool(entry.sha256)


def _digests(data: bytes) -> Digests:
    return Digests(sha256=hashlib.sha256(data).hexdigest(), sha512=hashlib.sha512(data).hexdigest())


def _when(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _resource(adapter: Subject) -> str:
    """Return the package URL of a pinned repository, or the digest of a folder, whose path is nobody's business."""
    if adapter.source is SourceKind.HUB and adapter.commit:
        return f"pkg:huggingface/{adapter.name}@{adapter.commit}"
    return f"{_VERIFIER}:subject:{adapter.digest}"


def _tests(card: Scorecard, policy: Resource) -> TestsPredicate:
    def named(*wanted: str) -> list[str]:
        return [r.rule for r in card.verdict.results if _group(r) in wanted]

    decision = card.verdict.decision
    result = "WARNED" if decision is Decision.APPROVE and named("warned") else _RESULTS[decision]
    return TestsPredicate.model_validate(
        {
            "result": result,
            "configuration": [policy],
            "passedTests": named("passed"),
            "warnedTests": named("warned"),
            "failedTests": named("failed"),
        }
    )


def _group(r: RuleResult) -> str:
    """Return where a rule's result goes; one that does not apply is listed nowhere, one that is not known never passed."""
    match r.status:
        case RuleStatus.PASS:
            return "passed"
        case RuleStatus.FAIL:
            return "warned" if r.effect == "note" else "failed"
        case RuleStatus.UNKNOWN | RuleStatus.WAIVED:
            return "warned"
        case RuleStatus.NOT_APPLICABLE:
            return ""


def _reference(card: Scorecard, boms: Mapping[str, tuple[str, bytes]]) -> ReferencePredicate:
    listed = [
        Resource(name=kind, download_location=f"{_VERIFIER}:bom:{card.run_id}:{kind}", digest=_digests(data), media_type=media_type)
        for kind, (media_type, data) in sorted(boms.items())
    ]
    return ReferencePredicate(attester={"id": _VERIFIER}, references=listed)


def _particulars(card: Scorecard, until: datetime) -> Particulars:
    c = card.dossier.composition
    base: Iterable[FileEntry] = c.base.files if c.base is not None else ()
    return Particulars(
        run_id=card.run_id,
        decision=card.verdict.decision.value,
        reason=card.verdict.reason,
        valid_until=_when(until),
        composition=c.digest,
        adapter=c.adapter.digest,
        base=c.base.digest if c.base is not None else None,
        tokenizer=c.tokenizer_digest,
        chat_template=c.template_digest,
        quantization=c.quantization.value,
        input_digest=card.verdict.input_digest,
        scorecard=hashlib.sha256(card.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest(),
        unread=[f"base/{f.path}" for f in base if not _is_known(f)],
    )


class Attestation:
    """Verdict, test results and an empty reference as in-toto statements; ``curator attest`` adds the bills and signs."""

    id = "attestation"
    version = "1"
    media_type = "application/json"
    suffix = ".in-toto.json"

    def render(self, card: Scorecard) -> bytes:
        """Return the statements, or why there are none, as JSON."""
        document: dict[str, object] = {"signed": False, "statements": [], "reason": ""}
        try:
            document["statements"] = [json.loads(made) for made in payloads(card, {}, card.verdict.on + VALID_FOR)]
        except SubjectError as error:
            document["reason"] = error.message
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


PLUGIN = Attestation()
