"""Files by their bytes: what the scanners of layout, pickles and kinds say of hostile, honest and broken ones."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

import scanners
from governance.context import RunContext
from governance.contracts import Scanner
from governance.evidence import Coverage, Finding, Severity
from governance.plugins import discover
from scanners._formats.documents import front_matters, parse_json
from scanners._formats.pickles.streams import walk
from tests import builders as b

SCANNERS = discover(scanners, Scanner)


def said(scanner: str, ctx: RunContext, files: dict[str, bytes], **more: object) -> tuple[list[Finding], list[Coverage]]:
    subject = b.composition(ctx, files, **more)  # type: ignore[arg-type]
    facts = list(SCANNERS[scanner].scan(subject, ctx))
    assert facts == list(SCANNERS[scanner].scan(subject, ctx)), "the same bytes give the same facts"
    return [f for f in facts if isinstance(f, Finding)], [f for f in facts if isinstance(f, Coverage)]


def rules(findings: Iterable[Finding], least: Severity = Severity.LOW) -> set[str]:
    return {f.rule for f in findings if f.severity.rank >= least.rank}


def gaps(coverage: Iterable[Coverage]) -> list[str]:
    return [c.item for c in coverage if not c.outcome.checked]


HONEST = ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage")
TRAINER = ("transformers.training_args.TrainingArguments", "accelerate.state.PartialState", "torch.device")


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["adapter_model.bin", "notes.json", "README.md", "weights.safetensors"])
def test_a_call_is_found_under_any_name_and_protocol(name: str, protocol: int, ctx: RunContext) -> None:
    findings, _ = said("pickle-imports", ctx, {name: b.call("posix", "system", protocol=protocol)})
    assert rules(findings, Severity.CRITICAL) == {"pickle-import"}
    assert "posix.system" in findings[0].message
    assert "calls" in findings[0].message


@pytest.mark.parametrize(
    "content",
    [
        b.torch_zip(b.call("os", "system")),
        b.torch_zip(b.state_dict(*HONEST), {"archive/other.pkl": b.call("os", "system")}),
        b.torch_zip(b.state_dict(*HONEST), {"archive/data/0": b.call("os", "system")}),
        b.torch_legacy(b.call("os", "system")),
        b.tar_of({"pickle": b.call("os", "system")}),
        b.gzip_of(b.call("os", "system")),
        b.flag_lie(b.torch_zip(b.call("os", "system"))),
        b.state_dict(*HONEST) + b.call("os", "system"),
        b.call("os", "system")[:-1],
        b.call("builtins", "eval"),
        b.call("__builtin__", "exec"),
        b.call("torch.hub", "load"),
        b.call("runpy", "_run_code"),
    ],
    ids=[
        "zip",
        "zip-other",
        "zip-storage",
        "legacy-4th",
        "tar",
        "gzip",
        "flag-lie",
        "second",
        "cut",
        "eval",
        "py2",
        "torch",
        "runpy",
    ],
)
def test_a_call_is_found_in_any_container(content: bytes, ctx: RunContext) -> None:
    findings, _ = said("pickle-imports", ctx, {"adapter_model.bin": content})
    assert "pickle-import" in rules(findings, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.bin", b.torch_zip(b.state_dict(*HONEST), {"archive/data/0": bytes(range(256)) * 4})),
        ("training_args.bin", b.torch_zip(b.state_dict(*TRAINER))),
        ("optimizer.pt", b.torch_legacy(b.state_dict(*HONEST))),
        ("requirements.txt", b"torch>=2.0\ntransformers\npeft==0.21\n"),
        ("config.json", b'{"a": 1}'),
        ("notes.md", b"(c) 2026 the authors.\nI like it.\n"),
    ],
)
def test_honest_files_stay_quiet(name: str, content: bytes, ctx: RunContext) -> None:
    findings, coverage = said("pickle-imports", ctx, {name: content})
    assert rules(findings, Severity.MEDIUM) == set()
    assert gaps(coverage) == []
    findings, coverage = said("inventory", ctx, {name: content})
    assert rules(findings, Severity.MEDIUM) == set()


def test_a_name_in_no_table_is_named(ctx: RunContext) -> None:
    findings, _ = said("pickle-imports", ctx, {"adapter_model.bin": b.call("somebodys_package.core", "Thing")})
    assert rules(findings, Severity.MEDIUM) == {"pickle-import-unknown"}
    assert "somebodys_package.core.Thing" in findings[0].message


def test_a_name_built_at_run_time_is_a_finding(ctx: RunContext) -> None:
    built = b"\x80\x04}\x8c\x06system\x93."
    findings, _ = said("pickle-imports", ctx, {"adapter_model.bin": built})
    assert "pickle-built-name" in rules(findings, Severity.HIGH)


def test_what_was_seen_before_a_break_stays_and_the_break_is_a_gap(ctx: RunContext) -> None:
    findings, coverage = said("pickle-imports", ctx, {"adapter_model.bin": b.call("os", "system")[:-3] + b"\xff\xff"})
    assert {"pickle-import", "pickle-broken"} <= rules(findings)
    assert gaps(coverage) == ["adapter_model.bin"]


def test_an_archive_inside_an_archive_is_opened(ctx: RunContext) -> None:
    inner = b.torch_zip(b.call("os", "system"))
    findings, coverage = said("pickle-imports", ctx, {"bundle.zip": b.torch_zip(b.state_dict(*HONEST), {"inner.bin": inner})})
    assert findings[0].locations[0].entry == ("inner.bin", "archive/data.pkl")
    assert "pickle-import" in rules(findings, Severity.CRITICAL)
    assert gaps(coverage) == []


def test_archives_nested_without_end_are_a_gap(ctx: RunContext) -> None:
    content = b.call("os", "system")
    for _ in range(8):
        content = b.gzip_of(content)
    _, coverage = said("pickle-imports", ctx, {"bundle.gz": content})
    assert gaps(coverage) == ["bundle.gz"]


def test_the_walk_ends_within_its_limit() -> None:
    seen = walk(b"\x80\x02" + b"N0" * 10_000 + b".", limit=1_000)
    assert seen.broken is not None
    assert seen.opcodes <= 1_001


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b.safetensors(claim=10 * 2**30), "tensor-header"),
        (b.safetensors(claim=2**64 - 1), "tensor-header"),
        (b"\x01\x02", "tensor-header"),
        (b"", "tensor-header"),
        (b.safetensors(b"{not json"), "tensor-header"),
        (b.safetensors(b"[]      "), "tensor-header"),
        (b.safetensors({"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}), "tensor-header"),
        (b.safetensors({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}), "tensor-header"),
        (b.safetensors({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}), "tensor-offsets"),
        (b.safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}), "tensor-offsets"),
        (b.safetensors(data=b"\0" * 20), "tensor-offsets"),
        (b.safetensors({"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
                        "b": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}), "tensor-offsets"),
        (b.safetensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}), "tensor-offsets"),
        (b.safetensors(b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'),
         "tensor-duplicate-key"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_true(content: bytes, rule: str, ctx: RunContext) -> None:
    findings, _ = said("tensor-layout", ctx, {"adapter_model.safetensors": content})
    assert rule in rules(findings, Severity.HIGH)


def test_an_honest_header_is_silent_and_covered(ctx: RunContext) -> None:
    findings, coverage = said("tensor-layout", ctx, {"adapter_model.safetensors": b.safetensors()})
    assert findings == []
    assert gaps(coverage) == []


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("helper.so", b"\x7fELF" + b"\0" * 60, "native-code"),
        ("tokenizer.json", b"\x7fELF" + b"\0" * 60, "native-code"),
        ("config.json", b.call("os", "system"), "type-mismatch"),
        ("weights.xyz", b"\x00\x01\x02 nobody knows", "unclaimed-file"),
        ("model.mlmodelc", b"\x08\x99\x07\xff\xff", "unclaimed-file"),
        ("adapter_model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "content-absent"),
        ("READ\u202eME.md", b"# x\n", "name-confusable"),
    ],
)
def test_the_inventory_names_what_is_odd(name: str, content: bytes, rule: str, ctx: RunContext) -> None:
    findings, coverage = said("inventory", ctx, {name: content})
    assert rule in rules(findings)
    assert len(coverage) == 1, "every file is claimed or reported"


def test_what_was_not_taken_in_is_reported(ctx: RunContext) -> None:
    refused = (("../evil", "leaves the folder"), ("pipe", "a special file"), ("big", "larger than the limit"))
    findings, coverage = said("inventory", ctx, {}, refused=refused)
    assert rules(findings) == {"path-escape", "link-escape", "oversize-file"}
    assert len(gaps(coverage)) == 3


def test_modelscan_is_heard_and_its_silence_is_no_gap(ctx: RunContext) -> None:
    findings, _ = said("modelscan", ctx, {"x.pkl": b.call("os", "system")})
    assert rules(findings, Severity.HIGH) == {"modelscan-issue"}
    findings, coverage = said("modelscan", ctx, {"training_args.bin": b.torch_zip(b.state_dict(*HONEST))})
    assert findings == []
    assert gaps(coverage) == []
    _, coverage = said("modelscan", ctx, {"adapter_model.bin": b.call("os", "system")})
    assert gaps(coverage) == ["adapter_model.bin"], "it passes over a raw pickle of that name, and that is said"


def test_json_is_read_strictly() -> None:
    assert "more than once" in parse_json(b'{"a": 1, "a": 2}').problems[0]
    assert "no JSON number" in parse_json(b'{"a": NaN}').problems[0]
    assert "byte order mark" in parse_json(b"\xef\xbb\xbf{}").problems[0]
    assert parse_json(b"[" * 100_000).value is None
    assert parse_json(b"version https://git-lfs.github.com/spec/v1\n").pointer


def test_cards_may_have_none_one_or_several_front_matters() -> None:
    assert front_matters("# no front matter") == ()
    assert len(front_matters("---\na: 1\n---\ntext")) == 1
    assert len(front_matters("---\na: 1\n---\n---\nb: 2\n---\n")) == 2
    assert front_matters("---\na: &x [1]\nb: *x\n---\n")[0].problems
