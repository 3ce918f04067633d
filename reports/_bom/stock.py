"""What the CycloneDX library can write of a composition by itself.

Made from ``Parts``; read by ``reports._bom.splice``, which adds what the library lacks. Every reference is set: the library's
own are random.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from typing import TYPE_CHECKING

from governance.subject import SourceKind
from governance.verdict import Scorecard
from reports._bom.digests import Hashes
from reports._bom.parts import OWN, FilePart, Part, Parts, asked

if TYPE_CHECKING:
    from cyclonedx.model.bom import BomMetaData
    from cyclonedx.model.component import Component

#: Reference of this tool.
TOOL = "tool-model-curator"
_ABOUT = "Audits community fine-tunes and decides whether they may be used."


def stock(card: Scorecard, found: Parts, specification: str) -> dict[str, object]:
    """Return the document the library writes.

    Args:
        card: Gives time, tools and verdict.
        found: The parts, in the order they are listed.
        specification: ``1.6`` or ``1.7``.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    components = {p.ref: _component(p) for p in found.every()}
    adapter = components[found.adapter.ref]
    root = _component(found.system) if found.system else components.pop(found.adapter.ref)
    bom = Bom(serial_number=found.serial, version=1, metadata=_metadata(card, root), components=components.values())
    around = [p.ref for p in (found.base, *found.configurations, *found.datasets, *found.libraries, *found.devices) if p]
    if found.system:
        bom.register_dependency(root, [adapter])
    bom.register_dependency(adapter, [components[r] for r in around])
    if found.base:
        behind = [components[p.ref] for p in (*found.base_datasets, *found.ancestors)]
        bom.register_dependency(components[found.base.ref], behind)
    version = SchemaVersion.V1_7 if specification == "1.7" else SchemaVersion.V1_6
    document: dict[str, object] = json.loads(make_outputter(bom, OutputFormat.JSON, version).output_as_string())
    return document


def _metadata(card: Scorecard, root: Component) -> BomMetaData:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
    from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
    from cyclonedx.model.tool import ToolRepository

    tool = Component(
        name="model-curator", version=card.curator_version, type=ComponentType.APPLICATION, bom_ref=TOOL, description=_ABOUT
    )
    libraries = [
        Component(name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"tool-{name}", purl=_pypi(name, version))
        for name, version in sorted(card.versions.items())
    ]
    supplier, author = asked(card, "supplier"), asked(card, "author")
    return BomMetaData(
        timestamp=card.created.astimezone(UTC),
        component=root,
        tools=ToolRepository(components=[tool, *libraries]),
        lifecycles=[PredefinedLifecycle(phase=LifecyclePhase.POST_BUILD)],
        supplier=OrganizationalEntity(name=supplier) if supplier else None,
        authors=[OrganizationalContact(name=author)] if author else None,
        properties=[Property(name=k, value=v) for k, v in _facts(card)],
    )


def _component(p: Part) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalEntity
    from packageurl import PackageURL

    kinds = {
        "model": ComponentType.MACHINE_LEARNING_MODEL,
        "dataset": ComponentType.DATA,
        "configuration": ComponentType.DATA,
        "library": ComponentType.LIBRARY,
        "device": ComponentType.DEVICE,
        "system": ComponentType.APPLICATION,
    }
    return Component(
        name=p.name,
        type=kinds[p.kind],
        bom_ref=p.ref,
        group=p.group or None,
        version=p.version or None,
        description=p.description or None,
        supplier=OrganizationalEntity(name=p.group) if p.group else None,
        publisher=p.group if p.group and p.kind == "model" else None,
        purl=PackageURL.from_string(p.purl) if p.purl else None,
        hashes=_hashes(p.hashes),
        external_references=[ExternalReference(type=ExternalReferenceType(kind), url=XsUri(url)) for kind, url in p.links],
        properties=[Property(name=k, value=v) for k, v in p.properties],
        components=[_file(f) for f in p.files],
    )


def _file(f: FilePart) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    about = [Property(name=f"{OWN}size", value=str(f.size)), Property(name=f"{OWN}hash:source", value=f.source)]
    if not f.hashes:
        about.append(Property(name=f"{OWN}absent:hashes", value="listed by the Hub, not fetched"))
    return Component(name=f.name, type=ComponentType.FILE, bom_ref=f.ref, hashes=_hashes(f.hashes), properties=about)


def _hashes(found: Hashes) -> list[object]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm(name), content=digits) for name, digits in found]


def _pypi(name: str, version: str) -> object:
    from packageurl import PackageURL

    return PackageURL("pypi", None, name, version)


def _facts(card: Scorecard) -> Iterable[tuple[str, str]]:
    """Yield what the whole document stands for: run, verdict and what it was reached on."""
    v, c = card.verdict, card.dossier.composition
    context = (
        "post-build: audit of published files" if c.adapter.source is SourceKind.HUB else "post-build: audit of files in a folder"
    )
    yield f"{OWN}generationContext", context
    yield "bomlens:generationContext", "after-build"
    yield f"{OWN}run", card.run_id
    yield f"{OWN}composition", f"sha256:{c.digest}"
    yield f"{OWN}quantization", c.quantization.value
    yield f"{OWN}decision", v.decision.value
    yield f"{OWN}policy:digest", f"sha256:{v.policy_digest}"
    for check in card.dossier.checks:
        yield f"{OWN}check:{check.id}", check.outcome.value
    if c.base is None:
        yield f"{OWN}absent:base", "no base model is known for this adapter"
    for what, why in (
        ("supplier", "no organization was named"),
        ("system", "no system was named"),
        ("signature", "not signed inside; a detached envelope, if one is made, names the digest of this document"),
    ):
        if what == "signature" or not asked(card, what):
            yield f"{OWN}absent:{what}", why
