"""What a license demands, as data, and what the asker wants to do.

``policies.loader`` reads ``policies/licenses/*.yaml`` into ``LicenseTerms``; the license scanner judges with them. Field
names and values follow the license table's own documentation in ``docs/licenses.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from governance.subject import Noun

YesNo = Literal["yes", "no", "conditional", "unknown"]


class NamingDuty(Noun):
    """A derivative's name must follow a rule."""

    rule: Literal["prefix"]
    value: str
    trigger: str = ""
    clause: str = ""


class LicenseTerms(Noun):
    """One row of the license table: facts about one license text, each from its source."""

    id: str = Field(description="the id the Hub or the table uses, lower case")
    name: str
    spdx: str | None = None
    aliases: tuple[str, ...] = Field(default=(), description="other spellings that mean exactly this text")
    family: str
    precise: bool = Field(description="False: a family id or no license; never mapped to a text")
    commercial: YesNo
    share_derivatives: YesNo
    same_terms: str = Field(description="whether a derivative may carry other terms: no, yes, no-sublicense, or-wider, part, …")
    compatible_with: tuple[str, ...] = Field(default=(), description="ids a derivative may carry instead, if same_terms is yes")
    copyleft: Literal["none", "weak", "strong", "network", "share-alike"] = "none"
    pass_use_restrictions: str = Field(default="no", description="yes, equivalent, by-reference, data-only or no")
    copy_of_license: bool = False
    keep_notices: bool = False
    state_changes: bool = False
    adapter_scope: str = Field(default="copyright", description="why the terms reach an adapter: explicit, definition, …")
    reach: dict[str, str] = Field(default_factory=dict, description="adapter_scope per duty, where it differs")
    naming: NamingDuty | None = None
    display: str | None = Field(default=None, description="sentence that must be shown; alternatives parted by |")
    notice: str | None = Field(default=None, description="sentence a Notice file must hold, or where to copy it from")
    clauses: dict[str, str] = Field(default_factory=dict)
    text_seen: bool = Field(description="whether a clause was read from the license text itself")
    source: str
    notes: str = ""


#: Every license the curator knows, by id.
LicenseTable = Mapping[str, LicenseTerms]


class Intent(Noun):
    """What the asker wants to do with the model; None leaves a question open."""

    use: Literal["research", "internal", "commercial", "redistribute"] | None = None
    domain: str | None = None
    region: str | None = None
    environment: str | None = None
