"""The scorecard as JSON, schema version first; ``docs/scorecard.schema.json`` is its schema."""

from __future__ import annotations

import json

from pydantic import JsonValue

from governance.verdict import SCHEMA_VERSION, Scorecard


def json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema (draft 2020-12) of what ``render`` writes.

    Returns:
        The document committed as ``docs/scorecard.schema.json``.
    """
    schema: dict[str, JsonValue] = Scorecard.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:model-curator:scorecard:{SCHEMA_VERSION}",
        **schema,
    }


class ScorecardJson:
    """The whole scorecard, field for field; what programs should read."""

    id = "json"
    version = "1"
    media_type = "application/json"
    suffix = ".json"

    def render(self, card: Scorecard) -> bytes:
        """Return the scorecard as indented UTF-8 JSON; keys keep the order of the schema."""
        # through pydantic's own JSON, which has no NaN: a number that is not finite becomes null, as on the wire
        document = json.loads(card.model_dump_json())
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


PLUGIN = ScorecardJson()
