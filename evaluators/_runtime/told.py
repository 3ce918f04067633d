"""What is said of a family and of a task: measurements with everything needed to read them. Used by ``families``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluators._gate.gate import Judgement
from evaluators._gate.noise import Noise
from evaluators._gate.paired import Comparison, Outcome
from evaluators._gate.scores import LEVEL, mean_interval
from evaluators._items import rows
from evaluators._model.resident import Resident
from evaluators._runtime.items import Item
from governance.context import RunContext
from governance.evidence import Example, Interval, Measurement
from governance.subject import Composition, canonical_digest

Details = dict[str, float | int | str]
#: Items that changed that are shown with a family, and how many of them are kept free for gains.
SHOWN, _GAINS = 20, 8
_QUESTION, _ANSWER = 300, 160


@dataclass(frozen=True)
class Source:
    """What every number of a job was made with."""

    model: Resident
    composition: Composition
    ctx: RunContext


def family(
    metric: str, scope: str, name: str, judgement: Judgement, noise: Noise | None, items: Sequence[Item], source: Source
) -> Measurement:
    """Return what the gate says of one family.

    Args:
        metric: Id of the metric.
        scope: The name it is given under.
        name: The family.
        judgement: From the gate.
        noise: The base against itself.
        items: Those asked.
        source: Model and settings.
    """
    details = _details(name, judgement.comparison, items)
    if judgement.p_degraded is None:
        # Neither was planned for the moment it stopped; the evidence below was.
        del details["p-degraded"], details["statistic"]
    else:
        details["holm-rank"] = judgement.rank
    if judgement.verdict != "inconclusive":
        details.pop("needed-n", None)
    details |= {"items": judgement.items, "stopped": judgement.stopped, "alpha": judgement.alpha}
    if judgement.kept is not None and judgement.worse is not None:
        details |= {"log10-evidence-retained": round(judgement.kept, 3), "log10-evidence-degraded": round(judgement.worse, 3)}
    if judgement.small_loss:
        details["note"] = "small real loss: less than the margin, and no accident"
    elif noise is not None and noise.explains(judgement):
        details["note"] = "no change beyond noise"
    if noise is not None:
        details |= _noise(noise)
    foreign = len({i.key for i in items if "plan" in i.rows["base"].values} - _same_plan(items))
    if foreign:
        details["cross-plan"] = foreign
    measurement = _measurement(metric, scope, judgement.comparison, judgement.verdict, details, items, source)
    return measurement.model_copy(update={"examples": examples(items)})


def task(
    metric: str, name: str, comparison: Comparison, verdict: Outcome, stopped: str, items: Sequence[Item], source: Source
) -> Measurement:
    """Return what one task of a family says.

    Args:
        metric: Id of the metric.
        name: The family.
        comparison: Of the task's items.
        verdict: After Holm over all tasks.
        stopped: Why its family was not asked in full; empty if it was.
        items: Of the task, those asked.
        source: Model and settings.
    """
    details = _details(name, comparison, items)
    if verdict != "inconclusive":
        details.pop("needed-n", None)
    if stopped:
        details["note"] = f"no verdict of its own: {name} was {stopped}"
    return _measurement(metric, items[0].questions.name, comparison, verdict, details, items, source)


def margins(metric: str, scope: str, name: str, items: Sequence[Item], source: Source) -> Measurement | None:
    """Return how the margin between the right choice and the best other one moved; None where no item has one.

    It sees a drift long before a choice flips, and decides nothing.

    Args:
        metric: Id of the metric.
        scope: The name it is given under.
        name: The family.
        items: Those asked.
        source: Model and settings.
    """
    found = [(i, rows.margin(i.rows["base"], i.right), rows.margin(i.rows["adapter"], i.right)) for i in items]
    both = [(i, b, a) for i, b, a in found if b is not None and a is not None]
    if len(both) < 2:
        return None
    mean, low, high = mean_interval([a - b for _, b, a in both], [i.cluster for i, _, _ in both])
    return Measurement(
        metric=metric,
        scope=scope,
        value=mean,
        unit="nat",
        n=len(both),
        interval=Interval(low=low, high=high, level=LEVEL, method="Student, paired, clustered"),
        base_value=sum(b for _, b, _ in both) / len(both),
        adapter_value=sum(a for _, _, a in both) / len(both),
        details={"family": name, "clusters": len({i.cluster for i, _, _ in both})},
        **_shared([i for i, _, _ in both], source),
    )


def examples(items: Sequence[Item]) -> tuple[Example, ...]:
    """Return some of the items that changed, losses first, each kind in the order of the items' keys, which is no order at all."""
    changed = sorted((i for i in items if i.score("base") != i.score("adapter")), key=lambda i: i.key)
    lost = [i for i in changed if i.score("adapter") < i.score("base")]
    gained = [i for i in changed if i.score("adapter") > i.score("base")]
    most = SHOWN - min(_GAINS, len(gained))
    shown = [*lost[:most], *gained[: SHOWN - min(len(lost), most)]]
    return tuple(
        Example(
            item=i.key,
            task=i.questions.name,
            change="lost" if i.score("adapter") < i.score("base") else "gained",
            question=_end(str(i.instances[0].args[0]), _QUESTION),
            gold=_start(i.right.text, _ANSWER),
            base=_start(rows.answer(i.rows["base"]), _ANSWER),
            adapter=_start(rows.answer(i.rows["adapter"]), _ANSWER),
        )
        for i in shown
    )


def _details(name: str, comparison: Comparison, items: Sequence[Item]) -> Details:
    found: Details = {
        "family": name,
        "lost": comparison.lost,
        "gained": comparison.gained,
        "clusters": comparison.clusters,
        "p-degraded": comparison.p_degraded,
        "statistic": round(comparison.statistic, 6),
        "tasks": ", ".join(dict.fromkeys(i.questions.name for i in items)),
        "origin": ", ".join(sorted({i.questions.origin for i in items})),
    }
    if comparison.effect > 1:
        found["design-effect"] = round(comparison.effect, 4)
    if comparison.needed is not None:
        found["needed-n"] = comparison.needed
    if comparison.too_few:
        found["too-few"] = comparison.too_few
    return found


def _noise(noise: Noise) -> Details:
    found: Details = {"noise-items": noise.items, "noise-flips": noise.flips, "noise-most": round(noise.most, 4)}
    if noise.apart is not None:
        found["noise-log-probability-p99"] = noise.apart
    if noise.noisy:
        found["noisy"] = "more than 1 % of the base's answers depend on how they are batched; trust larger n only"
    return found


def _same_plan(items: Sequence[Item]) -> set[str]:
    return {i.key for i in items if i.rows["base"].values.get("plan") == i.rows["adapter"].values.get("plan")}


def _measurement(
    metric: str, scope: str, comparison: Comparison, verdict: Outcome, details: Details, items: Sequence[Item], source: Source
) -> Measurement:
    return Measurement(
        metric=metric,
        scope=scope,
        value=comparison.difference,
        unit="1",
        n=comparison.n,
        interval=Interval(low=comparison.low, high=comparison.high, level=LEVEL, method=comparison.method),
        verdict=verdict,
        margin=comparison.margin,
        base_value=comparison.base,
        adapter_value=comparison.adapter,
        details=details,
        **_shared(items, source),
    )


def _shared(items: Sequence[Item], source: Source) -> dict[str, object]:
    keys = [source.model.model_key("base"), source.model.model_key("adapter")]
    return {
        "seed": source.ctx.seed,
        "data_revision": canonical_digest(sorted(i.key for i in items)),
        "quantization": str(source.composition.quantization),
        "device": source.model.kernel_path,
        "versions": source.model.versions,
        "rows": rows.digest(keys, [(i.key, i.score("base"), i.score("adapter")) for i in items]),
    }


def _end(text: str, most: int) -> str:
    text = _plain(text)
    return text if len(text) <= most else "…" + text[-most:]


def _start(text: str, most: int) -> str:
    text = _plain(text)
    return text if len(text) <= most else text[:most] + "…"


def _plain(text: str) -> str:
    """Return text without characters that do not print; a reader of the evidence may show it on a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text.strip())
