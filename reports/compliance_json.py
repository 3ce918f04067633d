"""The same as ``compliance-html``, as data: every line with its facts, their places in the scorecard, and what is open."""

from __future__ import annotations

import json
from dataclasses import asdict

from governance.verdict import Scorecard


class ComplianceJson:
    """What a governance tool imports."""

    id = "compliance-json"
    version = "1"
    media_type = "application/json"
    suffix = ".compliance.json"

    def render(self, card: Scorecard) -> bytes:
        """Return the document; paths are JSON Pointers into the scorecard of the same run."""
        from reports._compliance.form import DISCLAIMER, forms

        document = {
            "run_id": card.run_id,
            "created": card.created.isoformat(),
            "curator_version": card.curator_version,
            "composition": card.dossier.composition.digest,
            "decision": card.verdict.decision.value,
            "about": DISCLAIMER,
            "rule_sets": [
                {
                    **form.rules.model_dump(mode="json", exclude={"items"}),
                    "warnings": list(form.warnings),
                    "counts": form.counts,
                    "items": [asdict(line) for line in form.lines],
                }
                for form in forms(card)
            ],
        }
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


PLUGIN = ComplianceJson()
