"""One fault of a bill of materials, and how grave it is. Made by the linters; read by renderers and ``curator bom lint``."""

from __future__ import annotations

from dataclasses import dataclass

#: Advice, not faults: they depend on what a publisher wrote, and must not keep a document from being written.
_ADVICE = frozenset({"BOM-PATH", "BOM-FILL", "BOM-PIN", "BOM-GRAPH"})

#: Every rule of the linters, in one sentence each.
RULES = {
    "BOM-SCHEMA": "the document follows the official schema or model of its format",
    "BOM-ROOT": "the document says what it is about, and when and how it is told apart from others",
    "BOM-REF": "every reference leads to something in the document",
    "BOM-UNIQ": "every reference names one thing",
    "BOM-PTR": "every citation points to a field that exists",
    "BOM-HASH": "models and data sets have digests or a reason, and digests fit their algorithm",
    "BOM-PURL": "package URLs parse, are pinned to a commit, and name one component",
    "BOM-LIC": "licenses are SPDX ids, expressions that parse, or names with a text",
    "BOM-PIN": "ancestors and data sets are pinned, or a reason stands beside them",
    "BOM-BASE": "a base is named alike among components, ancestors and dependencies",
    "BOM-GRAPH": "the dependency graph has each node once, no loop, and hangs together at the root",
    "BOM-EXT": "only what is no part of the product is called external",
    "BOM-NUM": "metrics are numbers, and intervals hold them in order",
    "BOM-DATE": "times are dates with a zone",
    "BOM-PROV": "every field of a model or data set says where it comes from, or nothing does",
    "BOM-FILL": "no field is filled with a word that says nothing",
    "BOM-PATH": "no path, user name or token of a machine is in it",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the rule's id, where, and what."""

    rule: str
    where: str
    message: str

    @property
    def is_error(self) -> bool:
        """Whether a document with it is not written."""
        return self.rule not in _ADVICE

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.message}"
