"""The page at /docs: one file that loads nothing from anywhere but this service's own document."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

__all__ = ["docs_page"]


def docs_page() -> tuple[bytes, str]:
    """Return the page, and the content security policy under which it runs and nothing else does."""
    page = files("sluicegate.server").joinpath("docs.html").read_text("utf-8")
    script, style = _hash_of(page, "script"), _hash_of(page, "style")
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _hash_of(page: str, element: str) -> str:
    found = re.search(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
    assert found is not None  # the page is ours
    return "sha256-" + b64encode(sha256(found[1].encode()).digest()).decode()
