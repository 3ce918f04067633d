"""What a signed verdict says: in-toto statements over the exact files audited, and whether they still hold.

``reports.attestation`` makes them of a scorecard, ``governance.signing`` signs them, ``judge`` compares them with what is there
now. Three statements belong together: the verdict names the digests of the other two, so none can be left out or swapped.
Everything here is read after the signatures held.

Source:
    in-toto Attestation Framework v1 (Statement, ResourceDescriptor; predicates test-result v0.1 and reference v0.1);
    SLSA Verification Summary Attestation v1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from governance.canonical import canonical_json, strict_json
from governance.errors import SignatureError
from governance.verdict import Decision

VERDICT: Literal["https://slsa.dev/verification_summary/v1"] = "https://slsa.dev/verification_summary/v1"
TESTS: Literal["https://in-toto.io/attestation/test-result/v0.1"] = "https://in-toto.io/attestation/test-result/v0.1"
REFERENCE: Literal["https://in-toto.io/attestation/reference/v0.1"] = "https://in-toto.io/attestation/reference/v0.1"
#: How far two clocks may differ.
_SKEW = timedelta(minutes=5)
_MOST_NAMED = 10
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex128 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class _Said(BaseModel):
    """A part of a statement: nothing more in it than what is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


class Digests(_Said):
    """Digests of one thing."""

    sha256: Hex64
    sha512: Hex128 | None = None


class Resource(_Said):
    """A thing by name and digest."""

    name: str | None = None
    uri: str | None = None
    digest: Digests
    download_location: str | None = None
    media_type: str | None = None


class File(_Said):
    """A file that was audited; ``adapter/`` or ``base/`` stands before its path."""

    name: str
    digest: Digests


class Verifier(_Said):
    """Who judged."""

    id: str
    version: dict[str, str]


class Particulars(_Said):
    """What the predicate has no word for."""

    run_id: str
    decision: Literal["approve", "review", "reject"]
    reason: str
    valid_until: str
    composition: Hex64
    adapter: Hex64
    base: Hex64 | None = None
    tokenizer: Hex64 | None = None
    chat_template: Hex64 | None = None
    quantization: str
    input_digest: Hex64
    scorecard: Hex64
    unread: list[str] = Field(description="files of the composition whose bytes nobody read")


class VerdictPredicate(_Said):
    """The verdict, as a verification summary."""

    verifier: Verifier
    time_verified: str
    resource_uri: str
    policy: Resource
    input_attestations: list[Resource]
    verification_result: Literal["PASSED", "FAILED"]
    verified_levels: list[str]
    model_curator: Particulars


class TestsPredicate(_Said):
    """The rules of the policy, as test results."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: list[Resource]
    passed_tests: list[str]
    warned_tests: list[str]
    failed_tests: list[str]


class ReferencePredicate(_Said):
    """The bills of materials by digest."""

    attester: dict[str, str]
    references: list[Resource]


class _Statement(_Said):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: list[File]

    def payload(self) -> bytes:
        """Return the bytes that are signed."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


class VerdictStatement(_Statement):
    """The verdict over the files."""

    predicate_type: Literal["https://slsa.dev/verification_summary/v1"] = VERDICT
    predicate: VerdictPredicate


class TestsStatement(_Statement):
    """The rules' results over the files."""

    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = TESTS
    predicate: TestsPredicate


class ReferenceStatement(_Statement):
    """The bills of materials over the files."""

    predicate_type: Literal["https://in-toto.io/attestation/reference/v0.1"] = REFERENCE
    predicate: ReferencePredicate


Statement = VerdictStatement | TestsStatement | ReferenceStatement
_READ: TypeAdapter[Statement] = TypeAdapter(Annotated[Statement, Field(discriminator="predicate_type")])


class Problem(_Said):
    """One reason not to rely on a signed verdict."""

    code: str
    message: str


@dataclass(frozen=True)
class Bundle:
    """The statements of one run, read."""

    verdict: VerdictStatement
    tests: TestsStatement
    reference: ReferenceStatement
    payloads: Mapping[str, str]


@dataclass(frozen=True)
class Present:
    """What is there now. ``None``: it was not given, and is reported as not checked.

    Attributes:
        adapter: Digests of every file of the folder, by path.
        base: The same of the base.
        strange: Entries that are no plain file of a folder, with the reason.
        policy: Digest of the policy that is expected.
        bom: SHA-256 of a bill of materials.
        on: The date it is judged on.
        only_approved: Whether another decision is a problem.
    """

    adapter: Mapping[str, Digests]
    on: datetime
    base: Mapping[str, Digests] | None = None
    strange: Mapping[str, str] | None = None
    policy: str | None = None
    bom: str | None = None
    only_approved: bool = True


def read_bundle(payloads: Sequence[bytes]) -> Bundle:
    """Return the statements of payloads whose signatures held.

    Raises:
        SignatureError: They are not the three statements of one run.
    """
    found: dict[str, Statement] = {}
    digests: dict[str, str] = {}
    for payload in payloads:
        said = _statement(payload)
        if said.predicate_type in found:
            raise SignatureError(f"there are two statements of the type {said.predicate_type}")
        found[said.predicate_type] = said
        digests[said.predicate_type] = hashlib.sha256(payload).hexdigest()
    match found.get(VERDICT), found.get(TESTS), found.get(REFERENCE):
        case VerdictStatement() as verdict, TestsStatement() as tests, ReferenceStatement() as reference:
            return Bundle(verdict, tests, reference, digests)
    missing = ", ".join(kind for kind in (VERDICT, TESTS, REFERENCE) if kind not in found)
    raise SignatureError(f"statements are missing: {missing}", hint="give the whole file curator attest wrote, line by line")


def _statement(payload: bytes) -> Statement:
    value = strict_json(payload)
    kind = value.get("predicateType") if isinstance(value, dict) else None
    if kind not in (VERDICT, TESTS, REFERENCE):
        raise SignatureError(f"the statement is of another type: {kind!a:.100}")
    if canonical_json(value) != payload:
        raise SignatureError("the statement is not canonical JSON")
    try:
        return _READ.validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"][1:])
        raise SignatureError(f"the statement cannot be read: {where[:120]!a}: {first['msg'][:120]}") from error


def judge(bundle: Bundle, now: Present) -> tuple[Problem, ...]:
    """Return every reason not to rely on a signed verdict; empty if there is none.

    Args:
        bundle: Statements whose signatures held.
        now: What is there.
    """
    return tuple(
        Problem(code=code, message=message)
        for part in (_together(bundle), _dates(bundle.verdict.predicate, now), _verdict(bundle, now), _files(bundle, now))
        for code, message in part
    )


def _together(b: Bundle) -> Iterator[tuple[str, str]]:
    """Yield what shows that statements are not of one run."""
    wanted = {b.payloads[TESTS], b.payloads[REFERENCE]}
    named = [r.digest.sha256 for r in b.verdict.predicate.input_attestations]
    if set(named) != wanted or len(named) != len(wanted):
        yield "statements", "the verdict was signed together with other statements than these"
    if not b.verdict.subject == b.tests.subject == b.reference.subject:
        yield "statements", "the statements speak of different files"
    names = [f.name for f in b.verdict.subject]
    if len(set(names)) != len(names):
        yield "statements", "a file is named twice"
    decision = b.verdict.predicate.model_curator.decision
    if (b.verdict.predicate.verification_result == "PASSED") is not (decision == Decision.APPROVE.value):
        yield "statements", "the summary and the decision contradict each other"


def _dates(p: VerdictPredicate, now: Present) -> Iterator[tuple[str, str]]:
    made, until = (_instant(text) for text in (p.time_verified, p.model_curator.valid_until))
    if made is None or until is None:
        yield "date", "a date of the verdict cannot be read"
        return
    if now.on > until:
        yield "expired", f"the verdict expired on {until:%Y-%m-%d %H:%M} UTC; it is judged on {now.on:%Y-%m-%d %H:%M} UTC"
    if now.on + _SKEW < made:
        yield "date", f"the verdict is of {made:%Y-%m-%d %H:%M} UTC, later than {now.on:%Y-%m-%d %H:%M} UTC"


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _verdict(b: Bundle, now: Present) -> Iterator[tuple[str, str]]:
    p = b.verdict.predicate
    if now.only_approved and p.model_curator.decision != Decision.APPROVE.value:
        yield "decision", f"the verdict is {p.model_curator.decision}, not approve: {p.model_curator.reason[:300]!a}"
    signed = {p.policy.digest.sha256, *(c.digest.sha256 for c in b.tests.predicate.configuration)}
    if now.policy is not None and signed != {now.policy}:
        yield "policy", f"judged by the policy sha256:{', '.join(sorted(signed))}; expected is sha256:{now.policy}"
    boms = {r.digest.sha256 for r in b.reference.predicate.references}
    if now.bom is not None and now.bom not in boms:
        yield "bom", f"the bill of materials has sha256:{now.bom}; signed are sha256:{', '.join(sorted(boms)) or 'none'}"


def _files(b: Bundle, now: Present) -> Iterator[tuple[str, str]]:
    for role, present in (("adapter", now.adapter), ("base", now.base)):
        if present is None:
            continue
        signed = {f.name.removeprefix(f"{role}/"): f.digest for f in b.verdict.subject if f.name.startswith(f"{role}/")}
        if not signed:
            yield "file", f"the verdict covers no file of the {role}"
        yield from _named("changed", role, [p for p in signed if p in present and not _same(signed[p], present[p])])
        yield from _named("missing", role, [p for p in signed if p not in present])
        yield from _named("not audited", role, [p for p in present if p not in signed])
    yield from (("file", f"{path!a}: {reason}") for path, reason in sorted((now.strange or {}).items()))


def _same(signed: Digests, present: Digests) -> bool:
    return signed.sha256 == present.sha256 and signed.sha512 in (None, present.sha512)


def _named(what: str, role: str, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from (("file", f"{role}: {path!a} is {what}") for path in sorted(paths)[:_MOST_NAMED])
    if len(paths) > _MOST_NAMED:
        yield "file", f"{role}: {len(paths) - _MOST_NAMED} further files are {what}"
