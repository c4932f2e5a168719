"""A whole replay: what it counts is what an independent count says."""

from __future__ import annotations

import gzip
import io
import json
import os
from itertools import pairwise
from typing import IO, TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluicegate.ratelimit.rules import parse_rules
from sluicegate.replay import replay
from sluicegate.utils import InvalidInputError
from tests.replay.counting import SAMPLE_LOG, denied_by_fixed_window, denied_by_gcra, whole_lines

if TYPE_CHECKING:
    from pathlib import Path

    from sluicegate.replay import Report, RuleReport

RULES = parse_rules("""
version: 1
limits:
  twenty: {rate: 20/minute, algorithm: fixed_window, key: client_address}
  five: {rate: 5 per 10 seconds, algorithm: fixed_window, key: client_address}
  paced: {rate: 10/minute, key: client_address}
""")
REAL_LOG = os.environ.get("REAL_ACCESS_LOG", "")


def rule_of(report: Report, name: str) -> RuleReport:
    """Return what one rule did."""
    return next(rule for rule in report.rules if rule.name == name)


def in_memory(text: str) -> IO[bytes]:
    """Return a log that stands in memory."""
    return io.BufferedReader(io.BytesIO(text.encode()))


def test_the_sample_log_agrees_with_independent_counts() -> None:
    """Out of order, with a cut line and odd ones, the log is replayed exactly, key by key."""
    requests = whole_lines(SAMPLE_LOG.read_text())
    in_order = sorted(requests, key=lambda request: request[0])
    assert requests != in_order
    expected = {
        "twenty": denied_by_fixed_window(requests, 20, 60),
        "five": denied_by_fixed_window(requests, 5, 10),
        "paced": denied_by_gcra(in_order, 10, 60),
    }
    assert denied_by_gcra(requests, 10, 60) != expected["paced"], "the log tells file order from order of time"

    report = replay(SAMPLE_LOG, RULES)

    assert (report.lines, report.requests, report.malformed, report.malformed_lines) == (598, 597, 1, (417,))
    assert report.log_format == "combined"
    assert (report.first_us, report.last_us) == (in_order[0][0] * 10**6, in_order[-1][0] * 10**6)
    for name, denied in expected.items():
        rule = rule_of(report, name)
        assert rule.denied == denied.total() > 0
        assert rule.allowed == len(requests) - denied.total()
        assert rule.requests == len(requests)
        assert rule.keys == len({client for _, client in requests})
        assert {found.key: found.denied for found in rule.top_denied} == {key: n for key, n in denied.items() if n}
        assert rule.over_time is not None
        assert (sum(rule.over_time.allowed), sum(rule.over_time.denied)) == (rule.allowed, rule.denied)


@pytest.mark.skipif(not REAL_LOG, reason="REAL_ACCESS_LOG names no log; it takes a path to the real one")
def test_the_real_log_agrees_with_independent_counts() -> None:
    """Ten thousand real lines, 4,915 inversions and a cut line give the figures that were counted independently."""
    rules = parse_rules("""
version: 1
limits:
  twenty: {rate: 20/minute, algorithm: fixed_window, key: client_address}
  five: {rate: 5 per 10 seconds, algorithm: fixed_window, key: client_address}
  paced: {rate: 20/minute, key: client_address}
""")
    report = replay(REAL_LOG, rules)
    assert (report.lines, report.malformed, report.malformed_lines) == (10_000, 1, (8_899,))
    assert [rule.requests for rule in report.rules] == [9_999] * 3
    assert [rule.denied for rule in report.rules] == [931, 622, 240]
    with gzip.open(REAL_LOG, "rt") as file:
        requests = whole_lines(file.read())
    assert sum(before[0] > after[0] for before, after in pairwise(requests)) == 4_915
    assert denied_by_gcra(requests, 20, 60).total() == 1_261, "in the file's order it would be this"


@pytest.mark.parametrize("in_memory_max", [1, 7, 100, 10_000])
def test_memory_does_not_change_the_answer(in_memory_max: int) -> None:
    """However little is held in memory, the report is the same."""
    assert replay(SAMPLE_LOG, RULES, requests_in_memory_max=in_memory_max) == replay(SAMPLE_LOG, RULES)


def test_gzip_and_pipe_do_not_change_the_answer(tmp_path: Path) -> None:
    """Compressed, and read from a stream, the log gives the same."""
    path = tmp_path / "renamed.txt"
    path.write_bytes(gzip.compress(SAMPLE_LOG.read_bytes()))
    plain = replay(SAMPLE_LOG, RULES)
    assert replay(path, RULES).rules == plain.rules
    assert replay(in_memory(SAMPLE_LOG.read_text()), RULES).rules == plain.rules


def test_json_and_csv_do_not_change_the_answer() -> None:
    """The same requests as JSON lines, and as CSV under other names, give the same."""
    requests = whole_lines(SAMPLE_LOG.read_text())
    plain = replay(SAMPLE_LOG, RULES)
    lines = "\n".join(json.dumps({"msec": f"{at}.000", "remote_addr": client}) for at, client in requests)
    assert replay(in_memory(lines), RULES).rules == plain.rules
    table = "who;when\n" + "\n".join(f"{client};{at}" for at, client in requests)
    report = replay(in_memory(table), RULES, columns={"client_address": "who", "time": "when"})
    assert report.rules == plain.rules
    assert (report.lines, report.malformed, report.log_format) == (597, 0, "csv")


def test_rules_cover_what_they_match() -> None:
    """Each rule counts what it matches, by its own key; what lacks the key is counted apart."""
    lines = [
        {"ts": 1, "path": "/login", "method": "POST", "ip": "192.0.2.1"},
        {"ts": 1, "path": "/login", "method": "POST", "ip": "192.0.2.1"},
        {"ts": 1, "path": "/login", "method": "GET", "ip": "192.0.2.1"},
        {"ts": 2, "path": "/api/a", "method": "GET", "tenant": "blue"},
        {"ts": 2, "path": "/api/b", "method": "GET", "tenant": "blue"},
        {"ts": 2, "path": "/api/b", "method": "GET"},
    ]
    rules = parse_rules("""
version: 1
limits:
  sign-in: {rate: 1/minute, key: client_address, match: {path: /login, method: POST}}
  tenants: {rate: 1/day, algorithm: calendar_quota, key: [tenant, path], match: {path: /api/**}}
  holders: {rate: 5, algorithm: concurrency, key: tenant}
  nobody: {rate: 1/day, key: user}
  trial: {rate: 1/day, key: client_address, shadow: true}
""")
    report = replay(in_memory("\n".join(map(json.dumps, lines))), rules)
    counted = [(rule.requests, rule.without_key, rule.denied, rule.keys) for rule in report.rules]
    assert counted == [(2, 0, 1, 1), (2, 1, 0, 2), (0, 0, 0, 0), (0, 6, 0, 0), (3, 3, 2, 1)]
    assert [rule.skipped is not None for rule in report.rules] == [False, False, True, False, False]
    assert report.rules[4].shadow


def test_what_is_listed_is_not_counted() -> None:
    """Requests that rules let through or refuse anyway stand under none of their limits."""
    log = "".join(json.dumps({"ts": at, "ip": ip, "path": "/"}) + "\n" for at, ip in enumerate(["a1", "b1", "c1"] * 4))
    rules = parse_rules(
        "version: 1\nlimits: {each: {rate: 1/day, key: path}}\n"
        "allow: [{client_address: 192.0.2.*}]\ndeny: [{client_address: 198.51.100.1}]\n"
    )
    for name, address in (("a1", "192.0.2.1"), ("b1", "198.51.100.1"), ("c1", "203.0.113.1")):
        log = log.replace(name, address)
    assert rule_of(replay(in_memory(log), rules), "each").requests == 4


def test_what_is_charged_by_the_response_is_counted_by_its_status() -> None:
    """Of a rule that charges by the response only requests with such a status are counted."""
    log = "".join(json.dumps({"ts": at, "ip": "192.0.2.1", "status": 401 if at % 3 else 200}) + "\n" for at in range(9))
    rules = parse_rules(
        "version: 1\nlimits:\n  failed: {rate: 2/day, key: client_address, charge: {status: 4xx}}\n"
        "  dear: {rate: 9/day, key: client_address, cost: 2, charge: {status: 401}}\n"
    )
    report = replay(in_memory(log), rules)
    assert (rule_of(report, "failed").requests, rule_of(report, "failed").denied) == (6, 4)
    assert (rule_of(report, "dear").requests, rule_of(report, "dear").denied) == (6, 2)


def test_costs_and_schedules_agree_with_independent_counts() -> None:
    """Each request takes what its rule says, and the rate is that of the log's own hour, by the clock of a zone."""
    rules = parse_rules("""
version: 1
limits:
  dear: {rate: 20/minute, algorithm: fixed_window, key: client_address, cost: 3}
  paced: {rate: 30/minute, key: client_address, cost: 3}
  never: {rate: 2/minute, key: client_address, cost: 3}
  nightly:
    rate: 20/minute
    algorithm: fixed_window
    key: client_address
    cost: 2
    schedule: [{from: "00:00", to: "01:00", time_zone: Europe/Berlin, rate: 8/minute}]
""")
    requests = whole_lines(SAMPLE_LOG.read_text())
    midnight = 1_710_025_200  # in Berlin: ten minutes after the log begins
    by_night = [request for request in requests if midnight <= request[0] < midnight + 3600]
    by_day = [request for request in requests if request not in by_night]
    expected = {
        "dear": denied_by_fixed_window(requests, 6, 60),
        "paced": denied_by_gcra(sorted(requests, key=lambda request: request[0]), 10, 60),
        "nightly": denied_by_fixed_window(by_day, 10, 60) + denied_by_fixed_window(by_night, 4, 60),
    }
    report = replay(SAMPLE_LOG, rules)
    for name, denied in expected.items():
        assert rule_of(report, name).denied == denied.total() > 0
        assert {found.key: found.denied for found in rule_of(report, name).top_denied} == {
            key: n for key, n in denied.most_common(20) if n
        }
    assert rule_of(report, "never").denied == len(requests)
    nightly = rule_of(report, "nightly")
    assert (nightly.cost, nightly.schedule) == (2, ("00:00-01:00 Europe/Berlin: 8/minute",))
    assert report.as_json()["rules"][3]["schedule"] == ["00:00-01:00 Europe/Berlin: 8/minute"]


def test_a_limit_that_is_rolled_out_is_replayed_as_it_is() -> None:
    """What it is to become decides nothing in a replay."""
    text = "version: 1\nlimits: {{twenty: {{rate: 20/minute, algorithm: fixed_window, key: client_address{}}}}}"
    plain, rolled_out = (parse_rules(text.format(more)) for more in ("", ", rollout: {rate: 1/minute, percent: 100}"))
    assert replay(SAMPLE_LOG, rolled_out).rules == replay(SAMPLE_LOG, plain).rules


def test_a_rule_that_bans_is_replayed_without_its_bans() -> None:
    """What one key is denied for is nothing against another, and time goes back with each."""
    plain = "version: 1\nlimits: {api: {rate: 5 per 10 seconds, algorithm: fixed_window, key: client_address%s}}"
    with_ban = parse_rules(plain % ", ban: {after: 1, within: 1 day, for: 1 day}")
    report, expected = replay(SAMPLE_LOG, with_ban), replay(SAMPLE_LOG, parse_rules(plain % ""))
    assert rule_of(report, "api").denied == rule_of(expected, "api").denied > 0


def test_a_denied_key_tells_since_when_and_until_when() -> None:
    """Of a key that was denied the first and last denial are told, in the order of time."""
    lines = "\n".join(json.dumps({"ts": at, "ip": "192.0.2.1"}) for at in (59, 5, 7, 1, 3))
    rules = parse_rules("version: 1\nlimits: {a: {rate: 2/minute, algorithm: fixed_window, key: client_address}}")
    (found,) = replay(in_memory(lines), rules).rules[0].top_denied
    assert (found.denied, found.allowed, found.first_us, found.last_us) == (3, 2, 5 * 10**6, 59 * 10**6)


def test_malformed_lines_are_counted_and_the_first_are_told() -> None:
    """Of many malformed lines all are counted, and a hundred told by number."""
    report = replay(in_memory('{"ts": 1, "ip": "a"}\n' + "nonsense\n" * 250), RULES)
    assert (report.lines, report.requests, report.malformed) == (251, 1, 250)
    assert report.malformed_lines == tuple(range(2, 102))


def test_an_empty_log() -> None:
    """A log without a line is a report of nothing."""
    report = replay(in_memory(""), RULES)
    assert (report.lines, report.first_us, report.last_us) == (0, None, None)
    assert [(rule.requests, rule.over_time, rule.suggestions) for rule in report.rules] == [(0, None, ())] * 3


def test_a_format_that_is_given_is_kept() -> None:
    """A log that does not fit the format that was given has only malformed lines."""
    report = replay(SAMPLE_LOG, RULES, log_format="common")
    assert (report.lines, report.malformed) == (598, 598)


def test_refuses_an_unknown_format() -> None:
    """A format that nobody knows is refused with those that are known."""
    with pytest.raises(InvalidInputError, match="combined, common, json, csv"):
        replay(SAMPLE_LOG, RULES, log_format="xml")  # type: ignore[arg-type]


def test_tells_its_progress() -> None:
    """Reading is told in bytes of the file, deciding in requests, up to all of them under all rules."""
    told: list[tuple[str, int, int | None]] = []
    replay(SAMPLE_LOG, RULES, progress=lambda *step: told.append(step))
    size = SAMPLE_LOG.stat().st_size
    assert ("reading", size, size) in told
    assert told[-1] == ("searching limits for paced", 3 * 597, 3 * 597)
    assert all(total is None or 0 <= done <= total for _, done, total in told)


@given(
    content=st.binary(max_size=400),
    begin=st.sampled_from([b"", b"\x1f\x8b", b"{", b'a - - [17/May/2015:10:05:03 +0000] "']),
)
@settings(max_examples=200, deadline=None)
def test_no_bytes_crash_it(begin: bytes, content: bytes) -> None:
    """Whatever bytes a log is made of, it is replayed, or refused by one line."""
    whole = b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    for log in (begin + content, whole + begin + content, gzip.compress(whole) + begin + content):
        try:
            report = replay(io.BufferedReader(io.BytesIO(log)), RULES)
        except InvalidInputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either way is right
        else:
            assert report.requests == report.rules[0].requests + report.rules[0].without_key


def test_the_sample_log_is_what_its_script_makes(tmp_path: Path) -> None:
    """The checked-in log is what the checked-in script writes."""
    script = SAMPLE_LOG.with_name("make_access_log.py")
    copy = tmp_path / script.name
    copy.write_text(script.read_text())
    exec(compile(copy.read_text(), str(copy), "exec"), {"__name__": "__main__", "__file__": str(copy)})
    assert copy.with_name("access.log").read_text() == SAMPLE_LOG.read_text()
