"""What an adapter's repository is, decided from its files: an adapter alone, or something that brings the base's weights along.

Read by ``scanners.license_terms``; a tag that says otherwise is another scanner's finding.
"""

from __future__ import annotations

import re

from governance.context import RunContext
from governance.subject import Composition
from scanners._formats.tensors.safetensors import read_header
from scanners._licenses.lineage import Relation

_FULL_MODEL = re.compile(r"(\A|/)(model|pytorch_model|consolidated)[^/]*\.(safetensors|bin|pth|gguf)\Z|\.gguf\Z")
_ADAPTER = re.compile(r"(\A|/)(adapter_model|adapters|pytorch_lora_weights)[^/]*\.safetensors\Z")
_MERGE_RECIPE = re.compile(r"(\A|/)(mergekit_config|merge_config)\.ya?ml\Z", re.IGNORECASE)
#: Tensors a base has and an adapter has no reason to hold whole.
_OF_THE_BASE = re.compile(r"(embed_tokens|lm_head|wte|word_embeddings|embed_out|modules_to_save|base_layer)(\.default)?\.weight\Z")
#: Tensors adapters are made of, of whatever kind.
_SMALL = re.compile(r"lora|hada|lokr|ia3|vera|boft|oft_|prompt|magnitude|trainable_tokens|delta", re.IGNORECASE)


def relation(composition: Composition, ctx: RunContext) -> Relation:
    """Return what travels. An adapter file that holds whole tensors of the base counts as the base's weights."""
    adapter = composition.adapter
    paths = [f.path for f in adapter.files]
    if any(_MERGE_RECIPE.search(p) for p in paths):
        return "merge"
    if any(_FULL_MODEL.search(p) and not p.rsplit("/", 1)[-1].startswith("adapter") for p in paths):
        bases = {p.name.lower() for p in composition.description.parents if p.kind == "base"}
        full = not any(_ADAPTER.search(p) or p.endswith("adapter_config.json") for p in paths)
        return "merge" if full and len(bases) > 1 else "finetune"
    for entry in adapter.files:
        if entry.present and _ADAPTER.search(entry.path):
            header = read_header(adapter, entry.path, ctx)
            if any(_OF_THE_BASE.search(t.name) and not _SMALL.search(t.name) and len(t.shape) == 2 for t in header.tensors):
                return "finetune"
    return "adapter"
