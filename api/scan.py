"""A scan: what lies in a folder or file, read where it lies by the scanners alone. No verdict, no ledger, no model.

Put together here for ``curator scan``; a triage differs only in where the bytes come from. Files are hashed beside the scan,
never in front of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import scanners
from api.assembly import local_executor, run_context
from api.executors.local import LocalExecutor
from api.settings import Settings
from governance import VERSION
from governance.context import Progress, RunContext
from governance.contracts import Profiled, Scanner, Voice
from governance.dossier import Dossier
from governance.hub.local import folder_of, in_place, readable_of
from governance.hub.selection import of_adapter, of_base_without_weights
from governance.pipeline import inspect
from governance.plugins import discover
from governance.scan import ScanDocument, scan_document
from governance.subject import ArtifactRef, BaseClaim, Composition, SourceKind, Subject

_CHUNK = 1 << 20
#: Why scanners outside the static profile are left out.
_LEFT_OUT = {
    "values": "reads every number of the weights; not asked for",
    "lineage": "judges licenses and ancestors, not bytes; curator audit asks it",
    "repository": "judges a repository as a whole; one file was given",
}


def scan_path(
    path: Path,
    settings: Settings,
    *,
    base: Path | None = None,
    values: bool = True,
    voices: Collection[str] = (),
    digests: bool = True,
    emit: Callable[[Progress], None] = lambda _: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> ScanDocument:
    """Scan a folder, or one file.

    Args:
        path: What to scan.
        settings: Limits, isolation, and the folder for logs.
        base: The base model's folder, to hold the adapter against.
        values: Also read every number of the weights.
        voices: Other engines to ask too.
        digests: Also hash every file.
        emit: Takes progress.
        checkpoint: Called often; raises ``Cancelled`` to end the scan.

    Returns:
        What every scanner said.

    Raises:
        SubjectError: There is nothing to scan.
        LimitError: There is more than allowed.
    """
    ctx = run_context(settings, emit=emit, checkpoint=checkpoint)
    refs = [_local(p) for p in (path, base) if p is not None]
    reachable = tuple(folder for ref in refs for folder in readable_of(ref.name))
    with local_executor(settings, readable=reachable) as executor:
        executor.warm(ctx)
        adapter = in_place(refs[0], ctx, of_adapter)
        parent = in_place(refs[1], ctx, of_base_without_weights) if base is not None else None
        ctx = replace(ctx, folders={ref.name: folder_of(ref.name) for ref in refs})
        with _hashing(adapter, folder_of(adapter.name), wanted=digests) as hashed:
            asked, not_asked = chosen(discover(scanners, Scanner), values=values, voices=voices, whole=path.is_dir())
            composition = compose(executor, adapter, parent, ctx)
            dossier = inspect(composition, executor.scanners(asked), ctx)
            return document(dossier, asked, not_asked, hashed())


def chosen(
    plugins: Mapping[str, Scanner], *, values: bool, voices: Collection[str], whole: bool = True
) -> tuple[dict[str, Scanner], dict[str, str]]:
    """Return the scanners to ask, and why each of the others is left out.

    Args:
        plugins: Every scanner by id.
        values: Whether those that read every number are asked.
        voices: Other engines that are asked.
        whole: Whether a repository is looked at, and not one file of it.
    """
    profiles = {name for name, wanted in (("values", values), ("repository", whole)) if wanted}
    left: dict[str, str] = {}
    for key, plugin in plugins.items():
        if isinstance(plugin, Profiled) and plugin.profile not in profiles:
            left[key] = _LEFT_OUT[plugin.profile]
        elif isinstance(plugin, Voice) and plugin.engine not in voices:
            left[key] = f"asks {plugin.engine}, which is not switched on"
    return {k: p for k, p in plugins.items() if k not in left}, left


def compose(executor: LocalExecutor, adapter: Subject, base: Subject | None, ctx: RunContext) -> Composition:
    """Return the composition that is scanned, described in the child."""
    describe = executor.describe()
    said = describe(adapter, ctx)
    asked = (BaseClaim(by="request", name=base.name, where="--base"),) if base is not None else ()
    return Composition(
        adapter=adapter,
        base=base,
        base_reason="" if base is not None else "no base was given to the scan",
        description=said.model_copy(update={"claims": (*asked, *said.claims)}),
        base_description=describe(base, ctx) if base is not None else None,
    )


def document(
    dossier: Dossier, asked: Mapping[str, Scanner], not_asked: Mapping[str, str], digests: Mapping[str, str]
) -> ScanDocument:
    """Return the document of a local scan."""
    voices = {k: p.engine for k, p in asked.items() if isinstance(p, Voice)}
    return scan_document(dossier, version=VERSION, voices=voices, digests=digests, not_asked=not_asked)


def _local(path: Path) -> ArtifactRef:
    return ArtifactRef(source=SourceKind.LOCAL, name=str(path.absolute()))


@contextmanager
def _hashing(subject: Subject, folder: Path, *, wanted: bool) -> Iterator[Callable[[], Mapping[str, str]]]:
    """Hash a subject's files in a thread of their own; what is yielded waits for the digests."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        jobs = {f.path: pool.submit(_digest, folder / f.path) for f in subject.files} if wanted else dict[str, Future[str]]()
        try:
            yield lambda: {path: found for path, job in jobs.items() if (found := job.result())}
        finally:
            pool.shutdown(cancel_futures=True)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
    except OSError:
        return ""
    return found.hexdigest()
