"""Every error the curator raises on purpose; one level below ``CuratorError``, each with a hint that says what to do.

    CuratorError
    ├── SubjectError        the reference or its files cannot be audited as they are
    ├── LimitError          a ceiling was reached
    ├── PolicyError         a policy document is wrong
    ├── PluginError         a plug-in broke its contract
    ├── PrerequisiteError   something has to be installed or given first
    ├── IsolationError      a child process cannot be isolated as required
    ├── LedgerError         the ledger cannot be read or written
    ├── SignatureError      a signature does not hold
    └── Cancelled           the caller ended the audit

``api.outcomes`` maps each of them to an exit code and an HTTP status, once.
"""

from __future__ import annotations


class CuratorError(Exception):
    """Base of all expected errors.

    Args:
        message: What is wrong, in one sentence.
        hint: What the reader can do about it; empty if nothing is known to help.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SubjectError(CuratorError):
    """The reference cannot be resolved, or its files are not what an audit needs."""


class LimitError(CuratorError):
    """A ceiling of ``Limits`` was reached.

    Args:
        message: What grew too large.
        limit: The ceiling, in the unit of the message.
        actual: The value that was met, in the same unit.
        hint: What to raise, or what to leave out.
    """

    def __init__(self, message: str, *, limit: float, actual: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit
        self.actual = actual


class PolicyError(CuratorError):
    """A policy document cannot be used.

    Args:
        message: What is wrong, one or more lines, each with its place.
        hint: What to write instead.
        line: One-based line in the document, or None.
        column: One-based column in that line, or None.
    """

    def __init__(self, message: str, *, hint: str = "", line: int | None = None, column: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column


class PluginError(CuratorError):
    """A plug-in is malformed, died, or said something it had not declared."""


class PrerequisiteError(CuratorError):
    """Something is missing that the user can provide; the hint holds the exact command."""


class IsolationError(CuratorError):
    """A child process cannot be cut off as required."""


class LedgerError(CuratorError):
    """The ledger cannot be opened, read or written."""


class SignatureError(CuratorError):
    """A signature or an envelope does not hold."""


class Cancelled(CuratorError):  # noqa: N818 - an outcome, not a fault
    """The caller asked for the audit to end."""
