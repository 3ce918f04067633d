"""Which adapters are measured and how, and which fields of their configurations reach PEFT. Read by ``evaluators._model.adapter``.

Source:
    PEFT 0.21.2, the configuration classes and the forward passes of its tuners.
"""

from __future__ import annotations

from dataclasses import dataclass

_FEATURES = "convert it to a plain LoRA (PEFT: peft.convert_to_lora), or merge it and audit the full model"
MERGE = "merge the adapter and audit the full model against its base"


@dataclass(frozen=True)
class Kind:
    """One type of adapter.

    Attributes:
        dense: Its forward pass reads the weights of the layers it changes; PEFT cannot read packed four-bit ones, so these
            layers hold the same values unpacked while the adapter is in place.
        refusal: Why it is not measured; empty: it is.
        hint: What to do then.
        default: Value that has to be given to PEFT in place of the file's, by field.
    """

    dense: bool = False
    refusal: str = ""
    hint: str = MERGE
    default: tuple[tuple[str, object], ...] = ()


_PROMPT = Kind(
    refusal="it puts learned positions in front of every text, and rows that share a prefix or are packed have no room for them",
    hint="audit a LoRA of the same training",
)
_SINGULAR = Kind(
    refusal="it is expressed in singular vectors of the unquantized base, which the four-bit base does not have",
)
_DENSE = Kind(dense=True)
_PLAIN = Kind()

#: By ``peft_type``. A type that is not here is unknown to this version.
KINDS = {
    "LORA": _PLAIN, "ADALORA": _PLAIN, "HIRA": _PLAIN, "IA3": _PLAIN, "RANDLORA": _PLAIN, "ROAD": _PLAIN, "PVERA": _PLAIN,
    "LN_TUNING": _PLAIN, "TRAINABLE_TOKENS": _PLAIN,
    "BEFT": _DENSE, "BOFT": _DENSE, "C3A": _DENSE, "DELORA": _DENSE, "FOURIERFT": _DENSE, "GLORA": _DENSE, "GRALORA": _DENSE,
    "HRA": _DENSE, "LILY": _DENSE, "LOHA": _DENSE, "LOKR": _DENSE, "MISS": _DENSE, "OFT": _DENSE, "PEANUT": _DENSE,
    "SHIRA": _DENSE, "SUPERTUNING": _DENSE, "UNILORA": _DENSE, "VBLORA": _DENSE, "VERA": _DENSE, "WAVEFT": _DENSE,
    "DEFT": _DENSE,
    "OSF": _SINGULAR, "PSOFT": _SINGULAR, "ADAMSS": _SINGULAR, "FROD": _SINGULAR, "TINYLORA": _SINGULAR,
    "PROMPT_TUNING": _PROMPT, "MULTITASK_PROMPT_TUNING": _PROMPT, "P_TUNING": _PROMPT, "PREFIX_TUNING": _PROMPT,
    "CPT": _PROMPT, "CARTRIDGE": _PROMPT,
    "ADAPTION_PROMPT": Kind(
        refusal="its attention layers compute positions of their own, which do not follow packed rows",
        hint="audit a LoRA of the same training",
    ),
    "POLY": Kind(refusal="it answers differently for each task number, which a deployment has to choose", hint=_FEATURES),
    "XLORA": Kind(
        refusal="it mixes other adapters, named by their paths, anew for each text", hint="audit the adapters it mixes one by one"
    ),
    "SHADOW": Kind(refusal="it runs a second network beside the base, layer by layer"),
}  # fmt: skip

#: Fields that shape the forward pass, over all types; a type gets those its class knows.
SHAPING = frozenset({
    "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "bias",
    "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "lora_bias", "target_parameters",
    "trainable_token_indices", "ensure_weight_tying", "target_r", "init_r", "total_step", "tinit", "tfinal", "alpha",
    "feedforward_modules", "projection_prng_key", "save_projection", "sparse", "very_sparse", "randlora_alpha", "variant",
    "group_size", "token_indices", "boft_block_size", "boft_block_num", "boft_n_butterfly_factor", "block_size",
    "block_size_pattern", "delora_lambda", "lambda_pattern", "n_frequency", "scaling", "random_loc_seed", "n_frequency_pattern",
    "config_A_B", "config_C", "config_D_E", "hybrid_r", "gralora_k", "apply_GS", "stride_A", "num_B", "use_effective_conv2d",
    "decompose_both", "decompose_factor", "mini_r", "oft_block_size", "coft", "eps", "block_share", "use_cayley_neumann",
    "num_cayley_neumann_terms", "depth", "act_fn", "sparsity", "select_top", "save_precomputed_indices", "proj_seed",
    "theta_d_length", "save_indices", "num_vectors", "vector_length", "topk", "save_only_topk_weights", "wavelet_family",
    "use_idwt", "proportional_parameters", "decomposition_method", "para", "d_initial", "mask_type", "random_seed",
    "init_scale",
})  # fmt: skip
#: Without influence on a forward pass of finished weights: where a training began, what it dropped, how it was driven.
HARMLESS = frozenset({
    "peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
    "megatron_core", "loftq_config", "corda_config", "eva_config", "lora_ga_config", "qalora_group_size", "runtime_config",
    "unsloth_fixed", "deltaT", "beta1", "beta2", "orth_reg_weight", "progressbar", "init_v_bound", "init_theta_d_bound",
    "init_vector_bank_bound", "init_logits_std", "rank_dropout_scale", "generator_seed",
    "init_lora_weights", "init_weights", "init_ia3_weights",
    "lora_dropout", "boft_dropout", "deft_dropout", "module_dropout", "gralora_dropout", "hira_dropout", "rank_dropout",
    "miss_dropout", "pvera_dropout", "randlora_dropout", "unilora_dropout", "vblora_dropout", "vera_dropout",
})  # fmt: skip
#: Starting points that leave the base's weights as they are; others subtract from them.
INITIAL = (None, True, False, "gaussian", "orthogonal", "eva")
#: Starting points of MiSS that name another forward pass.
INITIAL_MISS = ("bat", "mini")
