"""What a policy inherits: rules and constants of others, which it may tighten freely and loosen only by name.

Read by ``policies.loader``. The result is one document without ``extends``; its digest is what verdicts cite. An inherited rule
keeps its id, so nothing is shadowed by accident: a rule of the same name here is refused unless ``loosens`` names it.

Source:
    The order "may only become stricter" is this project's; it is how regulated packs stay above the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies._source import Fault, Path, Source, meant
from policies.document import ModelPolicy, Param, PolicyRule, Variable
from policies.strictness import SETTINGS, stricter, weaker


@dataclass
class _Merge:
    """One merge under way.

    Attributes:
        source: Of the child, for places.
        child: As written.
        parents: Name as written under ``extends``, and the resolved document.
        faults: What is wrong so far.
    """

    source: Source
    child: ModelPolicy
    parents: Sequence[tuple[str, ModelPolicy]]
    faults: list[Fault]

    def __post_init__(self) -> None:
        """Collect what may be loosened, and which of it was."""
        self.allowed = {name: index for index, x in enumerate(self.child.spec.loosens) for name in x.named}
        self.used: set[tuple[str, str]] = set()

    def may(self, kind: str, name: str, *, path: Path, what: str) -> None:
        """Note that something is loosened; a fault unless ``loosens`` names it."""
        if (kind, name) in self.allowed:
            self.used.add((kind, name))
            return
        remedy = f"spec.loosens: [{{{kind}: {name}, reason: …, owner: …}}]"
        self.faults.append(Fault("P301", f"{what}; if it is meant, say so: {remedy}", self.source.place(path)))


def resolved(source: Source, child: ModelPolicy, parents: Sequence[tuple[str, ModelPolicy]]) -> ModelPolicy:
    """Return a policy with everything it inherits written out.

    Args:
        source: Of the child, for places.
        child: As written.
        parents: What it extends, in order, each resolved; the name is the one written under ``extends``.

    Raises:
        PolicyError: With every fault: something is looser than inherited, or named twice, or loosens nothing.
    """
    merge = _Merge(source, child, parents, [])
    spec = child.spec
    rules = _rules(merge)
    merged = spec.model_copy(
        update={
            **_settings(merge),
            "requires": tuple(dict.fromkeys([*spec.requires, *(r for _, p in parents for r in p.spec.requires)])),
            "params": _params(merge),
            "variables": tuple(_variables(merge)),
            "margins": _margins(merge),
            "rules": rules,
            "waivers": (*spec.waivers, *(w for _, p in parents for w in p.spec.waivers)),
            "effects": {},
            "loosens": (),
        }
    )
    for (kind, name), index in merge.allowed.items():
        if (kind, name) not in merge.used:
            place = source.place(("spec", "loosens", index), key=False)
            merge.faults.append(Fault("P302", f"loosens: nothing inherited is loosened by {kind} {name!r}: remove it", place))
    if not rules:
        merge.faults.append(Fault("P003", "rules: at least one is needed", source.place(("spec",), key=True)))
    if merge.faults:
        raise source.error(merge.faults)
    return child.model_copy(update={"metadata": child.metadata.model_copy(update={"extends": ()}), "spec": merged})


def _rules(merge: _Merge) -> tuple[PolicyRule, ...]:
    """Return the rules: first the child's own, so that their places stay theirs, then the inherited ones."""
    own = {r.id: index for index, r in enumerate(merge.child.spec.rules)}
    inherited: dict[str, tuple[str, PolicyRule]] = {}
    for name, parent in merge.parents:
        for rule in parent.spec.rules:
            known = inherited.get(rule.id)
            if known is None:
                inherited[rule.id] = (name, rule)
            elif known[1] != rule:
                place = merge.source.place(("metadata", "extends"))
                merge.faults.append(
                    Fault("P303", f"{known[0]} and {name} both have a rule {rule.id!r}, and they differ: extend one of them", place)
                )
    kept: list[PolicyRule] = []
    for rule_id, (name, rule) in inherited.items():
        if rule_id in own:
            path: Path = ("spec", "rules", own[rule_id], "id")
            merge.may("rule", rule_id, path=path, what=f"{name} already has a rule {rule_id!r}: give this one another id")
        elif ("rule", rule_id) in merge.allowed:
            merge.used.add(("rule", rule_id))
        else:
            kept.append(_tightened(merge, rule, name))
    unknown = set(merge.child.spec.effects) - {r.id for r in kept}
    for rule_id in sorted(unknown):
        near = meant(rule_id, [r.id for r in kept])
        place = merge.source.place(("spec", "effects", rule_id), key=True)
        merge.faults.append(Fault("P302", f"effects: no rule {rule_id!r} is inherited{near}", place))
    return (*merge.child.spec.rules, *kept)


def _tightened(merge: _Merge, rule: PolicyRule, name: str) -> PolicyRule:
    effect = merge.child.spec.effects.get(rule.id)
    if effect is None:
        return rule
    if weaker(effect, rule.effect):
        place = merge.source.place(("spec", "effects", rule.id))
        text = (
            f"effects: {rule.id} asks for {rule.effect} in {name}; {effect} is weaker. Replace the rule and name it under loosens"
        )
        merge.faults.append(Fault("P301", text, place))
    return rule.model_copy(update={"effect": effect})


def _params(merge: _Merge) -> dict[str, Param]:
    found: dict[str, Param] = {}
    for name, parent in merge.parents:
        for key, param in parent.spec.params.items():
            if key in found and found[key] != param:
                wins = stricter(param, found[key])
                if wins is None:
                    place = merge.source.place(("metadata", "extends"))
                    merge.faults.append(Fault("P303", f"{name}: the param {key!r} differs from another policy's", place))
                elif wins:
                    found[key] = param
            else:
                found[key] = param
    for key, param in merge.child.spec.params.items():
        old, path = found.get(key), ("spec", "params", key)
        if old is not None and param.type != old.type:
            merge.faults.append(Fault("P301", f"param {key}: it is a {old.type} where it comes from", merge.source.place(path)))
        elif old is not None and _differs(param, old) and not stricter(param, old):
            way = f"{old.stricter} is stricter" if old.stricter else "no direction is declared as stricter"
            merge.may("param", key, path=path, what=f"param {key}: {param.value} in place of {old.value}, and {way}")
        if old is not None and param.stricter is None:
            param = param.model_copy(update={"stricter": old.stricter})
        found[key] = param
    return found


def _differs(new: Param, old: Param) -> bool:
    """Return whether a value or its direction is another one; a direction that is left out is inherited."""
    return new.value != old.value or new.stricter not in (None, old.stricter)


def _variables(merge: _Merge) -> Iterator[Variable]:
    """Yield inherited variables first: the child's may use them. A name stands for one expression."""
    seen: dict[str, str] = {}
    own = [("here", merge.child)]
    for name, document in (*merge.parents, *own):
        for index, variable in enumerate(document.spec.variables):
            if variable.name not in seen:
                seen[variable.name] = variable.expression
                yield variable
            elif seen[variable.name] != variable.expression or name == "here":
                path: Path = ("spec", "variables", index, "name") if name == "here" else ("metadata", "extends")
                merge.faults.append(
                    Fault("P303", f"variable {variable.name!r} is inherited: choose another", merge.source.place(path))
                )


def _margins(merge: _Merge) -> dict[str, float]:
    found: dict[str, float] = {}
    for _, parent in merge.parents:
        for family, margin in parent.spec.margins.items():
            found[family] = min(margin, found.get(family, margin))
    for family, margin in merge.child.spec.margins.items():
        if family in found and margin > found[family]:
            path: Path = ("spec", "margins", family)
            merge.may(
                "margin", family, path=path, what=f"margin {family}: {margin:g} is wider than the inherited {found[family]:g}"
            )
        found[family] = margin
    return found


def _settings(merge: _Merge) -> dict[str, object]:
    """Return settings with a default: the child's if written, else the strictest inherited one."""
    found: dict[str, object] = {}
    spec = merge.child.spec
    for name, setting in SETTINGS.items():
        strictest = min((p.spec for _, p in merge.parents), key=setting.laxness)
        said, old = getattr(spec, setting.attribute), getattr(strictest, setting.attribute)
        if setting.attribute not in spec.model_fields_set:
            found[setting.attribute] = old
        elif setting.laxness(spec) > setting.laxness(strictest):
            merge.may("setting", name, path=("spec", name), what=f"{name}: {said} is weaker than the inherited {old}")
    return found
