"""The same client against an independent hub: olah, serving a plain git repository without internet.

Runs where ``olah-cli`` is on the path (``pip install olah`` in an environment of its own, and git).

What olah 0.5.4 does differently: it lists names without sizes and digests (the tree is asked for instead), does not know
a repository without a revision, and sends files in large-file storage by their git pointer's neighbours on disk.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.context import RunContext
from governance.errors import SubjectError
from governance.hub import Acquirer
from governance.subject import ArtifactRef, CompositionRef, Description, SourceKind, Subject

OLAH = shutil.which("olah-cli")
pytestmark = pytest.mark.skipif(OLAH is None or shutil.which("git") is None, reason="olah-cli or git is not on the path")

WEIGHTS = bytes(range(256)) * 8_000


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "core.autocrlf=false")
    done = subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if not (folder / ".git").is_dir():
        git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "content")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mirror")


@pytest.fixture(scope="module")
def commits(repositories: Path) -> dict[str, str]:
    models = repositories / "models" / "acme"
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    stored = models / "lora" / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(WEIGHTS)}\n".encode()
    card = b"---\nlicense: mit\nbase_model: acme/base\n---\n# lora\n"
    found = {
        "plain": commit(models / "plain", {"adapter_config.json": b"{}", "adapter_model.safetensors": WEIGHTS, "sub/a.txt": b"a"}),
        "base": commit(models / "base", {"config.json": b"{}", "model.safetensors": b"w" * 900, "README.md": b"# base\n"}),
        "lora": commit(models / "lora", {"adapter_config.json": b"{}", "adapter_model.safetensors": pointer, "README.md": card}),
    }
    stored.parent.mkdir(parents=True)
    stored.write_bytes(WEIGHTS)
    return found


@pytest.fixture(scope="module")
def endpoint(repositories: Path, commits: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("olah")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "olah.toml").write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{home}/repos"\nmirrors-path = ["{repositories}"]\n'
        "[accessibility]\noffline = true\n"
    )
    server = subprocess.Popen(
        [str(OLAH), "--config", "olah.toml", "--host", "127.0.0.1", "--port", str(port), "--log-path", "logs"],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=(home / "errors").open("wb"),
    )
    try:
        for _ in range(240):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (home / "errors").read_text()
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def describe(subject: Subject, ctx: RunContext) -> Description:
    claims = [{"by": "adapter-config", "name": "acme/base"}] if subject.name != "acme/base" else []
    return Description.model_validate({"kind": "adapter", "claims": claims})


def reference(name: str, revision: str | None = None) -> CompositionRef:
    return CompositionRef(adapter=ArtifactRef(source=SourceKind.HUB, name=name, revision=revision))


@pytest.mark.parametrize("name", ["plain", "lora"])
def test_an_adapter_and_its_base_come_from_another_implementation(
    name: str, endpoint: str, commits: dict[str, str], ctx: RunContext
) -> None:
    found = Acquirer(describe=describe, endpoint=endpoint, backoff=0.1).acquire(reference(f"acme/{name}"), ctx)
    assert found.adapter.commit == commits[name]
    assert ctx.store.path(found.adapter, "adapter_model.safetensors").read_bytes() == WEIGHTS
    assert found.adapter.refused == ()
    assert found.base is not None, found.base_reason
    assert found.base.commit == commits["base"]


def test_a_commit_can_be_asked_for_and_an_unknown_one_is_an_error(endpoint: str, commits: dict[str, str], ctx: RunContext) -> None:
    source = Acquirer(describe=describe, endpoint=endpoint, backoff=0.1)
    assert source.acquire(reference("acme/plain", commits["plain"]), ctx).adapter.commit == commits["plain"]
    with pytest.raises(SubjectError) as caught:
        source.acquire(reference("acme/nothing"), ctx)
    assert caught.value.hint
