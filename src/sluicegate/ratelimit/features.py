"""What a limiter does beyond the plain way, each to be switched off by itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Which of the advanced features are on; what is off is done the plain way.

    Decisions stay the same, but for what `carrying` is about.

    Attributes:
        leases: Whether limits with ``mode="leased"`` take units ahead; else they are asked for one by one.
        deny_cache: Whether denials are remembered; else each is asked for.
        coalescing: Whether requests that are alike travel once in a batch; else each by itself.
        carrying: Whether states on a server say which rule they are of, so that they can be carried over when a rate
            changes; else a state is read as it stands. Versions that do not know such states cannot read them: so it
            is off while one of them runs. What is on a server already is understood in any case.
        changes: Whether bans and overrides that other processes make are heard of, which costs a command every few
            seconds and a connection; else only once this process has made one. What it knows stays in force. In
            memory there are no others.
    """

    leases: bool = True
    deny_cache: bool = True
    coalescing: bool = True
    carrying: bool = True
    changes: bool = False
