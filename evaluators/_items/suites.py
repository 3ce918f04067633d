"""Suites as data: which tasks make up which family, and which family is the domain of a composition.

A suite is ``evaluators/suites/<id>.yaml``; a shipped task is ``evaluators/tasks/<id>.yaml`` beside its JSON Lines.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from governance.context import RunContext
from governance.errors import PluginError, PrerequisiteError
from governance.subject import Composition, Noun

FOLDER = Path(__file__).resolve().parents[1]
#: The family that is always measured, whatever the domain.
GENERAL = "general"


class Family(Noun):
    """Tasks that are pooled into one number."""

    tasks: tuple[str, ...] = Field(default=(), description="ids in evaluators/tasks")
    domains: tuple[str, ...] = Field(default=(), description="words a card may use for this domain")
    files: tuple[str, ...] = Field(default=(), description="patterns of names in a folder of data, and of lm-eval tasks")


class Suite(Noun):
    """What is asked."""

    id: str
    version: str
    summary: str
    default_domain: str
    families: dict[str, Family]

    def family_of(self, name: str) -> str:
        """Return the family a foreign file or task belongs to: the first whose pattern fits, else the general one."""
        for family, content in self.families.items():
            if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in content.files):
                return family
        return GENERAL


def shipped() -> tuple[str, ...]:
    """Return the ids of the suites that come with the curator."""
    return tuple(sorted(p.stem for p in (FOLDER / "suites").glob("*.yaml")))


def load(wanted: str) -> Suite:
    """Return a suite.

    Args:
        wanted: Its id, or ``auto`` for the built-in one.

    Raises:
        PrerequisiteError: There is no such suite.
        PluginError: Its file is wrong.
    """
    name = "builtin" if wanted == "auto" else wanted
    if name not in shipped():
        raise PrerequisiteError(f"there is no suite {wanted!r}", hint=f"choose one of: auto, {', '.join(shipped())}")
    try:
        suite = Suite.model_validate(yaml.safe_load((FOLDER / "suites" / f"{name}.yaml").read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise PluginError(f"the suite {name} is wrong: {error}") from error
    if suite.default_domain not in suite.families or GENERAL not in suite.families:
        raise PluginError(f"the suite {name} names a family it does not have")
    return suite


def domain(suite: Suite, composition: Composition, ctx: RunContext) -> tuple[str, str | None]:
    """Return the family to measure the fine-tune's own skill with.

    Args:
        suite: From ``load``.
        composition: Its card may speak of a domain.
        ctx: The asker's intent may name one, and wins.

    Returns:
        The family, and the domain that was spoken of but has no family here, if so.
    """
    said = ctx.intent.domain or composition.description.domain
    word = (said or GENERAL).strip().lower()
    if word == GENERAL:
        return suite.default_domain, None
    for name, family in suite.families.items():
        if name != GENERAL and word in (name, *family.domains):
            return name, None
    return suite.default_domain, said
