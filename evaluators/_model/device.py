"""Where a model is run and by which kernels, as data. Made by ``evaluators._model.resident``; part of every model key."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from governance.context import cpu_count
from governance.errors import PrerequisiteError

if TYPE_CHECKING:
    import torch

#: Libraries without which nothing can be measured, and whose version changes what is measured.
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "safetensors", "lm-eval")


@dataclass(frozen=True)
class Device:
    """One device and the numerics it is used with.

    Attributes:
        kind: ``cuda`` or ``cpu``.
        name: What the device calls itself; for people, no part of a key.
        compute: The number format matrices are multiplied in.
        token_budget: Tokens, padding included, that one forward pass takes.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    compute: Literal["bfloat16", "float32"]
    token_budget: int

    @property
    def dtype(self) -> torch.dtype:
        """The compute format as torch names it."""
        import torch

        return torch.bfloat16 if self.compute == "bfloat16" else torch.float32

    @property
    def kernel_path(self) -> str:
        """Device kind, format and kernels: two runs with the same text are numerically comparable."""
        return f"{self.kind}, nf4 weights, {self.compute} arithmetic, sdpa attention"


def versions() -> dict[str, str]:
    """Return the version of each library measurements depend on.

    Raises:
        PrerequisiteError: One of them is not installed.
    """
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise PrerequisiteError(f"{name} is not installed", hint="pip install 'model-curator[eval]'") from None
    return found


def choose(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return the device to use.

    Args:
        wanted: ``auto`` takes CUDA if there is one.

    Raises:
        PrerequisiteError: CUDA was asked for and is not here, or a library is missing.
    """
    versions()
    import torch

    if wanted != "cpu" and torch.cuda.is_available():
        exact = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return Device("cuda", torch.cuda.get_device_name(0), "bfloat16" if exact == "bfloat16" else "float32", 8192)
    if wanted == "cuda":
        raise PrerequisiteError("no CUDA device is here", hint="leave --device on auto, or install a CUDA build of torch")
    torch.set_num_threads(cpu_count())
    # Without its instructions bfloat16 is emulated and slower than float32.
    fast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return Device("cpu", f"{cpu_count()} processors", "bfloat16" if fast else "float32", 1024)
