"""The accumulating document of one audit: facts and checks, no judgement. Steps return a larger copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from governance.evidence import Check, Component, Fact, Finding, Measurement
from governance.subject import Composition, Noun


class Dossier(Noun):
    """Everything known about one composition."""

    composition: Composition
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    components: tuple[Component, ...] = ()

    def plus(self, check: Check, facts: Iterable[Fact]) -> Self:
        """Return a copy with one more check and its facts, each stamped with the plug-in that said it.

        Args:
            check: That the plug-in ran, or why not.
            facts: What it said, in its order.

        Returns:
            A new dossier; this one is unchanged.
        """
        findings, measurements, components = list(self.findings), list(self.measurements), list(self.components)
        for fact in facts:
            match fact:
                case Finding():
                    findings.append(fact.model_copy(update={"plugin": check.id}))
                case Measurement():
                    measurements.append(fact.model_copy(update={"plugin": check.id}))
                case Component():
                    components.append(fact.model_copy(update={"plugin": check.id}))
        return self.model_copy(
            update={
                "checks": (*self.checks, check),
                "findings": tuple(findings),
                "measurements": tuple(measurements),
                "components": tuple(components),
            }
        )

    def check(self, plugin: str) -> Check | None:
        """Return the check of a plug-in, or None if it was never asked."""
        return next((c for c in self.checks if c.id == plugin), None)

    def facts_of(self, plugin: str) -> tuple[Fact, ...]:
        """Return everything one plug-in said, findings first."""
        every: tuple[Fact, ...] = (*self.findings, *self.measurements, *self.components)
        return tuple(f for f in every if f.plugin == plugin)
