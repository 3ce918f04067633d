"""What pickles would import, call and build, by our own opcode walk, in whatever container they lie."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.documents import parse_json
from scanners._formats.kind_table import kind_rows, words_of
from scanners._formats.kinds import kind_of_bytes
from scanners._formats.names import shown
from scanners._formats.pickles.loaders import who_is_hit
from scanners._formats.pickles.names import grade
from scanners._formats.pickles.pages import Paged
from scanners._formats.pickles.review import Review, acts, hidden, review
from scanners._formats.pickles.skops import SCHEMA, is_dangerous, is_schema, names_in
from scanners._formats.tree import CONTAINER_KINDS, Content, content_of_bytes, contents, gaps_in

_REFERENCES = ("CWE-502", "AML.T0011.000")
#: A stream larger than this is read by pages.
_LARGEST_HELD = 64 << 20
_LOADABLE = ("adapter_model", "pytorch_model", "pytorch_adapter", "pytorch_lora", "model", "consolidated")
#: What trainers leave beside an adapter; nothing loads it with the adapter.
_BY_PRODUCTS = (
    "training_args", "optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "global_step", "zero_pp", "bf16_zero_pp",
    "mp_rank", "random_states", "sampler", "custom_checkpoint",
)  # fmt: skip
#: Bytes of a large stream read at first; more only if the pickles in it go on.
_FIRST_BYTES = 4 << 20
_MOST_NESTED = 2_000
_LARGEST_SCHEMA = 64 << 20
_MOST_STORAGES = 100_000
#: Archives that carry more than tensors, in words.
_CODE = {
    "torchscript": "it carries code of its own (TorchScript or a package) that runs when the archive is loaded",
    "torch-export": "it carries an exported program, which its loader runs",
}
#: Rules about what a loader executes; their findings say which loaders do.
_EXECUTED = frozenset({"pickle-import", "pickle-import-unknown", "pickle-built-name", "pickle-state-injection", "storage-bounds"})


def _rule(name: str, summary: str, severity: Severity, *references: str) -> Rule:
    return Rule(id=name, summary=summary, severity=severity, references=references)


class PickleImports:
    """Walks every pickle of the adapter by opcode, in whatever container it lies.

    Detects:
        Names a pickle would import: dangerous ones, unknown ones, names built at run time and extension codes; calls of careful
        names with arguments that do more than make data; state planted on classes; tensors that reach outside their storage;
        streams that break off, go on after their end or explode; weights stored as pickle; by-products of training.

    Why it matters:
        Loading a pickle runs what it imports and calls. One line in ``adapter_model.bin`` is enough.

    Misses:
        Harm done by known-good names with hostile arguments the tables do not describe; payloads that begin in the middle of a
        tensor's storage or of a text constant; 7z, zstd, lz4 and rar, which are reported as not scanned.

    Source:
        Python ``pickletools``; PEP 307, 3154, 574; torch serialization formats (zip, and five pickles then raw storages);
        PickleBall, arXiv:2508.15987.
    """

    id = "pickle-imports"
    version = "3"
    declares = (
        _rule("pickle-import", "a dangerous name is imported or called", Severity.CRITICAL, *_REFERENCES, "AML.T0018.002"),
        _rule("pickle-import-unknown", "a name no table knows is imported", Severity.MEDIUM, "CWE-502"),
        _rule("pickle-built-name", "what is imported or called is no constant name", Severity.HIGH, "CWE-470", "CWE-502"),
        _rule("pickle-state-injection", "state is set on a class or function, or a hook is planted", Severity.HIGH, "CWE-915"),
        _rule("pickle-nested", "a constant is itself a pickle or archive that acts", Severity.HIGH, "CWE-502"),
        _rule("pickle-broken", "a stream is invalid or cut off", Severity.MEDIUM, "CWE-20", "CWE-436", "AML.T0076"),
        _rule("pickle-after-stop", "data or streams after the last expected pickle", Severity.MEDIUM, "CWE-436"),
        _rule("pickle-expansion", "few bytes become huge or deeply nested objects", Severity.MEDIUM, "CWE-409", "CWE-674"),
        _rule("storage-bounds", "a tensor reaches outside its storage", Severity.HIGH, "CWE-125", "CVE-2026-24747"),
        _rule("pickle-weights", "weights are stored as pickle", Severity.LOW, "AML.T0011.000"),
        _rule("training-by-product", "not needed to load the adapter", Severity.INFO, "CVE-2026-1839"),
        _rule("torchscript-code", "an archive carries code or an exported program", Severity.MEDIUM, "CWE-829"),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a pickle may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield findings for each stream, and coverage for each file."""
        for entry, root in contents(composition, ctx):
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _file(root, ctx)


def _file(root: Content, ctx: RunContext) -> Iterator[Fact | Coverage]:
    holds = [c for c in root.walk() if c.gaps or c.kind == "torch-zip" or any(is_it(c) for is_it in _READ)]
    if not holds:
        yield Coverage(item=root.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: holds no pickle")
        return
    reader = _Reader(by_product=_is_by_product(root.path), ctx=ctx)
    found = [f for c in holds for f in reader.content(c)]
    found.sort(key=lambda f: -f.severity.rank)
    yield from found[: ctx.limits.findings]
    yield from _role(root, reader.by_product)
    gaps = list(gaps_in(root)) + reader.gaps
    if len(found) > ctx.limits.findings:
        gaps.append(f"{len(found) - ctx.limits.findings:,} findings were left out")
    reason = "; ".join(gaps[:3]) + (f"; and {len(gaps) - 3} more" if len(gaps) > 3 else "")
    yield Coverage(item=root.path, outcome=Outcome.SKIPPED if gaps else Outcome.COMPLETED, reason=reason)


def _holds_pickle(content: Content) -> bool:
    """Return whether some content is a pickle, or is named one inside an archive and is nothing else."""
    return content.kind in ("pickle", "torchscript", "torch-export") or (
        content.kind == "unknown" and bool(content.entry) and content.suffix in (".pkl", ".pickle") and content.size > 0
    )


def _is_schema(content: Content) -> bool:
    """Return whether some content may be the schema of a skops archive."""
    return content.kind == "json" and content.entry[-1:] == (SCHEMA,)


def _hides_pickle(content: Content) -> bool:
    """Return whether content that no loader of models opens as what it is has a pickle that acts behind other bytes."""
    row = kind_rows()[content.kind]
    looked = content.kind == "unknown" or row.text or row.reader == "harmless"
    data = _beginning(content, min(content.size, _FIRST_BYTES)) if looked else None
    return bool(data) and data is not None and hidden(data) is not None


_READ = (_holds_pickle, _hides_pickle, _is_schema)


class _Reader:
    """Reads the pickles of one file; ``gaps`` is what it could not read."""

    def __init__(self, *, by_product: bool, ctx: RunContext) -> None:
        self.by_product, self._ctx, self.gaps = by_product, ctx, list[str]()
        self._last: tuple[Content, Review | None] | None = None

    def content(self, content: Content) -> Iterator[Finding]:
        """Yield what is to be said of one pickle, or of an archive that carries code."""
        if content.kind == "torch-zip":
            yield from self._storages(content)
        elif content.kind in _CODE:
            yield _finding(content, "torchscript-code", Severity.MEDIUM, _CODE[content.kind], remediation="publish tensors alone")
        elif _is_schema(content):
            yield from self._nodes(content)
        elif _holds_pickle(content):
            yield from self._stream(content)
        elif _hides_pickle(content):
            yield from self._behind(content)

    def _nodes(self, content: Content) -> Iterator[Finding]:
        """Grade the names of a skops archive."""
        tree = parse_json(content.read(_LARGEST_SCHEMA) or b"").value
        if not is_schema(tree):
            return
        for name, method in names_in(tree):
            if method:
                words = f"takes an attribute of an object under {shown(str(name))} when it is loaded"
                yield _finding(content, "pickle-built-name", Severity.HIGH, words)
            elif is_dangerous(name):
                words = f"asks a skops loader for {shown(str(name))}: this can run code, read or write files, or reach the network"
                yield _finding(content, "pickle-import", Severity.CRITICAL, words)
            elif grade(name) == "unknown":
                words = f"asks a skops loader for {shown(str(name))}, which is in no table of what honest files import"
                yield _finding(content, "pickle-import-unknown", Severity.MEDIUM, words)

    def _storages(self, archive: Content) -> Iterator[Finding]:
        """Compare the storages the pickle of an archive names with the members that hold them."""
        inside = {c.entry[-1]: c for c in archive.children if c.entry}
        main = next((c for name, c in inside.items() if name.rsplit("/", 1)[-1] == "data.pkl"), None)
        said = self._review(main) if main is not None else None
        if main is None or said is None or archive.gaps:
            return
        folder = main.entry[-1].removesuffix("data.pkl") + "data/"
        for key, size in said.storages[:_MOST_STORAGES]:
            member = inside.get(folder + key)
            have = f"has {member.size:,} bytes" if member is not None else "is not there"
            if member is None or member.size < size:
                words = f"the storage {shown(key)} needs {size:,} bytes and {have}"
                yield _finding(main, "storage-bounds", Severity.HIGH, words)
        used = {folder + key for key, _ in said.storages}
        idle = [name for name in inside if name.startswith(folder) and name not in used]
        if idle and len(said.storages) <= _MOST_STORAGES:
            words = f"{len(idle):,} members belong to no tensor, such as {shown(idle[0])}"
            yield _finding(archive, "pickle-after-stop", Severity.LOW, words)

    def _review(self, content: Content) -> Review | None:
        """Read a stream, once: the pickle of a PyTorch archive is asked for twice, one after the other."""
        if self._last is None or self._last[0] is not content:
            self._last = content, self._read(content)
        return self._last[1]

    def _read(self, content: Content) -> Review | None:
        """Read a stream as far as its pickles go; None if it cannot be read."""
        size, most = content.size, min(content.size, _FIRST_BYTES)
        wraps = content.entry[-1:] in (("storages",), ("tensors",))
        while True:
            data = _beginning(content, most)
            if data is None:
                return None
            said = review(data, limit=self._ctx.limits.pickle_opcodes, by_product=self.by_product, wraps=wraps, size=size)
            if not said.cut or most >= size:
                return said
            if most >= _LARGEST_HELD or size > _LARGEST_HELD:
                return self._by_pages(content, wraps=wraps)
            most = min(size, most * 16)

    def _by_pages(self, content: Content, *, wraps: bool) -> Review | None:
        """Read a stream that is too long to be held."""
        try:
            with content.open() as stream:
                pages = Paged(stream, content.size)
                return review(pages, limit=self._ctx.limits.pickle_opcodes, by_product=self.by_product, wraps=wraps)
        except (OSError, SubjectError):
            return None

    def _behind(self, content: Content) -> Iterator[Finding]:
        """Yield what a pickle does that stands behind other bytes."""
        data = _beginning(content, min(content.size, _FIRST_BYTES))
        at = hidden(data) if data else None
        if data is not None and at is not None:
            words = f"behind {at:,} other bytes lies a pickle that acts; a loader that is told to seek there runs it"
            yield _finding(content, "pickle-nested", Severity.HIGH, words, offset=at)
            yield from self._constant(data[at:], at, content, "stream")

    def _stream(self, content: Content) -> Iterator[Finding]:
        """Yield what is to be said of one pickle stream, and of files among its constants."""
        said = self._review(content)
        if said is None:
            self.gaps.append(f"{content}: a pickle of {content.size:,} bytes cannot be read")
            return
        hit = who_is_hit(_layout(content, said))
        for remark in said.remarks:
            yield _finding(content, remark.rule, remark.severity, remark.words, offset=remark.offset, opcode=remark.opcode,
                           remediation=remark.remediation, loaders=hit if remark.rule in _EXECUTED else "")  # fmt: skip
        likely = said.constants
        for at, constant in likely[:_MOST_NESTED]:
            yield from self._constant(constant, at, content)
        if len(likely) > _MOST_NESTED:
            self.gaps.append(f"{content}: {len(likely) - _MOST_NESTED:,} constants were not looked into")
        if said.gap:
            self.gaps.append(f"{content}: {said.gap}" if content.entry else said.gap)

    def _constant(self, constant: bytes, at: int, content: Content, what: str = "constant") -> Iterator[Finding]:
        """Yield what a file among a pickle's constants would do."""
        kind = kind_of_bytes(constant)
        if not ((kind == "pickle" and acts(constant)) or kind in CONTAINER_KINDS):
            return
        inner = content_of_bytes(constant, f"{what} at byte {at}", content, self._ctx.limits)
        found = [f for c in inner.walk() for f in self.content(c)]
        worst = max(
            (s.rank for s in [f.severity for f in found] + [r.severity for c in inner.walk() for r in c.remarks]), default=0
        )
        if worst >= Severity.MEDIUM.rank and what == "constant":
            words = f"the constant at byte {at:,} is itself {words_of(kind)} that acts"
            yield _finding(content, "pickle-nested", Severity.HIGH, words, offset=at)
        yield from found
        self.gaps.extend(gaps_in(inner))


def _finding(
    content: Content,
    rule: str,
    severity: Severity,
    words: str,
    *,
    offset: int | None = None,
    opcode: str | None = None,
    remediation: str = "",
    loaders: str = "",
) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        message=f"{content}: {words}",
        locations=(content.location(offset=offset, opcode=opcode),),
        remediation=remediation or "ask the publisher for safetensors",
        references=next(r.references for r in PLUGIN.declares if r.id == rule),
        evidence={"loaders": loaders} if loaders else {},
    )


def _beginning(content: Content, size: int) -> bytes | None:
    """Return the first bytes of some content, or None if they cannot be read."""
    try:
        with content.open() as stream:
            return stream.read(size)
    except (OSError, SubjectError):
        return None


def _layout(content: Content, said: Review) -> str:
    """Return how a pickle is stored, as the table of loaders names it."""
    name = content.entry[-1] if content.entry else ""
    if said.legacy:
        return "torch-legacy"
    if name in ("pickle", "storages", "tensors", "sys_info"):
        return "torch-tar"
    return "torch-zip" if name.endswith("data.pkl") else "numpy" if content.path.endswith((".npy", ".npz")) else "raw"


def _role(root: Content, by_product: bool) -> Iterator[Finding]:
    """Yield what a pickle is for, by its name; its name never makes it less dangerous."""
    if by_product:
        words = "a by-product of training; nothing loads it with the adapter, and it needs trust to be read"
        yield _finding(root, "training-by-product", Severity.INFO, words, remediation="leave it out when publishing")
    elif root.kind in ("pickle", "torch-zip") and root.name.startswith(_LOADABLE):
        words = "weights are stored as a pickle, which runs what it imports when it is loaded"
        yield _finding(root, "pickle-weights", Severity.LOW, words, remediation="convert to safetensors")


def _is_by_product(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(_BY_PRODUCTS)


PLUGIN = PickleImports()
