"""The document says what the service does, and the page shows it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from sluicegate.server.openapi import openapi_document
from tests.server.service import RULES, service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import httpx

CHROMIUM = Path("/usr/bin/chromium")
EXAMPLES = 30  # for each operation: a few seconds in all

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its dependencies will mend
    import schemathesis
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance


LIMITS = {rule.limit.name: rule.limit for rule in RULES.limits}
DOCUMENT = schemathesis.openapi.from_dict(openapi_document(LIMITS, "0"))
OPERATIONS = {result.ok().label: result.ok() for result in DOCUMENT.get_all_operations()}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of one service."""
    with service() as client:
        yield client


def test_the_document_is_served(client: httpx.Client) -> None:
    """The service gives the document that it was made of, with the names of its limits."""
    assert client.get("/openapi.json").json()["paths"] == openapi_document(LIMITS, "0")["paths"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Acquire"]["properties"]["limit"]["enum"] == ["api", "daily", "paced", "closed", "trial"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_service_keeps_to_its_document(client: httpx.Client, label: str, mode: str) -> None:
    """What fits the document is answered as it says, and what does not fit is refused as it says."""
    asked = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=OPERATIONS[label].as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Any) -> None:
        # No document can say which ids are good.
        excluded = [positive_data_acceptance] if "id" in label.rpartition("/")[2] or "refund" in label else []
        asked.append(case.call_and_validate(base_url=str(client.base_url), excluded_checks=excluded).status_code)

    try:
        ask()
    except Unsatisfiable:
        assert mode == "negative"  # an operation that takes nothing cannot be asked wrongly
        return
    assert asked
