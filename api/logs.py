"""Logging, configured once: structlog to stderr, JSON unless a person is watching."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Send events to stderr.

    Args:
        level: debug, info, warning or error.
    """
    person = sys.stderr.isatty()
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever it is by then
    )
