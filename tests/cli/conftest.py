"""What tests of the command share: a file of rules, and a service that decides by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import RULES, Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of rules."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES, "utf-8")
    return path


@pytest.fixture(scope="module")
def served(rules_file: Path) -> Iterator[Serving]:
    """One service for a module's tests."""
    with serving(rules_file, "--drain-delay", "0") as service:
        yield service
        service.terminate()
        assert service.ended() == 0
