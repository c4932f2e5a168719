"""The command `sluicegate`: every verb from a shell, each with an exit code that a script can act on.

Exit codes: 0 allowed, or done; 1 denied; 2 refused, because an argument, a file or a setting is wrong;
3 nobody has counted, because the service or the store is away; 70 the command failed by itself;
130 interrupted; 141 whoever read the output left.
"""

from __future__ import annotations

import sys

from sluicegate.cli.exits import REFUSED

__all__ = ["main"]


def main() -> None:
    """Run the command, and end the process with its exit code."""
    try:
        from sluicegate.cli.commands import run  # noqa: PLC0415 - so that what is missing can be said
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write(f"error: {error.name} is not installed; accepted: pip install 'sluicegate[cli]'\n")
        sys.exit(REFUSED)
    sys.exit(run())
