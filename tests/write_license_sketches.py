"""Write the sketches of license texts from a folder of texts; the texts themselves are never shipped.

    python -m tests.write_license_sketches FOLDER

FOLDER holds ``<key>.LICENSE`` files with a front matter, as ``licensedcode/data/licenses`` of scancode-toolkit-mini does. Where a
text has a part that people leave out or fill in (how to apply it, a preamble), the sketch is of what lies between the marks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from scanners._formats import tables
from scanners._licenses.texts import digest_of, fold, packed, shingles

#: Row of the license table → keys of the texts that are this license.
KEYS = {
    "apache-2.0": ["apache-2.0"], "mit": ["mit"], "bsd-2-clause": ["bsd-simplified"], "bsd-3-clause": ["bsd-new"],
    "bsd-3-clause-clear": ["clear-bsd"], "isc": ["isc"], "zlib": ["zlib"], "ncsa": ["uoi-ncsa"], "bsl-1.0": ["boost-1.0"],
    "ecl-2.0": ["ecl-2.0"], "afl-3.0": ["afl-3.0"], "artistic-2.0": ["artistic-2.0"], "ofl-1.1": ["ofl-1.1"],
    "unlicense": ["unlicense"], "cc0-1.0": ["cc0-1.0"], "pddl": ["pddl-1.0"], "openmdw-1.0": ["openmdw-1.0"],
    "cc-by-2.0": ["cc-by-2.0"], "cc-by-3.0": ["cc-by-3.0"], "cc-by-4.0": ["cc-by-4.0"], "cc-by-sa-3.0": ["cc-by-sa-3.0"],
    "cc-by-sa-4.0": ["cc-by-sa-4.0"], "cc-by-nc-3.0": ["cc-by-nc-3.0"], "cc-by-nc-4.0": ["cc-by-nc-4.0"],
    "cc-by-nc-sa-3.0": ["cc-by-nc-sa-3.0"], "cc-by-nc-sa-4.0": ["cc-by-nc-sa-4.0"], "cc-by-nd-4.0": ["cc-by-nd-4.0"],
    "cc-by-nc-nd-4.0": ["cc-by-nc-nd-4.0"], "odc-by": ["odc-by-1.0"], "odbl": ["odbl-1.0"],
    "cdla-sharing-1.0": ["cdla-sharing-1.0"], "cdla-permissive-1.0": ["cdla-permissive-1.0"],
    "cdla-permissive-2.0": ["cdla-permissive-2.0"], "c-uda": ["c-uda-1.0"], "gpl-2.0": ["gpl-2.0"], "gpl-3.0": ["gpl-3.0"],
    "agpl-3.0": ["agpl-3.0"], "lgpl-2.1": ["lgpl-2.1"], "lgpl-3.0": ["lgpl-3.0"], "mpl-2.0": ["mpl-2.0"], "epl-1.0": ["epl-1.0"],
    "epl-2.0": ["epl-2.0"], "eupl-1.1": ["eupl-1.1"], "eupl-1.2": ["eupl-1.2"], "osl-3.0": ["osl-3.0"], "ms-pl": ["ms-pl"],
    "bigscience-openrail-m": ["bigscience-open-rail-m"], "creativeml-openrail-m": ["stable-diffusion-2022-08-22"],
    "bigscience-bloom-rail-1.0": ["bigscience-rail-1.0"], "bigcode-openrail-m": ["bigcode-open-rail-m-v1"],
    "llama2": ["llama-2-license-2023"], "llama3.1": ["llama-3.1-license-2024"], "llama3.2": ["llama-3.2-license-2024"],
    "llama3.3": ["llama-3.3-license-2024"], "llama4": ["llama-4-cla-2025"],
    "gemma": ["gemma-tou-2025-03-24", "gemma-tou-2024-04-01"], "qwen": ["qwen-2024"], "tongyi-qianwen": ["tongyi-qianwen-2023"],
    "deepseek": ["deepseek-la-1.0"], "falcon-llm-license": ["falcon-2-11b-1.0"],
    "nvidia-open-model-license": ["nvidia-open-model-2025-04-28"], "stabilityai-ai-community": ["stability-ai-community-2024"],
    "flux-1-dev-non-commercial-license": ["flux-1-nc"], "exaone": ["exaone-ai-model-1.1-nc"],
    "tencent-hunyuan-community": ["tencent-hunyuan-3d-2.0-cla"],
    "fair-ai-public-license-1.0-sd": ["fair-ai-public-1.0-sd", "fair-ai-public-1.0"],
}  # fmt: skip
#: What people leave out: everything before the first mark, and from the second on.
_CUTS = (
    (r"", r"END OF TERMS AND CONDITIONS"),
    (r"(?=By exercising the Licensed Rights|THE WORK \(AS DEFINED BELOW\) IS PROVIDED)",
     r"Creative Commons (may be contacted|is not a party)"),
    (r"(?=Permission is hereby granted)", r"\Z"),
    (r"(?=Redistribution and use in source and binary)", r"\Z"),
)  # fmt: skip


def core(text: str) -> str:
    """Return the part of a text nobody leaves out."""
    for begin, end in _CUTS:
        start = re.search(begin, text) if begin else None
        if begin and start is None:
            continue
        at = start.end() if start else 0
        stop = re.search(end, text[at:])
        if not begin and stop is None:
            continue
        return text[at : at + stop.start()] if stop else text[at:]
    return text


def rows(folder: Path) -> list[dict[str, object]]:
    """Return a row for every text: license, key, digest of the whole, number of words and sketch of its core."""
    made: list[dict[str, object]] = []
    for license_id, keys in KEYS.items():
        for key in keys:
            text = re.sub(r"\A---\n.*?\n---\n", "", (folder / f"{key}.LICENSE").read_text(encoding="utf-8"), flags=re.DOTALL)
            words = fold(core(text)).split(" ")
            sketch = packed(shingles(words))
            made.append({"license": license_id, "key": key, "sha256": digest_of(fold(text)), "words": len(words), "sketch": sketch})
    return made


def main() -> int:
    """Write the table."""
    target = Path(str(tables.__file__)).with_name("license_texts.yaml")
    head = (
        "# Sketches of license texts (see scanners/_licenses/texts.py), written by tests/write_license_sketches.py; no text here.\n"
        "# Source: license texts in scancode-toolkit-mini 32.5.0, licensedcode/data/licenses/<key>.LICENSE.\n"
    )
    target.write_text(head + yaml.safe_dump({"texts": rows(Path(sys.argv[1]))}, sort_keys=False, width=200), encoding="utf-8")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
