"""A service to talk to: the application on a real server, with a handful of limits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from sluicegate import Limiter, NullLogger
from sluicegate.ratelimit.rules import parse_rules
from sluicegate.server import create_app
from tests.integrations.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.ratelimit.rules import Rules

RULES = parse_rules(
    """
    version: 1
    limits:
      api: {rate: 10/hour, algorithm: fixed_window, key: client_address}
      daily: {rate: 3/day, algorithm: calendar_quota, key: tenant}
      paced: {rate: 1/hour burst 4, key: user}
      closed: {rate: 10/hour, key: user, on_failure: closed}
      slots: {rate: 2, algorithm: concurrency, key: tenant, hold_seconds: 30}
      trial: {rate: 1/day, key: user, shadow: true}
    """
)
SECRET = b"a secret of thirty-two bytes or so"


@contextmanager
def service(limiter: Limiter | None = None, rules: Rules = RULES, **settings: Any) -> Iterator[httpx.Client]:
    """Yield a client of a service that decides with *limiter*, by default in memory."""
    app = create_app(
        limiter or Limiter(logger=NullLogger()), rules, **{"logger": NullLogger(), "secret": SECRET, **settings}
    )
    with served(app) as address, httpx.Client(base_url=f"http://{address}", timeout=10) as client:
        yield client
