"""What a license demands, as data, and what the asker wants to do.

``policies.licenses`` reads ``policies/licenses/*.yaml`` into ``LicenseTerms``; the license scanner judges with them. Field
names and values follow the license table's own documentation in ``docs/licenses.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from governance.subject import Noun

YesNo = Literal["yes", "no", "conditional", "unknown"]
Purpose = Literal["research", "internal", "commercial", "redistribute", "outputs-only"]


class NamingDuty(Noun):
    """A derivative's name must follow a rule."""

    rule: Literal["prefix"]
    value: str
    trigger: str = ""
    clause: str = ""


class NoticeDuty(Noun):
    """A Notice file must travel. Its sentence is composed from the parts, given, or copied from the license text."""

    file: str = "Notice"
    product: str = ""
    license: str = ""
    holder: str = ""
    form: str = Field(default="", description="the sentence, with <product>, <license> and <holder>")
    text: str = Field(default="", description="the sentence as it stands in the license")
    found_at: str = Field(default="", description="where the sentence says the terms are found")
    copied: str = Field(default="", description="why the sentence must be copied from the text at the pinned revision")
    clause: str = ""

    @property
    def sentence(self) -> str:
        """The required sentence; empty if it must be copied from the license text."""
        if self.form:
            made = self.form.replace("<product>", self.product).replace("<license>", self.license)
            return made.replace("<holder>", self.holder)
        return f"{self.text} found at {self.found_at}" if self.found_at else self.text


class DisplayIf(Noun):
    """A display duty that holds for the named models only."""

    model: str
    text: str
    clause: str = ""


class UserCap(Noun):
    """Above so many monthly active users the grant ends, or a duty begins."""

    mau: int
    scope: Literal["all", "commercial"] = "all"
    effect: Literal["license", "display"] = "license"
    or_revenue_usd_month: int | None = None
    measured: str = ""
    clause: str = ""
    note: str = ""


class RevenueCap(Noun):
    """Above so much revenue a year the grant ends for these purposes."""

    usd_per_year: int
    purposes: tuple[Purpose, ...] = ("commercial",)
    clause: str = ""


class GeoLimit(Noun):
    """Places whose people and companies are granted nothing."""

    exclude: tuple[str, ...]
    scope: Literal["all", "multimodal"] = "all"
    outputs: bool = False
    multimodal_default: bool | None = Field(default=None, description="what to assume if the modality is not known; None: nothing")
    where: str = ""
    note: str = ""


class OutputsRule(Noun):
    """What may be trained on a model's outputs."""

    rule: Literal[
        "unrestricted",
        "allowed-with-naming",
        "allowed-with-display",
        "distillation-is-derivative",
        "research-only",
        "forbidden",
    ] = "unrestricted"
    of: str = ""
    excepted: tuple[str, ...] = ()
    certain: bool = Field(default=False, description="the ban plainly covers any other model")
    materials_too: bool = Field(default=False, description="the ban also covers using the weights, as in a merge")
    clause: str = ""


class LicenseTerms(Noun):
    """One row of the license table: facts about one license text, each from its source.

    A row of the family ``service`` is a contract of whoever called an API; it is never a license of a model.
    """

    id: str = Field(description="the id the Hub or the table uses, lower case")
    name: str
    spdx: str | None = None
    aliases: tuple[str, ...] = Field(default=(), description="other spellings that mean exactly this text")
    hub: bool = Field(default=False, description="whether it is an id of the Hub's own list")
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
    display_if: DisplayIf | None = None
    notice: NoticeDuty | None = None
    attribution: str = ""
    use_policy: str = Field(default="", description="where the acceptable use policy is")
    user_cap: UserCap | None = None
    revenue_cap: RevenueCap | None = None
    geo_limit: GeoLimit | None = None
    outputs: OutputsRule = OutputsRule()
    data_results_free: Literal["yes", "notice-only", "no"] = Field(
        default="no", description="whether what is made from the data, such as a model, is free of the terms"
    )
    revocable: bool = False
    link: str = Field(default="", description="where the text is published")
    marks: tuple[str, ...] = Field(default=(), description="for a service: words in a data set's id or columns that name it")
    clauses: dict[str, str] = Field(default_factory=dict)
    text_seen: bool = Field(description="whether a clause was read from the license text itself")
    source: str
    notes: str = ""


#: Every license the curator knows, by id.
LicenseTable = Mapping[str, LicenseTerms]


class Intent(Noun):
    """What the asker wants to do with the model; None leaves a question open."""

    use: Purpose | None = None
    domain: str | None = None
    region: str | None = Field(default=None, description="domicile or place of business: EU, UK, KR or an ISO 3166 code")
    environment: str | None = None
    mau: int | None = Field(default=None, ge=0, description="monthly active users in the month the clause measures")
    revenue: int | None = Field(default=None, ge=0, description="US dollars a year, with affiliates")
    multimodal: bool | None = Field(default=None, description="whether the base takes more than text, if that is known")
