"""The naive oracle: slow, obviously right models of every algorithm, to judge both twins by.

Nothing here shares a line with the twins. Time is exact (`Fraction`), admissions are kept in lists,
and waits are searched for by asking the model itself, never trusted from a formula.
"""

from .group import Group, Member
from .holders import UNKNOWN, Holders
from .judge import NEVER, Answer, Model, Oracle, earliest_wait
from .limits import Kept
from .log import sliding_window_log
from .paced import gcra, leaky_delay_us
from .windows import calendar_quota, fixed_window, sliding_window_counter

__all__ = [
    "NEVER",
    "UNKNOWN",
    "Answer",
    "Group",
    "Holders",
    "Kept",
    "Member",
    "Model",
    "Oracle",
    "calendar_quota",
    "earliest_wait",
    "fixed_window",
    "gcra",
    "leaky_delay_us",
    "sliding_window_counter",
    "sliding_window_log",
]
