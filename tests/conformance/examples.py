"""Limits that the conformance tests share, one of each kind, with room for fractions of a microsecond."""

from __future__ import annotations

from sluicegate import Limit

# 7 a minute: a unit takes 8,571,428 and 4/7 microseconds.
RATED = {
    "gcra": Limit("rated", "7/minute"),
    "gcra_burst": Limit("rated", "3/minute burst 5"),
    "leaky_bucket": Limit("rated", "7/minute burst 3", algorithm="leaky_bucket"),
    "several": Limit("rated", "4/minute; 9/hour"),
    "fixed_window": Limit("rated", "7/minute", algorithm="fixed_window"),
    "fixed_several": Limit("rated", "4/minute; 9/hour", algorithm="fixed_window"),
    "sliding_window_counter": Limit("rated", "7/minute", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("rated", "7/minute", algorithm="sliding_window_log"),
    "log_several": Limit("rated", "4/minute; 9/hour", algorithm="sliding_window_log"),
    "calendar_quota": Limit("rated", "7/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
}
UPLOADS = Limit("uploads", "2", algorithm="concurrency", hold_seconds=60)
