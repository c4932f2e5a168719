"""The public surface: small, listed, and changed only on purpose."""

from __future__ import annotations

from tools.public_names import LISTING, listing

import sluicegate


def test_the_public_names_are_the_listed_ones() -> None:
    """The checked-in list of public names is what the package offers; `make names` writes it anew."""
    assert listing().splitlines() == LISTING.read_text("utf-8").splitlines()


def test_the_root_offers_few_names() -> None:
    """The root package offers about thirty names: limiters, limits, decisions, and the error tree."""
    assert len(sluicegate.__all__) <= 35
    assert all(hasattr(sluicegate, name) for name in sluicegate.__all__)
