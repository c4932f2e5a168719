"""The page of verbs says what the tests say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parent.parent.parent / "tools" / "verb_table.py"


def test_the_table_of_verbs_is_what_the_tests_say() -> None:
    """docs/verbs.md is made of the tests that are collected now."""
    checked = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
