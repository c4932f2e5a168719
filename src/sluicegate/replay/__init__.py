"""What a web server's log would have met: rules tried on requests that were really made."""

from sluicegate.replay.command import columns_of, run_replay
from sluicegate.replay.formats import LOG_FORMATS, LogFormat
from sluicegate.replay.page import page
from sluicegate.replay.report import Report, RuleReport
from sluicegate.replay.running import replay

__all__ = ["LOG_FORMATS", "LogFormat", "Report", "RuleReport", "columns_of", "page", "replay", "run_replay"]
