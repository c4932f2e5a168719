"""Rules files: what they give, and that every mistake in them is named at its place."""

from __future__ import annotations

import os
from datetime import date, datetime
from typing import TYPE_CHECKING

import pytest

from sluicegate.ratelimit import Limit
from sluicegate.ratelimit.rules import (
    RULES_FILE_BYTES_MAX,
    KeyTemplate,
    Match,
    PathPattern,
    Rule,
    load_rules,
    parse_rules,
)
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

SMALLEST = """\
version: 1
limits:
  per-client:
    rate: 20/minute
    algorithm: fixed_window
    key: client_address            # or a list: [tenant, route]
    match: {path: /api/**}         # optional
"""
FULL_YAML = """\
version: 1
limits:
  api:
    rate: 100/minute burst 20; 1000/h
    key: [tenant, "header:X-Api-Key"]
    match: {path: /api/**, method: [get, POST]}
    on_failure: closed
    critical: true
    shadow: true
    mode: leased
    lease_seconds: 0.5
  bills:
    rate: 10 per 1 month
    algorithm: calendar_quota
    time_zone: Europe/Berlin
    anchor: 2024-01-31
    key: user
  uploads:
    rate: 5
    algorithm: concurrency
    hold_seconds: 30
    key: user
    match: {method: PUT}
"""
FULL_TOML = """\
version = 1
[limits.api]
rate = "100/minute burst 20; 1000/h"
key = ["tenant", "header:X-Api-Key"]
match = {path = "/api/**", method = ["get", "POST"]}
on_failure = "closed"
critical = true
shadow = true
mode = "leased"
lease_seconds = 0.5
[limits.bills]
rate = "10 per 1 month"
algorithm = "calendar_quota"
time_zone = "Europe/Berlin"
anchor = 2024-01-31
key = "user"
[limits.uploads]
rate = 5
algorithm = "concurrency"
hold_seconds = 30
key = "user"
match.method = "PUT"
"""


def problems_of(content: str | bytes, notation: str = "yaml") -> list[str]:
    """Return what is said about a file that is refused, a line for each problem."""
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(content, notation=notation, source="rules.yaml")
    assert all(isinstance(problem, InvalidInputError) for problem in caught.value.problems)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.problems)
    return lines


def with_field(line: str) -> str:
    """Return a file whose one rule has one more field, on line 6."""
    return f"version: 1\nlimits:\n  a:\n    rate: 1/s\n    key: user\n    {line}\n"


def test_the_smallest_useful_file() -> None:
    """The smallest useful file is one rule."""
    assert parse_rules(SMALLEST).limits == (
        Rule(
            limit=Limit("per-client", "20/minute", algorithm="fixed_window"),
            key=KeyTemplate(("client_address",)),
            match=Match(values=(("path", (PathPattern("/api/**"),)),)),
        ),
    )


@pytest.mark.parametrize(("content", "notation"), [(FULL_YAML, "yaml"), (FULL_TOML, "toml")])
def test_every_field_in_either_notation(content: str, notation: str) -> None:
    """A file with every field gives the same rules in YAML and in TOML."""
    api, bills, uploads = parse_rules(content, notation=notation).limits
    options = {"on_failure": "closed", "critical": True, "shadow": True, "mode": "leased", "lease_seconds": 0.5}
    assert api.limit == Limit("api", "100/minute burst 20; 1000/h", **options)  # type: ignore[arg-type]
    assert api.key == KeyTemplate(("tenant", "header:x-api-key"))
    assert api.match == Match(values=(("path", (PathPattern("/api/**"),)),), methods=frozenset({"GET", "POST"}))
    assert bills.limit.anchor == date(2024, 1, 31)
    assert bills.limit.time_zone == "Europe/Berlin"
    assert uploads.limit == Limit("uploads", "5", algorithm="concurrency", hold_seconds=30)
    assert uploads.match == Match(methods=frozenset({"PUT"}))


@pytest.mark.parametrize(("suffix", "content"), [(".yaml", FULL_YAML), (".yml", FULL_YAML), (".TOML", FULL_TOML)])
def test_the_suffix_tells_the_notation(tmp_path: Path, suffix: str, content: str) -> None:
    """A file is read by its suffix, with or without a byte order mark."""
    path = tmp_path / f"rules{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert [rule.limit.name for rule in load_rules(path).limits] == ["api", "bills", "uploads"]


def test_a_charge_names_statuses_one_by_one_or_by_the_hundred() -> None:
    """One status, a list of them, or all that begin with a digit."""
    rule = "version: 1\nlimits: {a: {rate: 1/s, key: user, cost: 3, charge: {status: %s}}}\n"
    for text, statuses in (("401", {401}), ("[401, 403]", {401, 403}), ("[5xx, 404]", {404, *range(500, 600)})):
        (found,) = parse_rules(rule % text).limits
        assert (found.cost, found.statuses) == (3, statuses)


def test_an_anchor_may_be_text_with_a_time() -> None:
    """An anchor in quotes may be a date, or a date and time."""
    rule = "version: 1\nlimits: {a: {rate: 1/day, algorithm: calendar_quota, key: user, anchor: '%s'}}\n"
    assert parse_rules(rule % "2024-01-31").limits[0].limit.anchor == date(2024, 1, 31)
    assert parse_rules(rule % "2024-01-31T06:00").limits[0].limit.anchor == datetime(2024, 1, 31, 6)  # noqa: DTZ001 - local by its nature


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    """Every mistake of a file is named in one go, each with line, column, what was found and what is accepted."""
    lines = problems_of(
        "version: 2\n"
        "limits:\n"
        "  a:\n"
        "    rate: 20/fortnight\n"
        "    algorithm: fixed_windw\n"
        "    key: client_adress\n"
        "    match: {path: api, method: GTE}\n"
        "    shdow: true\n"
        "  b:\n"
        "    rate: 10/month\n"
        "    key: user\n"
        "  c: {}\n"
    )
    places = [line.partition(" found ")[0] for line in lines]
    assert places == [
        "rules.yaml:1:10: version:",
        "rules.yaml:4:11: limits.a.rate:",
        "rules.yaml:5:16: limits.a.algorithm:",
        "rules.yaml:6:10: limits.a.key:",
        "rules.yaml:7:19: limits.a.match.path:",
        "rules.yaml:7:32: limits.a.match.method:",
        "rules.yaml:8:5: limits.a.shdow:",
        "rules.yaml:10:11: limits.b.rate:",
        "rules.yaml:12:3: limits.c.rate:",
        "rules.yaml:12:3: limits.c.key:",
    ]
    suggested = [line.rpartition("did you mean ")[2] for line in lines if "did you mean" in line]
    assert suggested == ["'fixed_window'?)", "'client_address'?)", "'GET'?)", "'shadow'?)"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("on_failure: local", "on_failure: found 'local'; accepted: closed, open"),
        ("critical: 'yes'", "critical: found 'yes'; accepted: true or false"),
        ("shadow: 1", "shadow: found 1; accepted: true or false"),
        ("hold_seconds: .nan", "hold_seconds: found nan; accepted: a number of seconds from 0.1 to 86"),
        ("hold_seconds: -1", "hold_seconds: found -1; accepted: a number of seconds from 0.1 to 86"),
        ("mode: lease", "mode: found 'lease'; accepted: strict, leased (did you mean 'leased'?)"),
        ("mode: true", "mode: found True; accepted: strict, leased"),
        ("lease_seconds: .inf", "lease_seconds: found inf; accepted: a number of seconds from 0.05 to 60"),
        ("lease_seconds: 0.01", "lease_seconds: found 0.01; accepted: a number of seconds from 0.05 to 60"),
        ("anchor: 2024-99-99", "anchor: found '2024-99-99'; accepted: a date such as 2024-01-31"),
        ("anchor: 2024-01-31", "limits.a.anchor: found algorithm gcra; accepted: them only for calendar_quota"),
        ("time_zone: 5", "time_zone: found 5; accepted: the name of a time zone"),
        ("cost: 0", "cost: found 0; accepted: a whole number from 1 to 1,000,000,000"),
        ("cost: true", "cost: found True; accepted: a whole number"),
        ("algorithm: concurrency\n    cost: 2", "rate: found '1/s'"),
        ("charge: 401", "charge: found 401; accepted: {status: [401, 403]}: statuses from 100 to 599, or 4xx"),
        ("charge: {}", "charge: found a mapping; accepted: {status:"),
        ("charge: {status: []}", "charge: found 0 statuses; accepted: 1 to 100 statuses"),
        ("charge: {status: [99]}", "charge: found 99; accepted: {status:"),
        ("charge: {status: 40x}", "charge: found '40x'; accepted: {status:"),
        ("charge: {stats: 401}", "charge: found a mapping; accepted: {status:"),
        ("match: /api", "match: found '/api'; accepted: a mapping with path, route, method, client_address"),
        ("match: {method: []}", "match.method: found 0 methods; accepted: 1 to 32 methods"),
        ("match: {method: 'G T'}", "match.method: found 'G T'; accepted: a method such as GET"),
        ("match: {method: {}}", "match.method: found a mapping; accepted: a method such as GET"),
        ("match: {path: [[/a]]}", "match.path: found a list; accepted: a glob"),
        ("match: {path: []}", "match.path: found 0 globs; accepted: 1 to 100 globs"),
        ("match: {path: [/a, api]}", "match.path: found 'api'; accepted: a glob of 1 to 256 characters"),
        ("match: {tenant: 5}", "match.tenant: found 5; accepted: a glob such as acme-*, or a list of them"),
        ("match: {tenent: a}", "match.tenent: found a name that is not known"),
        ("match: {tenent: a}", "(did you mean 'tenant'?)"),
        ("match: {'header:': a}", "match.header:: found a name that is not known"),
        ("algorithm: 5", "algorithm: found 5; accepted: gcra, "),
        (
            "algorithm: fixed_window\n    rate: 2/s",
            "limits.a.rate: found it again, after line 4; accepted: each name once",
        ),
        ("7: 8", "limits.a: found the name 7; accepted: names that are text"),
        ("? [a, b]\n    : 8", "limits.a: found the name None; accepted: names that are text"),
    ],
)
def test_a_wrong_field(line: str, found: str) -> None:
    """A field with a wrong value is refused by one line that names it, what was found and what is accepted."""
    (problem,) = problems_of(with_field(line))
    assert found in problem


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("{rate: 5, key: user}", "limits.a.rate: found '5'; accepted: 'LIMIT/UNIT'"),
        ("{rate: 0/s, key: user}", "limits.a.rate: found 0; accepted: a whole number from 1"),
        ("{rate: [1/s], key: user}", "limits.a.rate: found a list; accepted: a rate such as 20/minute"),
        ("{rate: many, key: user, algorithm: concurrency}", "limits.a.rate: found 'many'"),
        ("{rate: 1/s burst 5, key: user, algorithm: fixed_window}", "limits.a.rate: found 1/second burst 5"),
        (
            "{rate: 5, key: user, algorithm: concurrency, cost: 2}",
            "limits.a.cost: found algorithm concurrency; accepted",
        ),
        (
            "{rate: 5, key: user, algorithm: concurrency, charge: {status: 401}}",
            "limits.a.charge: found algorithm concurrency; accepted: it only where units are taken, not held",
        ),
        ("{rate: 1/s, key: []}", "limits.a.key: found 0 descriptors; accepted: 1 to 8 descriptors"),
        ("{rate: 1/s, key: {a: b}}", "limits.a.key: found a mapping"),
        ("{rate: 1/s, key: 7}", "limits.a.key: found 7; accepted: one of client_address"),
        ("[]", "limits.a: found a list; accepted: a mapping with rate, algorithm"),
        ("", "limits.a: found nothing; accepted: a mapping with rate, algorithm"),
    ],
)
def test_a_wrong_rule(rule: str, found: str) -> None:
    """A rule that says too little, or things that do not go together, is refused by one line."""
    (problem,) = problems_of(f"version: 1\nlimits:\n  a: {rule}\n")
    assert found in problem


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "rules.yaml:1:1: found nothing; accepted: a mapping with version, limits"),
        ("- 1", "rules.yaml:1:1: found a list"),
        ("version: 1", "limits: found nothing; accepted: limits: and at least one named rule"),
        ("version: 1\nlimits: {}", "limits: found 0 rules; accepted: 1 to 1,000 rules"),
        ("version: 1\nlimits: 3", "limits: found 3; accepted: a mapping from names to rules"),
        ("version: 1\nlimits: {a: [}", "rules.yaml:2:14: found expected the node content"),
        ("version: 1\nlimits: &x {a: *x}", "rules.yaml:2:9: found an anchor, alias or tag"),
        ("version: 1\nlimits: !!python/object:os.system {}", "rules.yaml:2:9: found an anchor, alias or tag"),
        ("a\x00b", "found unacceptable character #x0000"),
        (b"version: 1\n\xff", "rules.yaml:2: found the byte 0xFF, which is not UTF-8; accepted: text in UTF-8"),
        ("[" * 100_000, "found more than 16 levels"),
        ("[" + "1," * 60_000 + "]", "found more than 16 levels or 50,000 values"),
        ("#" * (RULES_FILE_BYTES_MAX + 1), "found more than 262,144 bytes; accepted: at most 262,144 bytes"),
        (SMALLEST + "---\nversion: 1\n", "found but found another document"),
    ],
)
def test_a_file_that_is_none(content: str | bytes, found: str) -> None:
    """A file that is no rules file, broken, too large or too deep is refused by one line, quickly."""
    (problem,) = problems_of(content)
    assert found in problem


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("version = 1\n[limits.a\n", "rules.yaml:2:10: found Expected ']'"),
        ("version = 1\nversion = 1\n", "found Cannot overwrite a value"),
        ("version = " + "[" * 100_000, "found values nested too deeply"),
        ("a." * 100_000 + "b = 1", "rules.yaml:1: found 100,000 dots; accepted: at most 64 dots in a line"),
        ("version = " + "[" * 20 + "]" * 20, "found more than 16 levels"),
        ("version = 1\n[limits.'x.y']\nrate = '1/s'\nkey = 'usr'\n", "rules.yaml:4:1: limits.x.y.key: found 'usr'"),
        (
            "version = 1\n[limits.a]\nrate = '1/s'\nkey = 'user'\nmatch = {path = 'x'}\n",
            "rules.yaml:5:1: limits.a.match.path",
        ),
        ("version = 1\n[limits.a]\n  rate = '1/s'\n\tkey = 'usr'\n", "rules.yaml:4:2: limits.a.key: found 'usr'"),
        ("version = 1\n[limits]\n[ limits.a ]\nkey = 'user'\n", "rules.yaml:3:3: limits.a"),
        ("version = 1\nlimits.a.rate = '1/s'\n limits.a.key = 'usr'\n", "rules.yaml:3:2: limits.a.key: found 'usr'"),
        ("version = 1\nlimits = {a = {rate = '1/s', key = 'usr'}}\n", "rules.yaml:2:1: limits.a.key: found 'usr'"),
    ],
)
def test_toml_problems(content: str, found: str) -> None:
    """A problem in TOML is named with the place of its key, or of the nearest key or table before it."""
    (problem,) = problems_of(content, "toml")
    assert found in problem


@pytest.mark.parametrize("notation", ["yaml", "toml"])
def test_two_spellings_of_one_name_are_one_name(notation: str) -> None:
    """A name that comes again in another spelling of the same text is refused, with both places."""
    content = {
        "yaml": "version: 1\nlimits:\n  caf\u00e9: {rate: 1/s, key: user}\n  cafe\u0301: {rate: 2/s, key: user}\n",
        "toml": (
            "version = 1\n[limits.'caf\u00e9']\nrate = '1/s'\nkey = 'user'\n"
            "[limits.'cafe\u0301']\nrate = '2/s'\nkey = 'user'\n"
        ),
    }[notation]
    (problem,) = problems_of(content, notation)
    places = {"yaml": ("rules.yaml:4:3", "line 3"), "toml": ("rules.yaml:5:2", "line 2")}[notation]
    assert problem.startswith(f"{places[0]}: limits.caf")
    assert f"found it again, after {places[1]}; accepted: each name once" in problem


def test_names_reach_no_terminal_unescaped() -> None:
    """A name with an escape sequence is shown escaped."""
    (problem,) = problems_of('version: 1\nlimits: {"x\\e[31m": {rate: 1/s, key: nobody}}')
    assert "limits.x\\x1b[31m.key" in problem


def test_at_most_a_hundred_problems() -> None:
    """A file that is wrong throughout is answered with its first hundred problems."""
    assert len(problems_of("version: 1\nlimits:\n" + "".join(f"  r{i}: 1\n" for i in range(300)))) == 100


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rules.json", "the suffix '.json'"),
        ("none.yaml", "No such file"),
        ("folder.yaml", "directory"),
        ("a\0.yaml", "null byte"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, found: str) -> None:
    """A file that is not there, no file, or of no known suffix is refused with its name."""
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigurationError, match="accepted: a readable file of rules") as caught:
        load_rules(tmp_path / name)
    assert found in str(caught.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """One that nobody ever writes to would keep a service from starting for ever."""
    os.mkfifo(tmp_path / "rules.yaml")
    with pytest.raises(ConfigurationError, match="found a pipe, socket or device; accepted: a readable file"):
        load_rules(tmp_path / "rules.yaml")


def test_a_notation_that_nobody_knows() -> None:
    """Only YAML and TOML are known."""
    with pytest.raises(InvalidInputError, match="yaml, yml or toml"):
        parse_rules("", notation="json")
