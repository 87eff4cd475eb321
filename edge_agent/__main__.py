"""`python -m edge_agent --settings FILE`: run the agent of one machine, or check its settings."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_agent import agent, logs, settings
from edge_agent.errors import AgentError, LedgerRefused, SettingsWrong
from shared.clock import SystemClock

# sysexits.h: what service managers and scripts expect. 78: the settings are wrong, a restart will not help.
EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69
EXIT_FAILURE = 1

DEFAULT_SETTINGS = Path("/etc/aisleflow/agent.toml")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="aisleflow-agent", description="The agent of one machine.")
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="read the settings, print what is in effect, and end")
    asked = parser.parse_args(arguments)
    try:
        found = settings.load(asked.settings)
        if asked.check:
            settings.read_keys(found)
            print(settings.describe(found))
            return 0
        logs.set_up(found.log.level, found.log.format)
        asyncio.run(_run(found))
    except (AgentError, ExceptionGroup) as failed:
        return _explain(failed)
    return 0


def _explain(failed: AgentError | ExceptionGroup[Exception]) -> int:
    """Say what went wrong and what to do; a bug among the errors is raised with its traceback."""
    errors: list[AgentError] = [failed] if isinstance(failed, AgentError) else []
    if isinstance(failed, ExceptionGroup):
        expected, bugs = failed.split(AgentError)
        if bugs is not None:
            raise bugs
        errors = list(_leaves(expected))
    for error in errors:
        print(f"aisleflow-agent: {error}", file=sys.stderr)
    if any(isinstance(error, SettingsWrong) for error in errors):
        return EXIT_CONFIG
    return EXIT_UNAVAILABLE if any(isinstance(error, LedgerRefused) for error in errors) else EXIT_FAILURE


def _leaves(group: BaseException | None) -> Iterator[AgentError]:
    if isinstance(group, AgentError):
        yield group
    elif isinstance(group, ExceptionGroup):
        for inner in group.exceptions:
            yield from _leaves(inner)


async def _run(found: settings.Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await agent.run(found, SystemClock(), stop)


if __name__ == "__main__":
    sys.exit(main())
