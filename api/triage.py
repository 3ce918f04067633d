"""A triage: the scan of a repository on a Hub whose weights are not downloaded. No verdict, no ledger, no approval.

The same scanners in the same confined child as ``api.scan``; only the bytes come from elsewhere. Put together for
``curator hub triage``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import scanners
from api.assembly import local_executor, run_context, source
from api.scan import chosen
from api.settings import Settings
from governance import VERSION
from governance.context import Progress
from governance.contracts import Scanner, Voice
from governance.dossier import Dossier
from governance.evidence import Check, Coverage, Outcome
from governance.hub import RangedFiles, Transferred
from governance.pipeline import inspect
from governance.plugins import discover
from governance.scan import TRANSFER, ScanDocument, scan_document
from governance.subject import CompositionRef


def triage(
    ref: CompositionRef,
    settings: Settings,
    *,
    budget: int | None = None,
    backoff: float = 0.5,
    emit: Callable[[Progress], None] = lambda _: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> ScanDocument:
    """Scan a repository on a Hub by reading parts of its files.

    Args:
        ref: The adapter, and the base if another than it names; both on a Hub.
        settings: Endpoint, token, limits, isolation, and the folder for logs.
        budget: Most bytes to transfer; None: a tenth of what is listed, at least 64 MiB.
        backoff: Seconds before the second attempt at the Hub.
        emit: Takes progress.
        checkpoint: Called often; raises ``Cancelled`` to end the triage.

    Returns:
        What every scanner said, bound to the commit and to the sizes that were listed.

    Raises:
        SubjectError: The repository is missing, closed, or out of reach.
        LimitError: It lists too many files.
    """
    ctx = run_context(settings, emit=emit, checkpoint=checkpoint)
    files = RangedFiles(ctx.store.root / "incoming", budget=budget)
    ctx = replace(ctx, fetch=files.read)
    plugins = discover(scanners, Scanner)
    asked, not_asked = chosen(plugins, values=False, voices=())
    not_asked |= {k: f"asks {p.engine}, which needs whole files" for k, p in plugins.items() if isinstance(p, Voice)}
    try:
        with local_executor(settings) as executor:
            acquirer = source(settings, executor.describe(), backoff=backoff)
            composition = acquirer.acquire_ranged(ref, ctx, files)
            dossier = inspect(composition, executor.scanners(asked), ctx)
        files.confirm()
        cost = files.transferred(composition.adapter.name)
        base = files.transferred(composition.base.name) if composition.base is not None else Transferred()
    finally:
        files.close()
    return document(dossier, not_asked, cost, base)


def document(dossier: Dossier, not_asked: Mapping[str, str], cost: Transferred, base: Transferred) -> ScanDocument:
    """Return the document of a triage.

    Args:
        dossier: What the scanners said.
        not_asked: Scanners that were left out, and why.
        cost: What the adapter's files cost.
        base: What the base's files cost.
    """
    spent = {
        "bytes": cost.bytes,
        "requests": cost.requests,
        "listed": cost.listed,
        "base_bytes": base.bytes,
        "base_requests": base.requests,
    }
    found = scan_document(
        dossier.plus(_transfer(cost, base), ()),
        version=VERSION,
        voices={},
        digests=cost.digests,
        not_asked=not_asked,
        mode="triage",
        transferred=spent,
    )
    return found.model_copy(
        update={"files": tuple(f.model_copy(update={"transferred": cost.files.get(f.path, 0)}) for f in found.files)}
    )


def _transfer(cost: Transferred, base: Transferred) -> Check:
    """Return how the bytes came, as a check: a file that could not be had is not scanned, whatever a scanner made of it."""
    share = f" ({100 * cost.bytes / cost.listed:.2f} %)" if cost.listed else ""
    words = [f"{cost.bytes:,} of {cost.listed:,} bytes{share} in {cost.requests} requests"]
    if cost.whole:
        words.append(f"the Hub has no ranges for {', '.join(cost.whole[:3])}: downloaded whole and verified")
    troubles = [Coverage(item=path, outcome=Outcome.FAILED, reason=reason) for path, reason in cost.troubles.items()]
    troubles += [Coverage(item=f"base: {path}", outcome=Outcome.FAILED, reason=reason) for path, reason in base.troubles.items()]
    words += [f"{c.item}: {c.reason}" for c in troubles[:3]]
    outcome = Outcome.PARTIAL if troubles else Outcome.COMPLETED
    return Check(id=TRANSFER, version="1", step="inspect", outcome=outcome, reason="; ".join(words), coverage=tuple(troubles))
