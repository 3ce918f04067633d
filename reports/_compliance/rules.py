"""The rule sets: what each asks for, as dated data. Codes and dates live in the files only, never in code or templates."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field, field_validator

from governance.subject import Noun


class Item(Noun):
    """One thing a rule set asks for, in our words."""

    code: str = Field(description="where the rule set asks for it")
    title: str
    evidence: tuple[str, ...] = Field(default=(), description="selectors of facts, see evidence.py")
    person: tuple[str, ...] = Field(default=(), description="what no audit can know and a person has to write")

    @field_validator("person")
    @classmethod
    def _worded(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() for text in value):
            raise ValueError("an empty line asks nobody for anything")
        return value


class RuleSet(Noun):
    """One law, standard or guidance."""

    id: str
    title: str
    issuer: str
    kind: Literal["law", "standard", "framework", "guidance"]
    version: str = Field(description="which edition its codes are of")
    revision: int = Field(ge=1, description="of this file")
    effective: tuple[str, ...] = Field(description="since or from when, and for whom; each a sentence")
    as_of: date = Field(description="when all this was last looked at")
    source: tuple[str, ...] = Field(min_length=1)
    read_at_source: bool = Field(description="whether codes and dates were compared with the issuer's own text")
    notes: tuple[str, ...] = ()
    items: tuple[Item, ...] = Field(min_length=1)


@cache
def rule_sets() -> tuple[RuleSet, ...]:
    """Return every rule set, in the order of the files' names."""
    found = [path for path in files("reports._compliance").iterdir() if path.name.endswith(".yaml")]
    return tuple(RuleSet.model_validate(yaml.safe_load(p.read_text(encoding="utf-8"))) for p in sorted(found, key=lambda p: p.name))
