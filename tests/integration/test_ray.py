"""The cluster executor: same numbers as one machine, whatever is killed, and nothing left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from api.executors import ray_session
from api.executors.isolated import Planned
from api.executors.local import LocalExecutor
from api.executors.ray import RayExecutor, _Rows
from api.executors.ray_actor import Actor, Site
from api.executors.ray_fleet import ATTEMPTS, Fleet, Work, _give_up, _Member, _next
from evaluators.domain_skill import PLUGIN as DOMAIN_SKILL
from evaluators.retention import PLUGIN as RETENTION
from governance.context import EvaluationSettings, Progress, RunContext
from governance.contracts import Evaluator, Said
from governance.errors import Cancelled, PrerequisiteError
from governance.evidence import ItemRow, Measurement
from governance.store import Store
from governance.subject import Composition, FileEntry, SourceKind, Subject
from governance.wire import LINES, Reached, Stopped, job_for
from tests.conftest import ON, RUN_ID, Tiny
from tests.tiny_model import compose, make_adapter

DEADLINE = 150.0
PLUGINS: dict[str, Evaluator] = {"domain-skill": DOMAIN_SKILL, "retention": RETENTION}
Kept = dict[str, list[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def subject(name: str) -> Subject:
    entry = FileEntry(path="x", size=1, sha256=name * 64, sha512=name * 128)
    return Subject(source=SourceKind.LOCAL, name=name, files=(entry,))


def work(ctx: RunContext, adapter: str, base: str) -> Work:
    return Work("retention", Composition(adapter=subject(adapter), base=subject(base)), ctx, lambda line: None)


def site(**changed: object) -> Site:
    return Site.model_validate({"node": "n", "hardware": "h", "versions": {"torch": "1"}, "sees": "s"} | changed)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(ModuleType("ray"), tmp_path, False)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, ctx: RunContext, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(ray_session, "_set", lambda variables, own: None)
    with RayExecutor(tmp_path) as executor, pytest.raises(PrerequisiteError) as caught:
        list(executor.evaluators(PLUGINS)["retention"].measure(Composition(adapter=subject("a")), ctx))
    assert "model-curator[ray]" in caught.value.hint


def test_a_client_address_is_refused() -> None:
    with pytest.raises(PrerequisiteError, match="cannot stream"):
        ray_session.Session("ray://somewhere:10001").open()


def test_nodes_that_differ_or_do_not_see_the_store_are_refused(fleet: Fleet, ctx: RunContext) -> None:
    fleet._assert_sees(site(), ctx, "s")
    fleet._assert_sees(site(node="m"), ctx, "s")
    for bad, said in (
        (site(sees=""), "cannot see"),
        (site(sees="other"), "cannot see"),
        (site(misses=("data",)), "cannot see data"),
        (site(hardware="another"), "h / another"),
        (site(versions={"torch": "2"}), "torch 1 / torch 2"),
        (site(versions={"torch": "1", "peft": "1"}), "peft None / peft 1"),
    ):
        with pytest.raises(PrerequisiteError, match=said):
            fleet._assert_sees(bad, ctx, "s")


def test_an_idle_actor_keeps_its_adapter_then_its_base(ctx: RunContext) -> None:
    waiting = deque(work(ctx, adapter, base) for adapter, base in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")))
    a, b, c, d = waiting

    def chosen(at_hand: Work | None, *busy: Work) -> Work:
        member = _Member(None, *((at_hand.base, at_hand.composition.digest) if at_hand else ()))
        return _next(member, waiting, [_Member(None, adapter=w.composition.digest) for w in busy])

    assert chosen(None) is a
    assert chosen(b) is b, "its own adapter, though another one is first"
    assert chosen(None, a) is b, "an adapter that nobody works on"
    assert chosen(d, a, b, c) is d
    assert chosen(a, a) is a, "help with the adapter at hand, though another is free"
    waiting.remove(c)
    assert chosen(c, a, b, d) is d, "no reload while its base has work"


def test_work_is_given_up_after_so_many_attempts_and_its_shards_with_it(fleet: Fleet, ctx: RunContext) -> None:
    one, sibling, other = work(ctx, "a", "1"), work(ctx, "a", "1"), work(ctx, "b", "1")
    waiting = deque([sibling, other])
    one.attempts = 1
    fleet._fail(one, Stopped(reason="died"), waiting)
    assert list(waiting) == [one, sibling, other]
    waiting.remove(one)
    one.attempts = ATTEMPTS
    fleet._fail(one, Stopped(reason="died"), waiting)
    assert list(waiting) == [other]
    assert str(one.error) == str(sibling.error) == "died"
    assert other.error is None
    _give_up(other, TimeoutError("slow"), waiting)
    assert not waiting


def test_an_actor_passes_on_what_its_worker_says(ctx: RunContext, tmp_path: Path) -> None:
    """A real confined child, without Ray: a job that is not for it ends with its reason, and the next one is taken."""
    ctx.store.root.mkdir(parents=True)
    actor = Actor(str(tmp_path / "scratch"), False)
    try:
        for _ in range(2):
            lines = [LINES.validate_json(t) for batch in actor.work(job_for(ctx, task="describe").model_dump_json()) for t in batch]
            assert isinstance(lines[0], Reached)
            assert isinstance(lines[-1], Stopped)
            assert "not for the device worker" in lines[-1].reason
        probe = tmp_path / "probe"
        probe.write_text("x")
        settings = EvaluationSettings(data=tmp_path / "nowhere").model_dump_json()
        seen = Site.model_validate_json(actor.site(str(probe), settings, False))
        assert len(seen.sees) == 64
        assert seen.misses == (str(tmp_path / "nowhere"),)
        assert Site.model_validate_json(actor.site(str(tmp_path / "no"), settings, False)).sees == ""
    finally:
        actor.close()


# What follows starts Ray.


def needs_ray() -> None:
    """Skip without Ray; it must not be imported before the executor has made its settings."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")


def descendants(pid: int) -> dict[int, str]:
    """Return every process below one, with its command line."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if status[0] != "Z":
                    parents[int(entry.name)] = int(status[1]), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    found: dict[int, str] = {}
    grown = True
    while grown:
        fresh = {p: c for p, (parent, c) in parents.items() if (parent == pid or parent in found) and p not in found}
        found |= fresh
        grown = bool(fresh)
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def assert_all_end(pids: dict[int, str], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(lives, pids)):
        time.sleep(0.1)
    assert {p: c for p, c in pids.items() if lives(p)} == {}


def sockets(pids: set[int]) -> list[Address]:
    """Return the addresses that processes listen on."""
    inodes = set[str]()
    for pid in pids:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(handle).removeprefix("socket:[").removesuffix("]"))
    found: list[Address] = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == "0A" and part[9] in inodes:
                raw = part[1].partition(":")[0]
                address = ipaddress.ip_address(b"".join(bytes.fromhex(raw[i : i + 8])[::-1] for i in range(0, len(raw), 8)))
                found.append(getattr(address, "ipv4_mapped", None) or address)
    return found


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [make_adapter(folder / f"a{seed}", scale=0.3, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    """Two actors for all tests that end none of them for good: starting them takes longer than anything else here."""
    needs_ray()
    with RayExecutor(tmp_path_factory.mktemp("cluster") / "logs", actors=2) as executor:
        yield executor


@pytest.fixture
def cluster(started: RayExecutor) -> RayExecutor:
    """The actors as a new run would find them."""
    started._told.clear()
    started._rows = _Rows()
    if started._fleet is not None:
        started._fleet.counts.clear()
    return started


def context(home: Path, limit: int = 12) -> RunContext:
    store = Store(home / "store")
    evaluation = EvaluationSettings(limit=limit, device="cpu", stop_early=False)
    return RunContext(run_id=RUN_ID, on=ON, store=store, keep=store.keep, evaluation=evaluation, margins={"general": 0.05})


def measured(
    executor: LocalExecutor | RayExecutor, planned: Planned, ctx: RunContext, plugins: dict[str, Evaluator] = PLUGINS
) -> tuple[list[Said], Kept]:
    """Return what is said of each composition, and every row."""
    proxies = executor.evaluators(plugins)
    executor.ahead(planned)
    said = [s for c, mine in planned for p in proxies.values() for s in p.measure(c, mine) if not isinstance(s, Reached)]
    return said, {p.name: sorted(p.read_text().splitlines()) for p in (ctx.store.root / "rows").iterdir()}


def local(home: Path, base: Path, adapters: list[Path]) -> tuple[list[Said], Kept]:
    ctx = context(home)
    with LocalExecutor(home / "logs") as executor:
        return measured(executor, [(compose(ctx.store, base, a), ctx) for a in adapters], ctx)


@pytest.mark.slow
def test_two_actors_give_the_rows_and_numbers_of_one_machine(
    cluster: RayExecutor, tiny: Tiny, adapters: list[Path], tmp_path: Path
) -> None:
    alone = local(tmp_path / "alone", tiny.base, adapters)
    ctx = context(tmp_path / "together")
    planned = [(compose(ctx.store, tiny.base, a), ctx) for a in [*adapters, adapters[0]]]
    said, rows = measured(cluster, planned, ctx)
    assert rows == alone[1]
    each = len(alone[0]) // 2
    assert said == [*alone[0], *alone[0][:each]], "equal content is measured once and told twice"
    assert len([s for s in said if isinstance(s, Measurement)]) > 20
    assert cluster._fleet is not None
    assert not cluster._fleet.counts


Kill = Callable[[RayExecutor], None]


def kill_worker(executor: RayExecutor) -> None:
    workers = [p for p, c in descendants(os.getpid()).items() if "evaluators._runtime.worker" in c]
    os.kill(workers[0], signal.SIGKILL)


def kill_actor(executor: RayExecutor) -> None:
    import ray

    assert executor._fleet is not None
    ray.kill(executor._fleet._members[0].handle)


@pytest.mark.slow
@pytest.mark.parametrize(("kill", "count"), [(kill_worker, "retries"), (kill_actor, "lost")])
def test_a_killed_actor_costs_its_shard_only(
    cluster: RayExecutor, tiny: Tiny, adapters: list[Path], tmp_path: Path, kill: Kill, count: str
) -> None:
    alone = local(tmp_path / "alone", tiny.base, adapters[:1])
    ctx = context(tmp_path / "killed")
    arrived: list[ItemRow] = []

    def keep(row: ItemRow) -> None:
        ctx.store.keep(row)
        arrived.append(row)
        if len(arrived) == 25:
            kill(cluster)

    mine = replace(ctx, keep=keep)
    assert measured(cluster, [(compose(ctx.store, tiny.base, adapters[0]), mine)], ctx) == alone
    assert cluster._fleet is not None
    assert cluster._fleet.counts[count] == 1
    assert cluster._fleet.size == 2
    assert len(arrived) == sum(map(len, alone[1].values())), "each row came to the store once"


@pytest.mark.slow
def test_one_adapter_that_cannot_be_measured_does_not_stop_the_others(
    cluster: RayExecutor, tiny: Tiny, adapters: list[Path], tmp_path: Path
) -> None:
    ctx = context(tmp_path / "limited", limit=2)
    bad, good = (compose(ctx.store, tiny.base, a) for a in adapters)
    tight = replace(ctx, limits=ctx.limits.model_copy(update={"evaluate_seconds": 0.0}))
    proxy = cluster.evaluators({"retention": RETENTION})["retention"]
    cluster.ahead([(bad, tight), (good, ctx)])
    with pytest.raises(TimeoutError):
        list(proxy.measure(bad, tight))
    assert any(isinstance(s, Measurement) for s in proxy.measure(good, ctx))


@pytest.mark.slow
def test_what_it_listens_on_is_loopback_and_asks_for_a_token(
    cluster: RayExecutor, tiny: Tiny, adapters: list[Path], tmp_path: Path
) -> None:
    ctx = context(tmp_path / "closed", limit=1)
    measured(cluster, [(compose(ctx.store, tiny.base, adapters[0]), ctx)], ctx, {"domain-skill": DOMAIN_SKILL})
    listening = sockets({os.getpid(), *descendants(os.getpid())})
    assert listening
    assert all(address.is_loopback for address in listening), listening
    import ray

    program = "import sys, ray; ray.init(address=sys.argv[1]); print(len(ray.nodes()))"
    command = [sys.executable, "-c", program, ray.get_runtime_context().gcs_address]
    for token, admitted in (({}, True), ({"RAY_AUTH_TOKEN": "0" * 64}, False), ({"RAY_AUTH_MODE": "disabled"}, False)):
        tried = subprocess.run(command, env=os.environ | token, capture_output=True, text=True, check=False, timeout=60)
        assert (tried.returncode == 0) is admitted, tried.stderr


@pytest.mark.slow
def test_cancelling_ends_at_once_and_leaves_nothing(cluster: RayExecutor, tiny: Tiny, adapters: list[Path], tmp_path: Path) -> None:
    ctx = context(tmp_path / "cancelled")
    seen: list[Progress] = []

    def checkpoint() -> None:
        if any(p.done > 3 for p in seen):
            raise Cancelled("enough")

    mine = replace(ctx, emit=seen.append, checkpoint=checkpoint)
    composition = compose(ctx.store, tiny.base, adapters[0])
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Cancelled):
        list(cluster.evaluators(PLUGINS)["retention"].measure(composition, mine))
    below = descendants(os.getpid())
    assert any("raylet" in c for c in below.values())
    cluster.close()
    assert_all_end(below)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_command_ends_with_everything_it_started(tiny: Tiny, adapters: list[Path], tmp_path: Path, how: signal.Signals) -> None:
    needs_ray()
    command = [str(Path(sys.executable).with_name("curator")), "evaluate", *map(str, adapters), "--base", str(tiny.base)]
    options = ["--executor", "ray", "--ray-actors", "2", "--device", "cpu", "--format", "json"]
    environment = os.environ | {"CURATOR_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    curator = subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + DEADLINE
    rows = tmp_path / "home" / "store" / "rows"
    while time.monotonic() < deadline and curator.poll() is None and not (rows.is_dir() and any(rows.iterdir())):
        time.sleep(0.1)
    below = descendants(curator.pid)
    workers = [c for c in below.values() if "evaluators._runtime.worker" in c]
    if how is signal.SIGINT:
        os.killpg(curator.pid, how)  # as a terminal does: to every process of the group
    else:
        curator.kill()
    out, err = curator.communicate(timeout=60)
    assert len(workers) == 2, err
    # Without its driver Ray's own agents need up to half a minute to notice; a worker notices at once.
    assert_all_end({p: c for p, c in below.items() if c in workers}, seconds=5)
    assert_all_end(below, seconds=90)
    if how is signal.SIGINT:
        assert curator.returncode == 1
        assert "stopped by the user" in json.dumps(json.loads(out)), err
