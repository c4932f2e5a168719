"""A limit: a named rule that users write once, compiled once into the whole numbers that decide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sluicegate.ratelimit.algorithms import ALGORITHMS, CALENDAR, CONCURRENCY, LOG, Algorithm
from sluicegate.ratelimit.algorithms.exact import EXACT_MAX
from sluicegate.ratelimit.ban_rule import BanRule
from sluicegate.ratelimit.calendar import CalendarPeriod
from sluicegate.ratelimit.plan import BESIDE, Plan, plain_of
from sluicegate.ratelimit.rate import RATES_MAX, Rate
from sluicegate.utils import InvalidInputError, checked_name, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

__all__ = ["Limit"]

ON_FAILURE = ("closed", "open")
MODES = ("strict", "leased")
WAYS = ("keep", "proportional", "additive", "reset")  # as algorithms.carrying numbers them
TAKEN_OVER_US = 60_000_000  # a fleet has read a file by then, and what is in use was asked for
GROUP_PARTS_MAX = 8  # as many as a rule may count by
_OPTIONS = (
    "algorithm",
    "mode",
    "on_failure",
    "critical",
    "shadow",
    "candidate",
    "beside",
    "time_zone",
    "anchor",
    "hold_seconds",
    "lease_seconds",
    "group",
    "on_change",
    "ban",
)
_CALENDAR_UNITS = ("day", "week", "month", "year")
_PREFIX_SAFE = "!$&'()*+,/;=?@ "  # not ':', which separates, nor braces, which would move a slot
_CANDIDATE = "|candidate"  # no name that is quoted has a bar in it, so no other limit has this state
_SHORTER_DAY_US = 2 * 3_600_000_000  # no zone's clocks are put forward by more
_HOLD_SECONDS_MAX = 86_400.0  # a holder that died must not block a unit for longer than a day
_LEASE_SECONDS_MAX = 60.0  # it widens the bound of a leased limit


@dataclass(frozen=True, slots=True)
class Limit:
    """A named rule; immutable.

    Args:
        name: The limit's name, 1 to 64 characters; limits of one name share their state.
        rate: ``100/minute``, ``10 per 5 seconds burst 3``, several joined by ``;``, a `Rate`, or
            several; for ``concurrency`` the number of holders. Note that a burst-less
            ``100/minute`` admits up to 199 in the first minute under ``gcra``: see `most_in`.
        algorithm: ``gcra`` (default), ``token_bucket`` and ``leaky_bucket`` (the same arithmetic),
            ``fixed_window``, ``sliding_window_counter``, ``sliding_window_log`` (limits up to
            10,000), ``calendar_quota`` or ``concurrency``.
        mode: ``strict`` (default), or ``leased``: where the state is in Redis, units are taken ahead and spent
            in this process, so that nearly every decision is made without the network. Windows stay exact;
            see `most_in` for the others. Not for ``concurrency``.
        on_failure: What answers when the store cannot: ``closed`` denies, ``open`` allows.
            Default: ``closed`` where *critical*, else ``open``.
        critical: Whether letting a request pass undecided is worse than denying it.
        shadow: Whether to decide and count, but never deny.
        candidate: Whether it is what another limit of its name is to become. It keeps a state of its own, so that both
            can be asked for one key.
        beside: For a shadow in `acquire_all`: whether to decide as if it stood in the place of the limit named right
            before it, and to count whether the two agree. That one's denial then does not keep it from counting.
        time_zone: For ``calendar_quota``: the IANA zone in which days begin. Default ``UTC``.
        anchor: For ``calendar_quota``: a date (or local date and time, or the text of either) on
            which a period begins, such as a billing day. Default: the calendar's own beginnings.
        hold_seconds: For ``concurrency``: seconds after which a holder that died loses its unit,
            from 0.1 to 86,400. Default 60.
        lease_seconds: For ``leased``: seconds after which units taken ahead are not spent any more,
            from 0.05 to 60. Default 1.
        group: How many of a key's first parts, separated by colons, decide where on a Redis Cluster its state lies,
            from 0 (default, the whole key) to 8. What is decided together must lie together: with ``group=1`` the
            state of ``acme:ann`` lies beside that of ``acme``. Another group is another place, where keys begin anew.
        on_change: How a key's state is carried over when the limit gets another rate: ``keep`` what remains (up to the
            new limit), ``proportional`` to the limits, ``additive`` (what was taken stays taken), or ``reset``. With
            it each state says which rule it is of, at some fifty bytes a key. Default ``None``: ``keep`` where the
            change is known (see `changed_from`), else a state is read as it stands, which is proportional for
            ``gcra`` and additive for windows. Not for ``sliding_window_log`` and ``concurrency``, whose entries stay.
        ban: When a key that is denied again and again is banned under this limit. Default: never.

    Raises:
        InvalidInputError: A value is refused, or does not go with the algorithm.
    """

    name: str
    rate: str | int | Rate | Sequence[Rate]
    algorithm: str = field(default="gcra", kw_only=True)
    mode: str = field(default="strict", kw_only=True)
    on_failure: str | None = field(default=None, kw_only=True)
    critical: bool = field(default=False, kw_only=True)
    shadow: bool = field(default=False, kw_only=True)
    candidate: bool = field(default=False, kw_only=True)
    beside: bool = field(default=False, kw_only=True)
    time_zone: str = field(default="UTC", kw_only=True)
    anchor: date | str | None = field(default=None, kw_only=True)
    hold_seconds: float = field(default=60.0, kw_only=True)
    lease_seconds: float = field(default=1.0, kw_only=True)
    group: int = field(default=0, kw_only=True)
    on_change: str | None = field(default=None, kw_only=True)
    ban: BanRule | None = field(default=None, kw_only=True)
    rates: tuple[Rate, ...] = field(init=False, repr=False, compare=False)
    before: Limit | None = field(init=False, default=None, repr=False, compare=False)
    plan: Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "name", checked_name(self.name, "limit name"))
        if not isinstance(self.algorithm, str) or self.algorithm not in ALGORITHMS:
            raise InvalidInputError("algorithm", shape_of(self.algorithm), ", ".join(ALGORITHMS))
        if self.on_failure is None:
            set_(self, "on_failure", "closed" if self.critical else "open")
        elif self.on_failure not in ON_FAILURE:
            raise InvalidInputError("on_failure", shape_of(self.on_failure), " or ".join(ON_FAILURE))
        self._check_truths()
        self._check_options()
        algorithm = ALGORITHMS[self.algorithm]
        self._check_change(algorithm)
        if algorithm.kind != CALENDAR and (self.time_zone != "UTC" or self.anchor is not None):
            raise InvalidInputError(
                "time_zone or anchor", f"algorithm {self.algorithm}", "them only for calendar_quota"
            )
        if algorithm.kind == CONCURRENCY:
            if self.mode != "strict":
                raise InvalidInputError("mode", shape_of(self.mode), "strict for concurrency, whose units are held")
            set_(self, "rates", ())
            set_(self, "plan", self._concurrency_plan(algorithm))
        else:
            set_(self, "rates", self._checked_rates(algorithm))
            set_(self, "plan", self._rate_plan(algorithm))

    def most_in(self, seconds: float) -> int:
        """Return the most units that any interval of *seconds* can admit, the ends half open.

        For ``gcra`` that is the burst and what is paid for meanwhile; for windows the limit times
        the windows that the interval can touch (for ``sliding_window_counter`` an upper bound). A
        ``leased`` limit, unless it counts in windows, may admit later what it took within the last
        `lease_seconds`: as much as the strict one in an interval that is longer by that.

        Args:
            seconds: The interval's length in seconds, from 0.000001.
        """
        checked_seconds(seconds, "seconds", at_least=0.000001, at_most=1e9)
        span_us = round(seconds * 1_000_000)
        kind = self.plan.algorithm.kind
        if kind == CONCURRENCY:
            return self.plan.capacity
        if not self.plan.algorithm.windowed:  # of windows a lease is spent inside
            span_us += self.plan.lease_us
        if self.plan.algorithm.takes_burst:
            return min(rate.capacity - (-span_us * rate.limit // rate.period_us) - 1 for rate in self.rates)
        if kind == LOG:
            return min(rate.limit * -(-span_us // rate.period_us) for rate in self.rates)
        shorter_us = _SHORTER_DAY_US if kind == CALENDAR else 0
        return min(rate.limit * (1 - (-(span_us - 1) // (rate.period_us - shorter_us))) for rate in self.rates)

    def changed_from(self, before: Limit, *, at: float | None = None) -> Limit:
        """Return this limit as one that took the place of *before*: states that do not say otherwise are of that one.

        They are carried over as `on_change` says, by default ``keep``. From then on states say which rule they are of,
        so that others that still decide by *before* keep what remains as well, and nobody gains by the two of them
        taking turns.

        Args:
            before: A limit of the same name whose state it takes over.
            at: The time of the change in seconds since the epoch, where others that know nothing of it may already
                decide by this limit: then states that do not say otherwise are of *before* for a minute only, and
                later are read as they stand. Default: for ever.

        Raises:
            InvalidInputError: *before* has another name, algorithm or group, or no state that could be carried over.
        """
        if type(before) is not Limit:
            raise InvalidInputError("before", shape_of(before), "a Limit")
        if before.plan.prefix != self.plan.prefix or before.group != self.group:
            raise InvalidInputError("before", str(before), f"a limit that shares its state with {self}")
        if not self.plan.algorithm.carries:
            raise InvalidInputError("limit", self.algorithm, "an algorithm whose state can be carried over")
        now_us = 0 if at is None else round(at * 1_000_000)
        until_us = EXACT_MAX if at is None else now_us + TAKEN_OVER_US
        origin = before
        if before.before is not None and before.plan.was is not None and now_us < before.plan.was[2]:
            origin, until_us = before.before, min(until_us, before.plan.was[2])
        is_own = origin.plan.marks or origin.plan.tag == self.plan.tag
        return _marking(_restored(*self._identity()), None if is_own else origin, until_us)

    def without_ban(self) -> Limit:
        """Return the same limit, which bans nobody."""
        bare = _restored(*self._identity())
        for name, value in (("ban", None), ("before", self.before), ("plan", self.plan)):
            object.__setattr__(bare, name, value)
        return bare

    def decides_like(self, other: Limit) -> bool:
        """Say whether *other*, of the same name, is the same rule and enforced in the same way."""
        own, others = self.plan, other.plan
        return (own.tag, own.shadow, own.lease_us, self.on_failure) == (
            others.tag,
            others.shadow,
            others.lease_us,
            other.on_failure,
        )

    def __str__(self) -> str:
        rates = "; ".join(str(rate) for rate in self.rates) or str(self.plan.capacity)
        return f"{self.name} ({rates} {self.algorithm})"

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if type(other) is Limit else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled parts hold functions; a copy in another process compiles its own.
        if not self.plan.marks or (self.before is None and self.on_change is not None):
            return _restored, self._identity()
        return _restored, (*self._identity(), self.before, self.plan.was and self.plan.was[2])

    def _check_truths(self) -> None:
        for name in ("critical", "shadow", "candidate", "beside"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInputError(name, shape_of(getattr(self, name)), "True or False")
        if self.beside and not self.shadow:
            raise InvalidInputError("beside", "a limit that is enforced", "it only for a shadow")

    def _identity(self) -> tuple[Any, ...]:
        """Return what it is made of, however its rate was written."""
        options = tuple(getattr(self, name) for name in _OPTIONS)
        return self.name, self.rates or self.plan.capacity, *options

    def _check_options(self) -> None:
        """Refuse what is wrong whatever the algorithm is."""
        checked_seconds(self.hold_seconds, "hold_seconds", at_least=0.1, at_most=_HOLD_SECONDS_MAX)
        checked_seconds(self.lease_seconds, "lease_seconds", at_least=0.05, at_most=_LEASE_SECONDS_MAX)
        _check_ban(self.ban)
        if type(self.group) is not int or not 0 <= self.group <= GROUP_PARTS_MAX:
            raise InvalidInputError("group", shape_of(self.group), f"a whole number from 0 to {GROUP_PARTS_MAX}")
        if not isinstance(self.mode, str) or self.mode not in MODES:
            raise InvalidInputError("mode", shape_of(self.mode), " or ".join(MODES))

    def _check_change(self, algorithm: Algorithm) -> None:
        if self.on_change is None:
            return
        if not isinstance(self.on_change, str) or self.on_change not in WAYS:
            raise InvalidInputError("on_change", shape_of(self.on_change), ", ".join(WAYS))
        if not algorithm.carries:
            raise InvalidInputError("on_change", f"algorithm {self.algorithm}", "it only where counts are carried over")

    def _checked_rates(self, algorithm: Algorithm) -> tuple[Rate, ...]:
        if isinstance(self.rate, Rate):
            rates: tuple[Rate, ...] = (self.rate,)
        elif isinstance(self.rate, list | tuple) and self.rate and all(isinstance(r, Rate) for r in self.rate):
            rates = tuple(self.rate)
            if len(rates) > RATES_MAX:  # more slots than a value may have would be read as no state
                raise InvalidInputError("rate", f"{len(rates)} rates", f"at most {RATES_MAX} rates")
        elif isinstance(self.rate, str):
            rates = Rate.parse_several(self.rate)
        else:
            raise InvalidInputError("rate", shape_of(self.rate), "text such as '100/minute', a Rate, or several")
        for rate in rates:
            if rate.burst is not None and not algorithm.takes_burst:
                raise InvalidInputError("rate burst", str(rate), "a burst only for gcra, token_bucket and leaky_bucket")
            if rate.limit > algorithm.limit_max:
                raise InvalidInputError(
                    "rate limit", str(rate), f"at most {algorithm.limit_max:,} for {self.algorithm}"
                )
            if algorithm.kind == CALENDAR and (rate.unit not in _CALENDAR_UNITS or rate.count.denominator != 1):
                raise InvalidInputError(
                    "rate period", str(rate), "whole days, weeks, months or years for calendar_quota"
                )
            if algorithm.kind != CALENDAR and rate.unit in ("month", "year"):
                raise InvalidInputError("rate period", str(rate), "months and years only for calendar_quota")
        return rates

    def _rate_plan(self, algorithm: Algorithm) -> Plan:
        calendar: tuple[tuple[int, CalendarPeriod], ...] = ()
        rules: tuple[tuple[int, ...], ...] = ()
        if algorithm.kind == CALENDAR:
            calendar = tuple(
                (
                    rate.limit,
                    CalendarPeriod(count=int(rate.count), unit=rate.unit, time_zone=self.time_zone, anchor=self.anchor),
                )
                for rate in self.rates
            )
        else:
            rules = tuple(algorithm.rule_of(rate) for rate in self.rates)
        capacity = min(rate.capacity for rate in self.rates)
        return self._plan(algorithm, rules, calendar, capacity)

    def _concurrency_plan(self, algorithm: Algorithm) -> Plan:
        text = self.rate
        if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 10:  # noqa: PLR2004 - digits of the largest
            text = int(text)
        if type(text) is not int or not 1 <= text <= algorithm.limit_max:
            accepted = f"a number of holders from 1 to {algorithm.limit_max:,}"
            raise InvalidInputError("rate", shape_of(self.rate), accepted)
        hold_us = round(self.hold_seconds * 1_000_000)
        return self._plan(algorithm, ((text, hold_us),), (), text)

    def _plan(
        self,
        algorithm: Algorithm,
        rules: tuple[tuple[int, ...], ...],
        calendar: tuple[tuple[int, CalendarPeriod], ...],
        capacity: int,
    ) -> Plan:
        identity = repr((algorithm.family, rules, calendar, *([_CANDIDATE] if self.candidate else [])))
        tag = int.from_bytes(blake2b(identity.encode(), digest_size=4).digest(), "big")
        one_rate = len(rules) == 1 or len(calendar) == 1
        plain = plain_of(algorithm, rules)
        prefix = f"{algorithm.family}:{quote(self.name, safe=_PREFIX_SAFE)}{_CANDIDATE if self.candidate else ''}:"
        marks = self.on_change is not None
        return Plan(
            name=self.name,
            prefix=prefix,
            algorithm=algorithm,
            decide=algorithm.decide,
            rules=rules,
            calendar=calendar,
            capacity=capacity,
            holds=algorithm.kind == CONCURRENCY,
            simple=len(rules) == 1 and algorithm.kind < CALENDAR and not marks,
            plain=None if marks else plain,
            linear=one_rate and ((plain is not None and not marks) or not algorithm.takes_burst),
            shadow=BESIDE if self.beside else int(self.shadow),
            lease_us=round(self.lease_seconds * 1_000_000) if self.mode == "leased" else 0,
            tag=tag,
            group=self.group,
            carry=WAYS.index(self.on_change or "keep"),
            marks=marks,
            was=None,
        )


def _check_ban(ban: object) -> None:
    if ban is not None and not isinstance(ban, BanRule):
        raise InvalidInputError("ban", shape_of(ban), "a BanRule, or None")


def _marking(limit: Limit, before: Limit | None, until_us: int) -> Limit:
    """Have the states of a new *limit* say which rule they are of; those that do not are of *before* for a while."""
    plan, was = limit.plan, None
    if before is not None:
        numbers = before.plan.rules or tuple((rate.limit, rate.period_us) for rate in before.rates)
        was = before.plan.tag, numbers, until_us
    linear = plan.linear and not plan.algorithm.takes_burst
    object.__setattr__(limit, "before", before)
    object.__setattr__(limit, "plan", replace(plan, marks=True, simple=False, plain=None, linear=linear, was=was))
    return limit


def _restored(name: str, rate: Any, *options: Any) -> Limit:  # noqa: ANN401 - what __reduce__ gave
    limit = Limit(name, rate, **dict(zip(_OPTIONS, options, strict=False)))
    if len(options) == len(_OPTIONS):
        return limit
    before, until_us = options[len(_OPTIONS) :]
    return _marking(limit, before, until_us)
