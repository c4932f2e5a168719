"""Makes ``python -m sluicegate.cli`` the command, where no script is installed."""

from sluicegate.cli import main

main()
