"""Entry point of the device worker: holds one base model and answers ``plugin`` jobs of evaluators.

Started by ``api.executors`` through ``governance.confinement``, which has taken the network away before anything here runs.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator

import evaluators
from governance.confinement import REACHED
from governance.context import RunContext
from governance.contracts import Evaluator, Said
from governance.errors import PluginError
from governance.plugins import discover
from governance.wire import Job, serve

#: Read by libraries as they are imported: nothing asks a Hub for kernels, metrics or scripts; and threads that wait sleep,
#: because spinning ones make a pass up to ten times slower as soon as anything else runs on the machine.
_SETTINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def handle(job: Job, ctx: RunContext) -> Iterator[Said]:
    """Do one job."""
    if job.task != "plugin" or job.composition is None:
        raise PluginError(f"a {job.task} job is not for the device worker")
    yield from discover(evaluators, Evaluator)[job.plugin].measure(job.composition, ctx)


def prepare() -> None:
    """Set what libraries read at import time, and keep their chatter out of the log."""
    os.environ.update(_SETTINGS)  # noqa: TID251 - the libraries below read nothing else
    logging.basicConfig(level=logging.WARNING)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    prepare()
    serve(handle, isolation=os.environ.get(REACHED, ""))  # noqa: TID251 - told by governance.confinement
