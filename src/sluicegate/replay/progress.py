"""A bar on a terminal that shows how far a replay is; nothing where nobody looks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from sluicegate.replay.running import no_progress
from sluicegate.replay.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.replay.running import Progress

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(stream: IO[str]) -> Iterator[Progress]:
    """Give what is to be told of the progress; it draws on *stream* if that is a terminal, and is gone afterwards."""
    if not stream.isatty():
        yield no_progress
        return
    from rich.console import Console  # noqa: PLC0415 - an optional package, needed by this presentation alone
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(phase: str, done: int, total: int | None) -> None:
            bar.update(task, description=shown(phase), completed=done, total=total)

        yield show
