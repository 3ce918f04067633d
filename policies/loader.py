"""From a name or a file to a policy that can judge: read, check, compile, refuse.

Read by ``api``. Every fault is shown with its file, line and column and the line itself; all faults of a stage come together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from pathlib import Path

from pydantic import JsonValue

from governance.dossier import Dossier
from governance.errors import PolicyError
from governance.licensing import Intent
from governance.subject import canonical_digest
from governance.verdict import Decision, RuleResult, RuleStatus, Verdict
from policies._cel.environment import gather
from policies._cel.expressions import RuleEngine
from policies._checks import compiled, validated
from policies._source import MAX_BYTES, Fault, Source, meant
from policies.document import ModelPolicy, PolicyRule, PolicyTest, Vocabulary
from policies.engine import CompiledRule, Evidence, conclude, gathered, input_digest, judge, required
from policies.inheritance import resolved
from policies.waivers import holding, standing

GATES = Path(__file__).resolve().parent / "gates"
#: Longest chain of policies that extend one another.
_MOST_ANCESTORS = 5


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that was checked and compiled; fulfils ``governance.contracts.Policy``.

    Args:
        document: As written.
        compiled: Its rules, in order.
        engine: Evaluates them.
        vocabulary: What it was checked against.
    """

    document: ModelPolicy
    compiled: tuple[CompiledRule, ...]
    engine: RuleEngine
    vocabulary: Vocabulary

    @property
    def id(self) -> str:
        """Name of the policy."""
        return self.document.metadata.name

    @property
    def version(self) -> str:
        """Version of the document."""
        return self.document.metadata.version

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the document as canonical JSON, without what is left at its default."""
        return canonical_digest(self._plain)

    @property
    def recorded(self) -> str:
        """The resolved document as JSON, for ``load_recorded``; what ``digest`` is made of."""
        return json.dumps(self._plain, ensure_ascii=False, sort_keys=True)

    @property
    def _plain(self) -> dict[str, JsonValue]:
        return self.document.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @property
    def margins(self) -> Mapping[str, float]:
        """Non-inferiority margins, by family."""
        return self.document.spec.margins

    @property
    def rules(self) -> tuple[PolicyRule, ...]:
        """The rules as written, in order."""
        return self.document.spec.rules

    def stop_before_evaluation(self, dossier: Dossier, *, on: datetime, intent: Intent) -> str | None:
        """Return why no model needs to be loaded: a rule that inspection alone answers rejects. Or None."""
        asked = [c for c in self.compiled if c.rule.effect == "reject" and c.before_evaluation(self.vocabulary)]
        results = self._results(asked, self._evidence(dossier, on, intent), on)[0]
        failed = [r for r in results if r.status is RuleStatus.FAIL]
        if not failed:
            return None
        return f"not needed: {self.id} already rejects by {failed[0].rule}: {failed[0].reason}"

    def decide(self, dossier: Dossier, *, on: datetime, intent: Intent) -> Verdict:
        """Return the verdict. Pure and total."""
        results, notes = self._results(self.compiled, self._evidence(dossier, on, intent), on)
        if self.document.spec.requires:
            results.append(required(self.document.spec.requires, dossier, self._on_unknown))
        decision, reason = conclude(results)
        return Verdict(
            policy=self.id,
            policy_version=self.version,
            policy_digest=self.digest,
            engine=self.engine.id,
            engine_version=self.engine.version,
            input_digest=input_digest(dossier, intent),
            on=on,
            decision=decision,
            reason=reason,
            results=tuple(results),
            notes=notes,
        )

    @property
    def _on_unknown(self) -> Decision:
        return Decision(self.document.spec.on_unknown)

    def _evidence(self, dossier: Dossier, on: datetime, intent: Intent) -> Evidence:
        spec = self.document.spec
        facts = partial(
            gather,
            dossier,
            on=on,
            intent=intent,
            params=spec.params,
            margins=spec.margins,
            vocabulary=self.vocabulary,
        )
        counted = facts()
        whole = all(c.outcome.checked for c in dossier.checks)
        recorded = counted if whole else facts(partial=True)
        return gathered(counted, recorded, dossier, self.vocabulary, self.engine)

    def _results(self, rules: Sequence[CompiledRule], evidence: Evidence, on: datetime) -> tuple[list[RuleResult], tuple[str, ...]]:
        by_id = {r.id: r for r in self.rules}
        held, notes = holding(
            self.document.spec.waivers, by_id, evidence.dossier.composition, on.date(), self.document.spec.max_waiver_days
        )
        return [judge(c, evidence, self._on_unknown, held.get(c.rule.id)) for c in rules], notes


def shipped() -> tuple[str, ...]:
    """Return the names of the policies that come with the curator."""
    return tuple(sorted(p.stem for p in GATES.glob("*.yaml") if not p.name.endswith(".test.yaml")))


def load(reference: str | Path, vocabulary: Vocabulary) -> LoadedPolicy:
    """Read, check and compile a policy.

    Args:
        reference: A shipped policy's name, or a file.
        vocabulary: What plug-ins may say.

    Raises:
        PolicyError: It cannot be used; the message shows every fault at its place.
        PrerequisiteError: The rule engine is not installed.
    """
    source = _open(reference)
    document = _resolved(source, reference, ())
    engine, rules = compiled(source, document, vocabulary)
    return LoadedPolicy(document=document, compiled=rules, engine=engine, vocabulary=vocabulary)


def assert_waivers_stand(reference: str | Path, policy: LoadedPolicy, day: date) -> None:
    """Refuse a policy file that carries waivers without effect; judging goes on without them, and says so.

    Args:
        reference: The file the policy was loaded from.
        policy: From ``load``.
        day: The day of the check.

    Raises:
        PolicyError: Shows each of them at its place.
    """
    source = _open(reference)
    document = validated(source, source.read(), ModelPolicy)
    rules = {r.id: r for r in policy.rules}
    wrong = standing(document.spec.waivers, rules, day, policy.document.spec.max_waiver_days)
    if wrong:
        raise source.error([Fault("P401", text, source.place(("spec", "waivers", index))) for index, text in wrong])


def load_recorded(document: str, vocabulary: Vocabulary) -> LoadedPolicy:
    """Check and compile a policy as the ledger keeps it: resolved, as JSON.

    Args:
        document: From ``LoadedPolicy.recorded``.
        vocabulary: What plug-ins may say today.

    Raises:
        PolicyError: It is from another version of the curator and speaks of what there is no longer.
    """
    source = Source(name="recorded policy", text=document)
    found = validated(source, source.read(), ModelPolicy)
    engine, rules = compiled(source, found, vocabulary)
    return LoadedPolicy(document=found, compiled=rules, engine=engine, vocabulary=vocabulary)


def _resolved(source: Source, reference: str | Path, above: tuple[str, ...]) -> ModelPolicy:
    """Return a document with everything it extends written out."""
    document = validated(source, source.read(), ModelPolicy)
    if not document.metadata.extends:
        if not document.spec.rules:
            raise source.error([Fault("P003", "rules: at least one is needed", source.place(("spec",), key=True))])
        for name in ("effects", "loosens"):
            if getattr(document.spec, name):
                text = f"{name} speaks of inherited rules, and nothing is inherited: name a policy under metadata.extends"
                raise source.error([Fault("P302", text, source.place(("spec", name), key=True))])
        return document
    here, parents = (*above, str(reference)), []
    for index, name in enumerate(document.metadata.extends):
        place = source.place(("metadata", "extends", index))
        wanted: str | Path = name
        if name not in shipped():
            folder = GATES if str(reference) in shipped() else Path(reference).parent
            wanted = folder / name
        if str(wanted) in here or len(here) > _MOST_ANCESTORS:
            raise source.error([Fault("P304", f"extends goes round in a circle or too deep: {' → '.join((*here, name))}", place)])
        try:
            parents.append((name, _resolved(_open(wanted), wanted, here)))
        except PolicyError as error:
            raise source.error(
                [Fault("P304", f"extends: {name} cannot be used\n{error.message}", place)], hint=error.hint
            ) from error
    return resolved(source, document, parents)


def load_test(path: Path) -> PolicyTest:
    """Read a ``PolicyTest`` document.

    Args:
        path: A file.

    Raises:
        PolicyError: It cannot be used; the message shows every fault at its place.
    """
    source = _open(path)
    return validated(source, source.read(), PolicyTest)


def _open(reference: str | Path) -> Source:
    """Return the text behind a shipped name or a path."""
    path = Path(reference)
    if str(reference) in shipped():
        path = GATES / f"{reference}.yaml"
    elif not path.is_file():
        near = meant(str(reference), shipped())
        raise PolicyError(f"there is no policy {str(reference)!r}{near}", hint=f"a file, or one of: {', '.join(shipped())}")
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        return Source(name=path.name, text=raw.decode("utf-8-sig"))
    except OSError as error:
        raise PolicyError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path.name} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error
