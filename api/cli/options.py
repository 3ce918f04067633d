"""Options that several commands take, each with one name, one type and one help text."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from governance.context import EvaluationSettings


class Use(StrEnum):
    """What the model is wanted for."""

    RESEARCH = "research"
    INTERNAL = "internal"
    COMMERCIAL = "commercial"
    REDISTRIBUTE = "redistribute"
    OUTPUTS_ONLY = "outputs-only"


class Device(StrEnum):
    """Where models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Probe(StrEnum):
    """Effort of the backdoor probe."""

    FAST = "fast"
    OFF = "off"


BaseOption = Annotated[str | None, typer.Option(help="the base model, if not the one the adapter names", metavar="REF")]
PolicyOption = Annotated[str | None, typer.Option(help="a shipped policy's name, or a YAML file")]
UseOption = Annotated[Use | None, typer.Option(help="what you want it for; answers license questions")]
DomainOption = Annotated[str | None, typer.Option(help="your domain, e.g. medical")]
RegionOption = Annotated[str | None, typer.Option(help="where you are: EU, UK, or an ISO 3166 code")]
SuiteOption = Annotated[str, typer.Option(help="which tasks are measured; auto follows the card's domain")]
DataOption = Annotated[Path | None, typer.Option(help="folder of JSONL tasks with a manifest.json", exists=True, file_okay=False)]
LimitOption = Annotated[int | None, typer.Option(help="items for each task", min=1)]
ProbeOption = Annotated[Probe, typer.Option(help="effort of the backdoor probe")]
DeviceOption = Annotated[Device, typer.Option(help="where models run")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no progress")]


def measured(
    suite: str, data: Path | None, limit: int | None, device: Device, probe: Probe, tasks: list[str] | None = None
) -> EvaluationSettings:
    """Return what an audit measures, as the options say it."""
    return EvaluationSettings(
        suite=suite,
        tasks=tuple(tasks or ()),
        data=data.resolve() if data else None,
        limit=limit,
        device=device.value,
        probe="off" if probe is Probe.OFF else "fast",
    )
