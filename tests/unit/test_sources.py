"""Names, selection and folders: what is taken in, what is not, and why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from governance.context import Limits, RunContext
from governance.errors import LimitError, SubjectError
from governance.hub import Acquirer
from governance.hub.local import take_folder
from governance.hub.names import colliding, refusal, shown
from governance.hub.selection import of_adapter, of_base, of_dataset
from governance.subject import ArtifactRef, BaseClaim, Composition, CompositionRef, Description, SourceKind, Subject

Say = Callable[[Subject, RunContext], Description]


def silent(subject: Subject, ctx: RunContext) -> Description:
    return Description()


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return root


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "adapter", {"adapter_config.json": b"{}", "adapter_model.safetensors": b"\0" * 300})


def acquire(folder: Path, ctx: RunContext, *, base: Path | None = None, say: Say = silent) -> Composition:
    def ref(path: Path) -> ArtifactRef:
        return ArtifactRef(source=SourceKind.LOCAL, name=str(path))

    source = Acquirer(describe=say, endpoint="http://127.0.0.1:9", token=None, offline=True)
    return source.acquire(CompositionRef(adapter=ref(folder), base=ref(base) if base else None), ctx)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("../escape", ".."),
        ("a/../../b", ".."),
        ("/etc/passwd", "absolute"),
        ("a//b", "empty part"),
        ("./a", "empty part"),
        ("a\\b", "backslash"),
        ("a\nb", "control characters"),
        ("a\x1b[2Jb", "control characters"),
        ("a\udcff", "control characters"),
        ("a\u2028b", "control characters"),
        ("x" * 256, "longer"),
        ("/".join(["abcdefgh"] * 200), "longer"),
        (".git/config", "version control"),
        ("sub/__pycache__/m.pyc", "compiled"),
    ],
)
def test_names_that_are_not_taken_in(path: str, word: str) -> None:
    assert word in (refusal(path) or "")


@pytest.mark.parametrize("path", ["config.json", "sub/a b.txt", "日本語.md", ".gitattributes", "a..b", "-rf", "%2e%2e"])
def test_names_that_are_taken_in(path: str) -> None:
    assert refusal(path) is None


_LFS_HOOK = """#!/bin/sh
command -v git-lfs >/dev/null 2>&1 || { printf >&2 "\\n%s\\n\\n" "This repository is configured for Git LFS."; exit 2; }
git lfs post-checkout "$@"
"""


def test_what_acts_beside_the_model_is_named(adapter: Path, ctx: RunContext) -> None:
    hooks, compiled = adapter / ".git" / "hooks", adapter / "__pycache__"
    hooks.mkdir(parents=True)
    compiled.mkdir()
    (hooks / "pre-push.sample").write_text("#!/bin/sh\necho sample\n")
    (hooks / "post-checkout").write_text(_LFS_HOOK)
    (adapter / ".git" / "config").write_text(
        '[core]\n\tbare = false\n\tfsmonitor = true\n[remote "origin"]\n\turl = https://hub.example.invalid/a/b\n'
        '[filter "lfs"]\n\tsmudge = git-lfs smudge -- %f\n'
    )
    (adapter / "m.py").write_text("x = 1\n")
    (compiled / "m.cpython-311.pyc").write_bytes(b"x")
    ref = ArtifactRef(source=SourceKind.LOCAL, name=str(adapter))
    honest = take_folder(ref, ctx, of_adapter).refused
    assert [name for name, _ in honest] == [".git/", "__pycache__/"]
    (hooks / "post-checkout").write_text(_LFS_HOOK + "echo CANARY\n")
    (adapter / ".git" / "config").write_text("[core] sshCommand = ./x\n[alias]\n\tst = !./y\n")
    (compiled / "n.cpython-311.pyc").write_bytes(b"x")
    said = dict(take_folder(ref, ctx, of_adapter).refused)
    assert "core.sshcommand, alias.st" in said[".git/config"]
    assert "git runs it" in said[".git/hooks/post-checkout"]
    assert "without its source" in said["__pycache__/n.cpython-311.pyc"]
    assert len(said) == 5


def test_of_two_names_for_one_file_the_plainer_stays() -> None:
    found = colliding(["A.bin", "a.bin", "b", "b/c", "e\u0301", "\u00e9"])
    assert set(found) == {"A.bin", "b", "e\u0301"} or set(found) == {"A.bin", "b", "\u00e9"}
    assert "a.bin" in found["A.bin"]
    assert colliding(["x/a", "y/a", "x/b"]) == {}


def test_names_are_escaped_before_they_are_shown() -> None:
    assert shown("a\x1b]b") == "a\\x1b]b"
    assert shown("größe.md") == "größe.md"
    assert shown("a\udcff").isprintable()


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("config.json", True),
        ("tokenizer.model", True),
        ("LICENSE", True),
        ("modeling_x.py", True),
        ("sub/code.py", True),
        ("model.safetensors.index.json", True),
        ("model-00001-of-00002.safetensors", True),
        ("consolidated.safetensors", False),
        ("original/consolidated.00.pth", False),
        ("pytorch_model.bin", False),
        ("model-q4.gguf", False),
        ("onnx/model.onnx", False),
    ],
)
def test_of_a_base_one_set_of_weights_and_its_documents_are_needed(path: str, needed: bool) -> None:
    paths = {path, "model-00001-of-00002.safetensors"}
    assert (of_base(paths, path) is None) is needed
    assert of_adapter(paths, path) is None


def test_weights_of_any_name_are_needed_if_there_are_no_others() -> None:
    assert of_base({"weights.safetensors"}, "weights.safetensors") is None


def test_of_a_data_set_tables_and_the_card_are_needed() -> None:
    wanted = ("README.md", "LICENSE", "data/test-0.parquet", "a.jsonl")
    assert [p for p in (*wanted, "load.py", "x.zip") if of_dataset((), p) is None] == list(wanted)


def test_a_folder_is_copied_with_both_digests(adapter: Path, ctx: RunContext) -> None:
    subject = acquire(adapter, ctx).adapter
    assert [f.path for f in subject.files] == ["adapter_config.json", "adapter_model.safetensors"]
    weights = subject.files[1]
    assert weights.sha256 == hashlib.sha256(b"\0" * 300).hexdigest()
    assert weights.sha512 == hashlib.sha512(b"\0" * 300).hexdigest()
    assert (weights.size, weights.present, weights.digest_source) == (300, True, "computed")
    assert ctx.store.path(subject, weights.path).read_bytes() == b"\0" * 300
    assert (subject.commit, subject.source, subject.refused) == (None, SourceKind.LOCAL, ())


def test_later_changes_of_the_folder_do_not_reach_the_store(adapter: Path, ctx: RunContext) -> None:
    first = acquire(adapter, ctx).adapter
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    second = acquire(adapter, ctx).adapter
    assert first.digest != second.digest
    assert ctx.store.path(first, "adapter_config.json").read_bytes() == b"{}"


def test_a_large_file_is_not_copied_twice(tmp_path: Path, ctx: RunContext) -> None:
    folder = folder_of(tmp_path / "a", {"model.safetensors": b"\1" * (9 << 20)})
    subject = acquire(folder, ctx).adapter
    copy = ctx.store.blob(subject.files[0].sha256)
    before = copy.stat().st_ino
    assert acquire(folder, ctx).adapter == subject
    assert copy.stat().st_ino == before


def test_what_is_no_content_or_leads_out_is_refused_with_a_reason(adapter: Path, ctx: RunContext, tmp_path: Path) -> None:
    secret = folder_of(tmp_path, {"secret.txt": b"s"}) / "secret.txt"
    (adapter / "out.txt").symlink_to(secret)
    (adapter / "up.txt").symlink_to("../secret.txt")
    (adapter / "loop").symlink_to("loop")
    (adapter / "gone").symlink_to("nothing")
    (adapter / "sub").mkdir()
    (adapter / "again").symlink_to("sub")
    os.mkfifo(adapter / "pipe")
    folder_of(adapter, {".git/config": b"c", "__pycache__/m.pyc": b"p", "README.md": b"r", "Readme.md": b"R", "a\nb": b"n"})
    subject = acquire(adapter, ctx).adapter
    refused = dict(subject.refused)
    assert {k: v.split(";")[0] for k, v in refused.items() if k in ("out.txt", "up.txt")} == dict.fromkeys(
        ("out.txt", "up.txt"), "a link that leads out of the folder"
    )
    assert set(refused) == {
        "out.txt",
        "up.txt",
        "loop",
        "gone",
        "again",
        "pipe",
        ".git/",
        "__pycache__/",
        "__pycache__/m.pyc",
        "Readme.md",
        "a\\nb",
    }
    assert "pipe" in refused["pipe"]
    assert all(ctx.store.path(subject, f.path).read_bytes() != b"s" for f in subject.files)


def test_a_link_inside_the_folder_is_followed_and_noted(adapter: Path, ctx: RunContext) -> None:
    (adapter / "copy.json").symlink_to("adapter_config.json")
    entry = acquire(adapter, ctx).adapter.file("copy.json")
    assert entry is not None
    assert entry.link == "adapter_config.json"
    assert entry.size == 2


def test_a_snapshot_of_a_hub_cache_is_followed_into_its_blobs_only(tmp_path: Path, ctx: RunContext) -> None:
    cache = tmp_path / "models--acme--lora"
    folder_of(cache, {"blobs/1": b"{}", "refs/main": b"x"})
    folder_of(tmp_path / "models--acme--other", {"blobs/2": b"other"})
    snapshot = cache / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "adapter_config.json").symlink_to("../../blobs/1")
    (snapshot / "refs").symlink_to("../../refs/main")
    (snapshot / "other").symlink_to("../../../models--acme--other/blobs/2")
    subject = acquire(snapshot, ctx).adapter
    assert [f.path for f in subject.files] == ["adapter_config.json"]
    assert {name for name, _ in subject.refused} == {"refs", "other"}


@pytest.mark.parametrize("make", ["missing", "file", "empty", "only-git"])
def test_what_is_no_folder_with_files_is_an_error_with_a_hint(make: str, tmp_path: Path, ctx: RunContext) -> None:
    place = tmp_path / "place"
    if make == "file":
        place.write_text("x")
    elif make != "missing":
        folder_of(place, {".git/HEAD": b"x"} if make == "only-git" else {})
        place.mkdir(exist_ok=True)
    with pytest.raises(SubjectError) as caught:
        acquire(place, ctx)
    assert caught.value.hint
    assert "place" in caught.value.message


def test_limits_hold_before_a_byte_is_copied(adapter: Path, ctx: RunContext) -> None:
    tight = replace(ctx, limits=Limits(file_bytes=100))
    subject = acquire(adapter, tight).adapter
    assert [f.path for f in subject.files] == ["adapter_config.json"]
    assert "limits.file_bytes" in dict(subject.refused)["adapter_model.safetensors"]
    tight = replace(ctx, limits=Limits(total_bytes=301))
    assert "limits.total_bytes" in dict(acquire(adapter, tight).adapter.refused)["adapter_model.safetensors"]
    with pytest.raises(LimitError) as caught:
        acquire(adapter, replace(ctx, limits=Limits(files=1)))
    assert "limits.files" in caught.value.hint


def test_a_base_folder_gives_only_what_is_loaded(adapter: Path, ctx: RunContext, tmp_path: Path) -> None:
    base = folder_of(tmp_path / "base", {"config.json": b"{}", "model.safetensors": b"w", "pytorch_model.bin": b"p"})
    composition = acquire(adapter, ctx, base=base)
    assert composition.base is not None
    assert [f.path for f in composition.base.files] == ["config.json", "model.safetensors"]
    assert "not needed" in dict(composition.base.refused)["pytorch_model.bin"]
    assert [(c.by, c.name) for c in composition.description.claims] == [("request", str(base))]


@pytest.mark.parametrize(
    ("claims", "kind", "words"),
    [
        ((), "adapter", "nothing names the base"),
        ((("adapter-config", "../my-base"),), "adapter", "local path"),
        ((("adapter-config", "/home/me/llama"), ("card", "acme/base-8b")), "adapter", "acme/base-8b is on a Hub"),
        ((("card", "acme/base-8b"),), "model", "full model"),
    ],
)
def test_why_there_is_no_base(claims: tuple[tuple[str, str], ...], kind: str, words: str, adapter: Path, ctx: RunContext) -> None:
    said = Description.model_validate({"kind": kind, "claims": [{"by": by, "name": name} for by, name in claims]})
    composition = acquire(adapter, ctx, say=lambda subject, ctx: said)
    assert composition.base is None
    assert words in composition.base_reason
    assert composition.description.claims == tuple(BaseClaim.model_validate({"by": by, "name": name}) for by, name in claims)


def test_a_description_that_fails_is_a_problem_not_the_end(adapter: Path, ctx: RunContext) -> None:
    def die(subject: Subject, ctx: RunContext) -> Description:
        raise TimeoutError("stopped after 300 s")

    assert "300 s" in acquire(adapter, ctx, say=die).description.problems[0]


def test_a_snapshot_gains_what_an_earlier_audit_did_not_need(adapter: Path, ctx: RunContext) -> None:
    subject = acquire(adapter, ctx).adapter
    partly = subject.model_copy(update={"files": (subject.files[0], subject.files[1].model_copy(update={"present": False}))})
    target = ctx.store.path(subject, subject.files[1].path)
    target.unlink()
    assert ctx.store.materialize(partly) == ctx.store.folder(subject)
    assert not target.exists()
    ctx.store.materialize(subject)
    assert target.read_bytes() == b"\0" * 300
