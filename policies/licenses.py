"""The license table: one YAML file per license id beside this module, read into ``LicenseTerms``.

Made for ``api``, which puts the table into the run's context; the license scanner judges with what it finds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError

from governance.errors import PolicyError
from governance.licensing import LicenseTerms

#: Folder of the shipped table.
FOLDER = Path(__file__).with_name("licenses")


@cache
def license_table(folder: Path = FOLDER) -> Mapping[str, LicenseTerms]:
    """Return every license the curator knows, by id.

    Args:
        folder: Holds ``<id>.yaml`` files.

    Raises:
        PolicyError: A file cannot be read, its id is not its name, or two rows claim one spelling.
    """
    table: dict[str, LicenseTerms] = {}
    spellings: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        terms = _read(path)
        table[terms.id] = terms
        for spelling in {terms.id, (terms.spdx or terms.id).lower(), *terms.aliases}:
            if spellings.setdefault(spelling, terms.id) != terms.id:
                raise PolicyError(
                    f"{path.name}: the spelling {spelling!r} belongs to {spellings[spelling]!r} already",
                    hint="one spelling means one license text; remove it from one of the two files",
                )
    return MappingProxyType(table)


def _read(path: Path) -> LicenseTerms:
    try:
        terms = LicenseTerms.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"{path.name} is no row of the license table: {error}", hint="docs/licenses.md lists the fields"
        ) from error
    if terms.id != path.stem or terms.id != terms.id.lower():
        raise PolicyError(f"{path.name} holds the id {terms.id!r}", hint="name the file after its id, in lower case")
    return terms
