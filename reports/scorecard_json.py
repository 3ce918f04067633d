"""The scorecard itself as JSON, schema version first. The schema is committed as ``docs/scorecard.schema.json``."""

from __future__ import annotations

import json

from governance.verdict import SCHEMA_VERSION, Scorecard


class ScorecardJson:
    """The recorded document, for programs."""

    id = "json"
    version = "1"
    media_type = "application/json"
    suffix = ".json"

    def render(self, card: Scorecard) -> bytes:
        """Return the scorecard as UTF-8 JSON with two-space indents."""
        return (json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) every scorecard validates against."""
    schema = Scorecard.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:model-curator:scorecard:{SCHEMA_VERSION}",
        **schema,
    }


PLUGIN = ScorecardJson()
