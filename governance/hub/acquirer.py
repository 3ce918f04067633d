"""The ``Source``: an adapter, what it says of itself, and the base it is for; each pinned, fetched and verified.

Made by ``api.curator`` with the installation's settings; called by the pipeline's first step. Reads no setting itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from governance.context import Progress, RunContext
from governance.contracts import Describe
from governance.errors import LimitError, PluginError, SubjectError
from governance.hub.ancestry import Unreachable, with_ancestry
from governance.hub.local import in_place, take_folder
from governance.hub.names import shown
from governance.hub.selection import Choice, of_adapter, of_base, of_base_without_weights, of_dataset, of_documents
from governance.subject import (
    HUB_NAME,
    ArtifactRef,
    BaseClaim,
    Composition,
    CompositionRef,
    Description,
    ParentClaim,
    SourceKind,
    Subject,
)

if TYPE_CHECKING:
    from governance.hub.client import HubClient, Pinned
    from governance.hub.ranged import RangedFiles


class Acquirer:
    """Turns references into pinned subjects.

    Args:
        describe: Reads a repository's own words, in a child process.
        endpoint: Of the Hub.
        token: Read token for that endpoint; None: none.
        offline: Open no connection.
        base_weights: Whether the base will be loaded; else its weights are listed and not downloaded.
        documents_only: Take cards, configurations and license texts of a Hub's repositories, and list the rest; an adapter's
            folder is read where it lies.
        lineage: Also follow what adapter and base were made from, up to the roots.
        backoff: Seconds before the second attempt at the Hub.
    """

    def __init__(
        self,
        *,
        describe: Describe,
        endpoint: str,
        token: str | None = None,
        offline: bool = False,
        base_weights: bool = True,
        documents_only: bool = False,
        lineage: bool = True,
        backoff: float = 0.5,
    ) -> None:
        self._describe, self._endpoint, self._token = describe, endpoint, token
        self._offline, self._backoff = offline, backoff
        self._base_choice: Choice = of_documents if documents_only else of_base if base_weights else of_base_without_weights
        self._adapter_choice: Choice = of_documents if documents_only else of_adapter
        self._documents_only, self._lineage, self._silent = documents_only, lineage, ""
        self._bases: dict[ArtifactRef, Subject] = {}

    def acquire(self, ref: CompositionRef, ctx: RunContext) -> Composition:
        """Pin, fetch and verify an adapter and its base.

        Args:
            ref: What was asked for.
            ctx: Limits, store, progress.

        Returns:
            The composition; where there is no base, ``base_reason`` says why and what to do.

        Raises:
            SubjectError: The adapter, or a base that was asked for by name, is missing, closed or not as listed.
            LimitError: It is larger than allowed.
            CuratorError: The disk is full.
        """
        adapter, named = self._adapter(ref.adapter, ctx)
        made = self._composed(ref, adapter, named, ctx, lambda base: self._hub_base(base, ctx))
        if not self._lineage:
            return made
        return with_ancestry(made, reach=self._documents, describes=lambda s: self._described(s, ctx), ctx=ctx)

    def acquire_ranged(self, ref: CompositionRef, ctx: RunContext, files: RangedFiles) -> Composition:
        """Pin an adapter and its base on a Hub, to be read in parts: no weights are downloaded.

        Args:
            ref: What is asked for; both on a Hub.
            ctx: Its ``fetch`` is that of ``files``.
            files: Takes the files in.

        Returns:
            The composition; its subjects are held as ranges, which nothing can approve.

        Raises:
            SubjectError: The adapter, or a base that was asked for by name, is missing or closed.
            LimitError: It lists too many files.
        """
        if SourceKind.LOCAL in (ref.adapter.source, ref.base.source if ref.base else SourceKind.HUB):
            raise SubjectError("a triage reads repositories on a Hub", hint="give owner/name; curator scan reads folders")
        client = self._hub(ref.adapter.name, "the adapter's folder to curator scan")

        def take(wanted: ArtifactRef) -> Subject:
            pinned = self._pin(client, wanted, ctx)
            return files.take(client, pinned, ctx, of_base, revision=wanted.revision, ahead=False)

        pinned = self._pin(client, ref.adapter, ctx)
        adapter = files.take(client, pinned, ctx, of_adapter, revision=ref.adapter.revision, ahead=True)
        return self._composed(ref, adapter, _named(pinned), ctx, take)

    def _composed(
        self,
        ref: CompositionRef,
        adapter: Subject,
        named: Sequence[BaseClaim],
        ctx: RunContext,
        take: Callable[[ArtifactRef], Subject],
    ) -> Composition:
        """Return an adapter with what it says of itself and its base."""
        if not adapter.files:
            raise SubjectError(f"{adapter} holds no file to audit", hint="name a repository with adapter weights")
        said = _with_hub_claims(self._described(adapter, ctx), named)
        _assert_auditable(adapter, said)
        claims = (*_requested(ref.base), *said.claims, *named)
        base, reason = self._base(ref, said, claims, ctx, take)
        return Composition(
            adapter=adapter,
            base=base,
            base_reason=reason,
            description=said.model_copy(update={"claims": claims}),
            base_description=self._described(base, ctx) if base is not None else None,
            quantization=ref.quantization,
        )

    def fetch_dataset(self, name: str, revision: str | None, ctx: RunContext) -> Path:
        """Pin and fetch a data set's tables and card.

        Args:
            name: On the Hub.
            revision: Branch, tag or commit; None: the default branch.
            ctx: Limits, store, progress.

        Returns:
            A folder with its files under their own names.

        Raises:
            SubjectError: It is missing, closed, or not as listed.
            LimitError: It is larger than allowed.
        """
        from governance.hub.remote import fetch

        client = self._hub(name, "a folder of JSONL files with --data")
        pinned = client.pin(name, revision, ctx, kind="dataset")
        return ctx.store.folder(fetch(client, pinned, ctx, of_dataset, revision=revision, whole=True))

    def _adapter(self, ref: ArtifactRef, ctx: RunContext) -> tuple[Subject, Sequence[BaseClaim]]:
        """Return the adapter, and what the Hub names as its base."""
        if ref.source is SourceKind.LOCAL:
            return in_place(ref, ctx, of_adapter) if self._documents_only else take_folder(ref, ctx, of_adapter), ()
        from governance.hub.remote import fetch

        client = self._hub(ref.name, "the adapter's folder")
        pinned = self._pin(client, ref, ctx)
        return fetch(client, pinned, ctx, self._adapter_choice, revision=ref.revision, whole=False), _named(pinned)

    def _base(
        self,
        ref: CompositionRef,
        said: Description,
        claims: Sequence[BaseClaim],
        ctx: RunContext,
        take: Callable[[ArtifactRef], Subject],
    ) -> tuple[Subject | None, str]:
        """Return the base and no reason, or none and the reason."""
        if ref.base is not None:
            if ref.base not in self._bases:  # many adapters may be held against it: pinned and hashed once, equal for all
                local = ref.base.source is SourceKind.LOCAL
                self._bases[ref.base] = take_folder(ref.base, ctx, self._base_choice) if local else take(ref.base)
            return self._bases[ref.base], ""
        if said.kind == "model":
            return None, "this is a full model, not an adapter: there is nothing to attach to a base"
        if not claims:
            return None, "nothing names the base model; pass --base FOLDER or --base owner/name"
        claim = next((c for c in claims if HUB_NAME.match(c.name)), None)
        if claim is None:
            first = claims[0]
            return None, f"{first.where or first.by} names the local path {shown(first.name)[:200]!r}; pass --base"
        if self._offline:
            return (
                None,
                f"the base {claim.name} is on a Hub and the curator is offline; pass --base FOLDER, or unset HF_HUB_OFFLINE",
            )
        from governance.hub.client import NotAvailable, OutOfReach

        wanted = ArtifactRef(source=SourceKind.HUB, name=claim.name, revision=claim.revision)
        try:
            return take(wanted), ""
        except (NotAvailable, LimitError) as error:
            self._silent = error.message if isinstance(error, OutOfReach) else ""
            return None, f"base not accessible: {error.message}" + (f" ({error.hint})" if error.hint else "")

    def _hub_base(self, ref: ArtifactRef, ctx: RunContext) -> Subject:
        from governance.hub.remote import fetch

        client = self._hub(ref.name, "the base's folder with --base")
        pinned = self._pin(client, ref, ctx)
        return fetch(client, pinned, ctx, self._base_choice, revision=ref.revision, whole=True)

    def _documents(self, claim: ParentClaim, ctx: RunContext) -> Subject:
        """Return card, configuration and license texts of one parent.

        Raises:
            Unreachable: No Hub is asked, or none answers.
            SubjectError: It is missing, private or gated.
        """
        if self._offline or self._silent:
            raise Unreachable(self._silent or "not asked for: the curator is offline")
        from governance.hub.client import OutOfReach
        from governance.hub.remote import fetch

        try:
            pinned = self._client.pin(claim.name, claim.revision, ctx, kind="dataset" if claim.kind == "dataset" else "model")
            return fetch(self._client, pinned, ctx, of_documents, revision=claim.revision, whole=False)
        except OutOfReach as error:
            raise Unreachable(error.message) from error

    def _pin(self, client: HubClient, ref: ArtifactRef, ctx: RunContext) -> Pinned:
        pinned = client.pin(ref.name, ref.revision, ctx)
        ctx.emit(
            Progress(
                run_id=ctx.run_id, step="acquire", item=ref.name, message=f"{ref} is {pinned.commit}, {len(pinned.files)} files"
            )
        )
        return pinned

    def _described(self, subject: Subject, ctx: RunContext) -> Description:
        """Return the subject's own words; a child that dies over them is something to report, not the end."""
        try:
            return self._describe(subject, ctx)
        except (PluginError, LimitError, TimeoutError) as error:
            return Description(problems=(f"the repository could not be read: {error}",))

    def _hub(self, name: str, instead: str) -> HubClient:
        if self._offline:
            raise SubjectError(
                f"{name} is on a Hub and the curator is offline",
                hint=f"pass {instead}, or unset HF_HUB_OFFLINE and CURATOR_OFFLINE",
            )
        return self._client

    @cached_property
    def _client(self) -> HubClient:
        """The Hub's client; made late, so that an audit of folders does not load it."""
        from governance.hub.client import HubClient

        return HubClient(self._endpoint, self._token, backoff=self._backoff)


def _named(pinned: Pinned) -> list[BaseClaim]:
    """Return what the Hub names as the base."""
    return [BaseClaim(by="hub", name=name, where="base_model tag") for name in pinned.bases]


def _requested(base: ArtifactRef | None) -> tuple[BaseClaim, ...]:
    return (BaseClaim(by="request", name=base.name, revision=base.revision, where="--base"),) if base is not None else ()


def _with_hub_claims(said: Description, named: Sequence[BaseClaim]) -> Description:
    """Return a description whose parents include the bases the Hub names, after those of the repository's own files."""
    known = {p.name.lower() for p in said.parents if p.kind == "base"}
    added = tuple(ParentClaim(kind="base", name=c.name, where=c.where) for c in named if c.name.lower() not in known)
    return said.model_copy(update={"parents": (*said.parents, *added)}) if added else said


def _assert_auditable(adapter: Subject, said: Description) -> None:
    """Refuse a repository of documents alone: there is nothing a verdict could be about."""
    documents = (".md", ".txt", ".json", ".yaml", ".yml", ".gitattributes", "LICENSE", "NOTICE")
    names = [f.path for f in adapter.files]
    silent = said.kind == "unknown" and not said.problems and not adapter.refused
    if silent and all(n.endswith(documents) and not n.endswith("adapter_config.json") for n in names):
        raise SubjectError(
            f"{adapter} holds no adapter: neither adapter_config.json nor weights",
            hint="give the folder or repository that holds adapter_config.json",
        )
