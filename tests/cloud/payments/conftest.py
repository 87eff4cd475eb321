"""A counter at which somebody pays."""

from __future__ import annotations

import pytest

from cloud.database import Database
from tests.cloud.payments.counter import Counter, open_counter


@pytest.fixture
async def counter(database: Database) -> Counter:
    """A tenant, a member, a till."""
    return await open_counter(database)
