"""A scorecard on which every fact a bill of materials can hold is there; and the answers a person would give."""

from __future__ import annotations

from governance.dossier import Dossier
from governance.evidence import Component, Finding, Location, Severity
from governance.subject import Statement, Subject
from governance.verdict import Scorecard
from tests.scorecard_parts import BASE, CLEAN, COMPOSITION, FORGETFUL, LICENSES, evaluated, file, inspected, judged

ANSWERS = {"bom:supplier": "Acme Health", "bom:system": "Triage assistant", "bom:system-version": "2.1", "bom:author": "A. Person"}
DATA = "acme-health/discharge-notes"
ANCESTOR = Subject(
    source=BASE.source, name="HuggingFaceTB/SmolLM2-135M", commit="7" * 20 + "a" * 20, files=(file("model.safetensors", 99),)
)


def said(*pairs: tuple[str, str]) -> tuple[Statement, ...]:
    return tuple(Statement(key=k, value=v, where="README.md") for k, v in pairs)


def reference(answers: dict[str, str] | None = None) -> Scorecard:
    """Return the card; with ``answers``, as ``curator bom`` hands them over."""
    description = COMPOSITION.description.model_copy(
        update={
            "statements": said(
                ("description", "Summarises discharge letters for patients."), ("task", "text-generation"),
                ("approach", "supervised"),
                ("peft:r", "16"), ("peft:lora_alpha", "32"), ("peft:target_modules", "q_proj, v_proj"),
                ("peft:task_type", "CAUSAL_LM"),
                ("peft:peft_version", "0.21.2"), ("library", "peft"), ("uses", "Drafts for a clinician to check."),
                ("limitations", "English only; not for dosing."), ("ethics", "May repeat bias of the notes."),
                ("training", "One epoch."),
                ("hardware", "1 x H100"), ("metric", "rouge | discharge | 0.41"),
            )
        }
    )  # fmt: skip
    base = description.model_copy(
        update={
            "datasets": (),
            "tokenizer_files": ("tokenizer.json",),
            "statements": said(
                ("config:model_type", "llama"), ("config:architectures", "LlamaForCausalLM"), ("config:hidden_size", "576"),
                ("config:transformers_version", "5.23.0"), ("input", "text"), ("output", "text"), ("description", "A small model."),
            ),
        }
    )  # fmt: skip
    seen = BASE.model_copy(update={"created": "2025-02-01T00:00:00Z"})
    composition = COMPOSITION.model_copy(
        update={"description": description, "base_description": base, "base": seen, "lineage": (ANCESTOR,)}
    )
    data = Component(
        plugin="license-terms", type="dataset", name=DATA, version="c" * 39 + "1", relation="trained on", digest="5e" * 32,
        license_declared="cc-by-4.0", license_concluded="CC-BY-4.0",
        properties={"description": "Letters without names.", "rows": "120", "splits": "train", "columns": "text, summary"},
    )  # fmt: skip
    ancestor = Component(
        plugin="license-terms", type="ancestor", name=ANCESTOR.name, version=ANCESTOR.commit, license_declared="apache-2.0",
        license_concluded="Apache-2.0",
    )  # fmt: skip
    weakness = Finding(
        plugin="tokenizer-files", rule="bidirectional-token", severity=Severity.LOW, references=("CWE-1007",),
        message="A token holds a control that turns text around.", locations=(Location(path="tokenizer.json"),),
    )  # fmt: skip
    dossier = Dossier(
        composition=composition,
        checks=(*inspected(composition), *evaluated()),
        measurements=(*CLEAN, FORGETFUL[1].model_copy(update={"scope": "spelling"})),
        components=(*LICENSES[:2], data, ancestor),
        findings=(weakness,),
    )
    card = judged(dossier, {}, "approve: 5 rules passed")
    return card.model_copy(update={"settings": {**card.settings, **(answers or {})}})
