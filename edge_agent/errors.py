"""Errors that say who is at fault, and carry the data. Each docstring says what the error means and who acts on it."""

from __future__ import annotations


class AgentError(Exception):
    """Root of all errors that the agent expects."""


class LinkDown(AgentError):
    """The port is gone or the line carries nothing: not the board's fault. The bus reopens the port by itself."""

    def __init__(self, port: str, reason: str) -> None:
        super().__init__(f"{port}: {reason}")
        self.port = port
        self.reason = reason


class BoardSilent(AgentError):
    """The board did not answer in time. Whether it heard the request is unknown."""

    def __init__(self, board: str, request: str, waited_ms: int) -> None:
        super().__init__(f"{board}: no answer to {request} within {waited_ms} ms")
        self.board = board
        self.request = request
        self.waited_ms = waited_ms


class BoardMisbehaved(AgentError):
    """The board answered, but not what its protocol allows; carries the bytes."""

    def __init__(self, board: str, request: str, expected: str, raw: bytes) -> None:
        super().__init__(f"{board}: answer to {request}: expected {expected}, got {raw.hex(' ')}")
        self.board = board
        self.request = request
        self.raw = raw


class NeverSent(AgentError):
    """Root of all errors which prove that the request never left this computer: the board cannot have acted on it."""


class PortClosed(NeverSent, LinkDown):
    """The port was gone before the request could be sent."""


class Withheld(NeverSent):
    """The board could not be shown to be the right one and ready, so nothing was asked of it; `__cause__` says why."""

    def __init__(self, board: str, request: str, why: str) -> None:
        super().__init__(f"{board}: {request} was held back: {why}")
        self.board = board
        self.request = request


class BreakerOpen(NeverSent):
    """The board was silent too often and is left alone until its next probe."""

    def __init__(self, board: str, retry_in_ms: int) -> None:
        super().__init__(f"{board}: silent, next probe in {retry_in_ms} ms")
        self.board = board
        self.retry_in_ms = retry_in_ms


class DeadlinePassed(NeverSent):
    """The request waited beyond its deadline."""

    def __init__(self, board: str, request: str) -> None:
        super().__init__(f"{board}: {request} was not sent, its deadline passed in the queue")
        self.board = board
        self.request = request


class Refused(AgentError):
    """The machine will not do what was asked; `reason` is a word of the protocol, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class LedgerDamaged(AgentError):
    """The ledger file fails its integrity check. It is kept aside, and a new epoch begins."""

    def __init__(self, path: str, findings: str) -> None:
        super().__init__(f"{path}: {findings}")
        self.path = path
        self.findings = findings


class LedgerRefused(AgentError):
    """The ledger file must not be used by this process: held by another, written by newer software, another machine's.

    The message says what to do. Nothing was changed.
    """


class LedgerUnsafe(AgentError):
    """The disk failed to make a write durable (EIO, read-only). The process must stop; a retry would lie."""


class DiskShort(AgentError):
    """Free space is at the reserve: nothing new is begun, outcomes of what has begun still fit."""

    def __init__(self, path: str, free_bytes: int, reserve_bytes: int) -> None:
        super().__init__(f"{path}: {free_bytes} bytes free, {reserve_bytes} are kept for outcomes: free some space")
        self.path = path
        self.free_bytes = free_bytes
        self.reserve_bytes = reserve_bytes


class SettingsWrong(AgentError):
    """The settings file cannot be used; names the file, the key, the value and what was expected."""
