"""One application for many tests: building it, with its hundreds of routes, takes longer than most of them."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI

from cloud.app import build_app
from cloud.facades.dialect import Parts


class _OnStage:
    """Whatever parts the test at hand has; the application asks for them request by request."""

    parts: Parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts, name)


_STAGES: dict[str, tuple[FastAPI, _OnStage]] = {}


def app_of(parts: Parts) -> FastAPI:
    """The application as `build_app` makes it, over `parts`, until it is asked for over others."""
    hosts = parts.settings.hosts
    if hosts not in _STAGES:
        stage = _OnStage()
        stage.parts = parts
        _STAGES[hosts] = build_app(cast(Parts, stage)), stage
    app, stage = _STAGES[hosts]
    stage.parts = parts
    return app
