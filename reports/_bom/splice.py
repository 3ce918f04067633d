"""A CycloneDX document: the library's output, the parts it lacks spliced in, then validated and linted.

Made from a ``Scorecard``; read by ``reports.cyclonedx`` and ``reports.cyclonedx_1_6``. The library has no model card, data
sets, annotations, compositions or citations; they are joined to its output by ``bom-ref``. A document that is not valid is
not written.

Source:
    CycloneDX 1.7 (ECMA-424), sections "Component", "Model Card", "Pedigree", "Citations".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from governance.errors import PluginError
from governance.verdict import Scorecard
from reports._bom import lint
from reports._bom.licenses import detected, license_choices
from reports._bom.model_card import citations, model_card, remarks, vulnerabilities
from reports._bom.parts import OWN, FilePart, Part, Parts, parts, split_name

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

Specification = Literal["1.6", "1.7"]
_TOOL = "tool-model-curator"


def render(card: Scorecard, specification: Specification) -> bytes:
    """Return the bill of materials as UTF-8 JSON.

    Args:
        card: A recorded scorecard; its strings may be hostile.
        specification: Version of CycloneDX.

    Raises:
        PluginError: The document would not be valid; says where.
    """
    found = parts(card)
    document = _spliced(_stock(card, found, specification), card, found, specification)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    _assert_valid(text, document, specification)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _stock(card: Scorecard, found: Parts, specification: Specification) -> dict[str, object]:
    """Return what the library alone can write."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    tool = Component(
        name="model-curator", version=card.curator_version, type=ComponentType.APPLICATION, bom_ref=_TOOL,
        description="Audits community fine-tunes and decides whether they may be used.",
    )  # fmt: skip
    libraries = [
        Component(name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"tool-{name}", purl=_pypi(name, version))
        for name, version in sorted(card.versions.items())
    ]
    components = {p.ref: _component(p) for p in _all(found)}
    root = components.pop(found.adapter.ref)
    bom = Bom(
        serial_number=found.serial,
        version=1,
        metadata=BomMetaData(
            timestamp=card.created.astimezone(UTC),
            component=root,
            tools=ToolRepository(components=[tool, *libraries]),
            lifecycles=[PredefinedLifecycle(phase=LifecyclePhase.POST_BUILD)],
            properties=[Property(name=OWN + k, value=v) for k, v in _facts(card)],
        ),
        components=components.values(),
    )
    needs = [p.ref for p in (found.base, *found.configurations, *found.datasets) if p]
    bom.register_dependency(root, [components[r] for r in needs])
    if found.base:
        behind = [components[p.ref] for p in (*found.base_datasets, *found.ancestors)]
        bom.register_dependency(components[found.base.ref], behind)
    version = SchemaVersion.V1_7 if specification == "1.7" else SchemaVersion.V1_6
    stock: dict[str, object] = json.loads(make_outputter(bom, OutputFormat.JSON, version).output_as_string())
    return stock


def _component(p: Part) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalEntity
    from packageurl import PackageURL

    kind = {"model": ComponentType.MACHINE_LEARNING_MODEL, "dataset": ComponentType.DATA, "configuration": ComponentType.DATA}[
        p.kind
    ]
    return Component(
        name=p.name,
        type=kind,
        bom_ref=p.ref,
        group=p.group or None,
        version=p.version or None,
        description=p.description or None,
        supplier=OrganizationalEntity(name=p.group) if p.group else None,
        purl=PackageURL.from_string(p.purl) if p.purl else None,
        hashes=[HashType(alg=_algorithm(a), content=h) for a, h in p.hashes],
        external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(p.url))] if p.url else None,
        properties=[Property(name=k, value=v) for k, v in p.properties],
        components=[_file(f) for f in p.files],
    )


def _file(f: FilePart) -> Component:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    hashes = [HashType(alg=_algorithm("SHA-256"), content=f.sha256)]
    hashes += [HashType(alg=_algorithm("SHA-512"), content=f.sha512)] if f.sha512 else []
    about = [Property(name=f"{OWN}size", value=str(f.size)), Property(name=f"{OWN}hash:source", value=f.source)]
    return Component(name=f.name, type=ComponentType.FILE, bom_ref=f.ref, hashes=hashes, properties=about)


def _algorithm(name: str) -> object:
    from cyclonedx.model import HashAlgorithm

    return HashAlgorithm(name)


def _pypi(name: str, version: str) -> object:
    from packageurl import PackageURL

    return PackageURL("pypi", None, name, version)


def _all(found: Parts) -> Iterable[Part]:
    yield found.adapter
    if found.base:
        yield found.base
    yield from (*found.ancestors, *found.configurations, *found.datasets, *found.base_datasets)


def _facts(card: Scorecard) -> Iterable[tuple[str, str]]:
    """Yield what the whole document stands for: run, verdict and what it was reached on."""
    v, c = card.verdict, card.dossier.composition
    yield "generationContext", "post-build: audit of published files"
    yield "run", card.run_id
    yield "composition", f"sha256:{c.digest}"
    yield "quantization", c.quantization.value
    yield "decision", v.decision.value
    yield "policy:digest", f"sha256:{v.policy_digest}"
    for check in card.dossier.checks:
        yield f"check:{check.id}", check.outcome.value
    if c.base is None:
        yield "absent:base", "no base model is known for this adapter"


def _spliced(document: dict[str, object], card: Scorecard, found: Parts, specification: Specification) -> dict[str, object]:
    """Return the document with everything the library lacks."""
    by_ref = lint.components(document)
    mixed = specification == "1.7"
    for p in _all(found):
        target = by_ref[p.ref]
        if licenses := license_choices(p.licenses, mixed=mixed):
            target["licenses"] = licenses
        if evidence := detected(p.licenses):
            target["evidence"] = {"licenses": evidence}
        if p.kind != "model":
            target["data"] = [{"type": p.kind, "name": p.name, **({"contents": {"url": p.url}} if p.url else {})}]
        if p.external and mixed:
            target["isExternal"] = True
    root = by_ref[found.adapter.ref]
    root["modelCard"] = model_card(card, found)
    root["pedigree"] = _pedigree(card, found)
    if found.base and (trained := [{"ref": p.ref} for p in found.base_datasets]):
        by_ref[found.base.ref]["modelCard"] = {"modelParameters": {"datasets": trained}}
    document["compositions"] = [
        {"aggregate": "complete", "assemblies": [p.ref for p in (found.adapter, found.base) if p and p.files]},
        {"aggregate": "incomplete", "dependencies": [found.adapter.ref]},
    ]
    if said := vulnerabilities(card):
        document["vulnerabilities"] = said
    if notes := remarks(card):
        document["annotations"] = notes
    if mixed:
        document["citations"] = citations(card, document, tool=_TOOL)
    return document


def _pedigree(card: Scorecard, found: Parts) -> dict[str, object]:
    """Return where the adapter comes from: every ancestor, and the adapter as a patch on the first."""
    ancestors = [
        {
            "type": "machine-learning-model",
            "bom-ref": f"pedigree-{p.ref}",
            **({"group": p.group} if p.group else {}),
            "name": p.name,
            **({"version": p.version} if p.version else {}),
            **({"purl": p.purl} if p.purl else {}),
            "hashes": [{"alg": a, "content": h} for a, h in p.hashes],
            **({} if p.version else {"properties": [{"name": f"{OWN}absent:version", "value": "no commit is known"}]}),
        }
        for p in (found.base, *found.ancestors)
        if p
    ]
    base = card.dossier.composition.base
    on = "/".join(filter(None, split_name(base))) if base else "a base that is not known"
    text = f"{found.adapter.description}: its tensors are added to those of {on}"
    claims = sorted({claim.by for claim in card.dossier.composition.description.claims})
    notes = f"fine-tuned from {on}; named by: {', '.join(claims) or 'the request'}"
    patch = {"type": "unofficial", "diff": {"text": {"contentType": "text/plain", "content": text}}}
    return {**({"ancestors": ancestors} if ancestors else {}), "patches": [patch], "notes": notes}


def _assert_valid(text: str, document: dict[str, object], specification: Specification) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = SchemaVersion.V1_7 if specification == "1.7" else SchemaVersion.V1_6
    wrong = JsonStrictValidator(version).validate_str(text)
    if wrong is not None:
        raise PluginError(f"the bill of materials breaks the schema of CycloneDX {specification}: {str(wrong)[:600]}")
    problems = [p for p in lint.lint(document) if p.is_error]
    if problems:
        shown = "; ".join(str(p) for p in problems[:5])
        raise PluginError(
            f"the bill of materials has {len(problems)} inner faults: {shown}", hint="report this: it is a fault of ours"
        )
