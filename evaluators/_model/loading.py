"""Loads a base in four bits and its tokenizer. Used by ``evaluators._model.home`` alone.

Weights come from safetensors of pinned, verified files; nothing is fetched, and no code of a repository is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evaluators._model.device import Device
from governance.context import RunContext
from governance.errors import PrerequisiteError, SubjectError
from governance.subject import Composition, Subject

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: What the loaders raise for a model they cannot make sense of.
_TROUBLE = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, AssertionError)
_LIMIT = 400


def base_folder(composition: Composition, ctx: RunContext) -> Path:
    """Return the folder of the base, once it is sure that it can be loaded without running anything of it.

    Raises:
        PrerequisiteError: There is no base here, or none with safetensors.
        SubjectError: The base is itself an adapter.
    """
    base = composition.base
    if base is None:
        raise PrerequisiteError(composition.base_reason or "there is no base model", hint="name one: --base OWNER/NAME or a folder")
    if not any(f.present and f.path.endswith(".safetensors") for f in base.files):
        raise PrerequisiteError(
            f"{base} holds no safetensors here; weights in other formats are never loaded", hint="choose a base in safetensors"
        )
    if base.file("adapter_config.json") is not None:
        raise SubjectError(f"{base} is itself an adapter", hint="name the full model below it with --base")
    return ctx.store.folder(base)


def load_base(folder: Path, device: Device) -> PreTrainedModel:
    """Return the base in NF4 on the device, ready for forward passes.

    Args:
        folder: From ``base_folder``.
        device: From ``device.choose``.

    Raises:
        SubjectError: The library cannot make a causal language model of it.
        PrerequisiteError: Its architecture needs a package that is not installed.

    Source:
        Dettmers et al., QLoRA (arXiv 2305.14314), section 3: 4-bit NormalFloat.
    """
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=device.dtype)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=device.dtype,
            quantization_config=quantization,
            device_map={"": device.kind},
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except ImportError as error:
        raise PrerequisiteError(f"the base cannot be loaded: {str(error)[:_LIMIT]}") from error
    except _TROUBLE as error:
        raise SubjectError(f"the base cannot be loaded: {str(error)[:_LIMIT]}", hint="try it with transformers by hand") from error
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Its first forward pass repacks the weights in place, and attaching an adapter then unpacks them wrongly.
            module.support_avx512bf16_for_cpu = False
    if model.get_output_embeddings() is None:
        raise SubjectError("the base has no output embeddings: it is no causal language model")
    return model.eval().requires_grad_(False)


def load_tokenizer(composition: Composition, ctx: RunContext, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """Return the tokenizer that would be deployed: the adapter's own if it ships one, else the base's.

    Raises:
        SubjectError: It cannot be loaded, or it speaks of tokens the base has no embedding for.
    """
    from transformers import AutoTokenizer

    adapter, base = composition.adapter, composition.base
    own = any(Path(p).name in ("tokenizer.json", "tokenizer.model", "vocab.json") for p in composition.description.tokenizer_files)
    owner = adapter if own or base is None else base
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(ctx.store.folder(owner)), config=model.config, local_files_only=True, trust_remote_code=False
        )
    except (*_TROUBLE, ImportError) as error:
        raise SubjectError(f"the tokenizer of {owner} cannot be loaded: {str(error)[:_LIMIT]}") from error
    known = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) > known:
        raise SubjectError(
            f"the tokenizer of {owner} knows {len(tokenizer)} tokens, the base has embeddings for {known}",
            hint="the publisher has to ship the resized embeddings; adapters with resized embeddings are not measured",
        )
    template = _own_template(adapter, ctx)
    if template is not None:
        tokenizer.chat_template = template
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0
    return tokenizer


def share(model: PreTrainedModel) -> float:
    """Return the share of parameters held in four bits, in [0, 1]; embeddings and fused experts are not among them."""
    from bitsandbytes.nn import Params4bit

    packed = whole = 0
    for p in model.parameters():
        size = p.quant_state.shape.numel() if isinstance(p, Params4bit) and p.quant_state is not None else p.numel()
        whole += size
        packed += size if isinstance(p, Params4bit) else 0
    return packed / max(1, whole)


def _own_template(adapter: Subject, ctx: RunContext) -> str | None:
    """Return a chat template the adapter ships as a file of its own."""
    entry = adapter.file("chat_template.jinja")
    if entry is None or not entry.present or entry.size > ctx.limits.document_bytes:
        return None
    return ctx.store.path(adapter, entry.path).read_text(encoding="utf-8", errors="replace")
