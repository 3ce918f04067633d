"""Entry point of the inspection child: answers ``describe`` and ``plugin`` jobs. Nothing else parses a subject's bytes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import scanners
from governance.confinement import REACHED
from governance.context import RunContext
from governance.contracts import Said, Scanner
from governance.errors import PluginError
from governance.plugins import discover
from governance.subject import Description
from governance.wire import Job, serve
from scanners._formats.claims.description import describe

#: Imported as soon as the child starts, while its parent is still listing files.
PLUGINS = discover(scanners, Scanner)


def handle(job: Job, ctx: RunContext) -> Iterator[Said | Description]:
    """Do one job."""
    if job.task == "describe" and job.subject is not None:
        yield describe(job.subject, ctx)
    elif job.task == "plugin" and job.composition is not None:
        yield from PLUGINS[job.plugin].scan(job.composition, ctx)
    else:
        raise PluginError(f"a {job.task} job without its subject")


if __name__ == "__main__":
    gc.set_threshold(100_000, 50, 100)  # a header of 300,000 tensors lives long, and walking it again and again took half the time
    serve(handle, isolation=os.environ.get(REACHED, ""))  # noqa: TID251 - told by governance.confinement
