"""Lines in each format: what a request is, and what is none."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.replay.fields import checked_columns, path_of, request_line_of
from sluicegate.replay.formats import LOG_FORMATS, LogFormat, parser_for
from sluicegate.utils import InvalidInputError

MOMENT_US = 1_431_857_103_000_000
TIME = "17/May/2015:10:05:03 +0000"
COMMON = f'192.0.2.7 - alice [{TIME}] "GET /a/b?c=d HTTP/1.1" 200 23'
COMBINED = f'{COMMON} "https://www.example/" "curl/8.5"'
SECONDS_MAX = 2.0
DESCRIPTORS = {
    "client_address": "192.0.2.7",
    "method": "GET",
    "path": "/a/b",
    "status": "200",
    "user": "alice",
    "host": "",
}


def parsed(line: str, log_format: LogFormat, header: str = "", **columns: str) -> tuple[int, dict[str, str]] | None:
    """Return time and descriptors of *line*."""
    parse, _ = parser_for(log_format, header, columns)
    request = parse(line, 7)
    assert request is None or request.line_number == 7
    return request and (request.at_us, dict(request.descriptors))


def test_common() -> None:
    """A line of the common format gives address, user, time, method, path and status."""
    assert parsed(COMMON, "common") == (MOMENT_US, DESCRIPTORS)


def test_combined() -> None:
    """A line of the combined format gives referer and user agent as well."""
    more = {"header:referer": "https://www.example/", "user_agent": "curl/8.5"}
    assert parsed(COMBINED, "combined") == (MOMENT_US, DESCRIPTORS | more)


@pytest.mark.parametrize(
    ("before", "after", "name", "value"),
    [
        ("curl/8.5", r"a \"quoted\" \\ agent", "user_agent", 'a "quoted" \\ agent'),
        ("curl/8.5", r"a \x22quoted\x22 agent", "user_agent", 'a "quoted" agent'),
        ("curl/8.5", r"ends in a backslash \\", "user_agent", "ends in a backslash \\"),
        ("curl/8.5", "-", "user_agent", ""),
        ("curl/8.5", "", "user_agent", ""),
        ("curl/8.5", "grün \x00", "user_agent", "grün \x00"),
        ('"curl/8.5"', '"curl/8.5" "192.0.2.99" 0.003', "user_agent", "curl/8.5"),
        ("alice", "bob smith", "user", "bob smith"),
        ("alice", "a [b] c", "user", "a [b] c"),
        ("alice", "-", "user", ""),
        ("192.0.2.7", "2001:db8::1", "client_address", "2001:db8::/64"),
        ("192.0.2.7", "::ffff:192.0.2.7", "client_address", "192.0.2.7"),
        ("192.0.2.7", "client.example", "client_address", "client.example"),
        ("192.0.2.7", "odd:name", "client_address", "odd:name"),
        ("192.0.2.7", "www.example:443 192.0.2.7", "host", "www.example"),
        ("192.0.2.7", "[2001:db8::9]:443 192.0.2.7", "host", "[2001:db8::9]"),
        ("192.0.2.7 - alice", "2001:db8:0:1::1 - bob smith", "client_address", "2001:db8:0:1::/64"),
        ("192.0.2.7 - alice", "2001:db8::1 some ident bob", "client_address", "2001:db8::/64"),
        (" 23 ", " - ", "path", "/a/b"),
        ("GET /a/b?c=d HTTP/1.1", "-", "path", ""),
        ("GET /a/b?c=d HTTP/1.1", "", "method", ""),
        ("GET /a/b?c=d HTTP/1.1", r"\x16\x03\x01", "method", ""),
        ("GET /a/b?c=d HTTP/1.1", "GET /a b HTTP/1.1", "path", "/a b"),
    ],
)
def test_odd_but_whole(before: str, after: str, name: str, value: str) -> None:
    """A line is whole however odd its fields are: quotes come escaped, requests need not be requests."""
    found = parsed(COMBINED.replace(before, after), "combined")
    assert found is not None
    assert found[0] == MOMENT_US
    assert found[1][name] == value


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        COMMON,
        COMBINED[:-1],
        COMBINED[:-9],
        COMBINED[1:].lstrip("0123456789."),
        COMBINED.replace("May", "Foo"),
        COMBINED.replace("17/", "99/"),
        COMBINED.replace("2015", "1815"),
        COMBINED.replace("200", "20"),
        COMBINED.replace('"curl', "curl"),
        COMBINED.replace("curl", 'cu"rl'),
        COMBINED.replace("23", "2x3"),
        COMBINED.replace("17/May", "\u0661\u0667/May"),
        COMBINED + "x",
    ],
)
def test_malformed(line: str) -> None:
    """A line that is cut, or of which a field is none, is no request."""
    assert parsed(line, "combined") is None


@pytest.mark.parametrize(
    "line",
    [
        COMBINED[:-1] + "\\" * 60_000,
        COMBINED[:-1] + '\\"' * 30_000,
        '"' * 60_000,
        f"192.0.2.7 - {' [' * 30_000}",
        f"192.0.2.7 - {f'x [{TIME}] ' * 2_000}",
        "a:1 " * 15_000,
        "{" * 60_000,
        '{"a":' * 10_000,
        '{"a": "' + "\\x" * 30_000 + '"}',
        '{"time": ' + "9" * 60_000 + "}",
    ],
)
def test_no_line_is_slow(line: str) -> None:
    """A line made to be read slowly is not."""
    began = time.perf_counter()
    for log_format in LOG_FORMATS:
        parsed(line, log_format, "time,client_address")
    assert time.perf_counter() - began < SECONDS_MAX


@given(line=st.text() | st.text(alphabet=' "\\[]{}:,-x0/'), tail=st.text(max_size=30))
def test_any_line_is_a_request_or_none(line: str, tail: str) -> None:
    """Whatever a line holds, it is a request with a time and text, or it is none."""
    for log_format in LOG_FORMATS:
        for text in (line, COMBINED[:40] + line, '{"time":"1",' + line, '{"time":1,"ip":"a"}' + tail, "1," + line):
            found = parsed(text, log_format, "time,client_address")
            if found is not None:
                assert found[0] >= 0
                assert all(isinstance(value, str) for value in found[1].values())


NGINX_JSON = {
    "time_iso8601": "2015-05-17T10:05:03+00:00",
    "msec": "1431857103.250",
    "remote_addr": "192.0.2.7",
    "request": "GET /a/b?c=d HTTP/1.1",
    "status": "200",
    "remote_user": "alice",
    "http_user_agent": 'a "quoted" agent',
    "http_x_api_key": "k1",
    "host": "www.example",
    "tenant": "blue",
    "bytes": 23,
    "nested": {"a": [1]},
    "nothing": None,
}


def test_json() -> None:
    """An object with nginx's variables gives all that they say, headers among it."""
    assert parsed(json.dumps(NGINX_JSON), "json") == (
        MOMENT_US,
        {
            "client_address": "192.0.2.7",
            "method": "GET",
            "path": "/a/b",
            "status": "200",
            "user": "alice",
            "user_agent": 'a "quoted" agent',
            "host": "www.example",
            "tenant": "blue",
            "header:user-agent": 'a "quoted" agent',
            "header:x-api-key": "k1",
        },
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"ts": 1431857103.250001, "ip": "a"}', (MOMENT_US + 250_001, {"client_address": "a"})),
        ('{"ts": 1431857103, "url": "https://www.example/a?b", "ip": null}', (MOMENT_US, {"path": "/a"})),
        (r'{"ts": 1431857103, "agent": "\x22odd\xE9\x22"}', (MOMENT_US, {"user_agent": '"oddé"'})),
        ('{"ts": 1431857103, "status": 200, "user": "-", "ip": ""}', (MOMENT_US, {"status": "200"})),
        ('{"Timestamp": "1431857103", "IP": "a"} ', (MOMENT_US, {"client_address": "a"})),
        ('{"ts": NaN, "ip": "a"}', None),
        ('{"ts": true, "ip": "a"}', None),
        ('{"ts": 1e999, "ip": "a"}', None),
        ('{"ts": {}, "ip": "a"}', None),
        ('{"ip": "a"}', None),
        ('{"ts": 1431857103}', None),
        ('[{"ts": 1431857103}]', None),
        ('{"ts": 1431857103, "ip": "a"', None),
        (r'{"ts": 1431857103, "ip": "\xZZ"}', None),
        ("{}", None),
        ("null", None),
    ],
)
def test_json_lines(line: str, found: tuple[int, dict[str, str]] | None) -> None:
    """Numbers keep their digits, nginx's own escapes are mended, and what is no object with a time is no request."""
    assert parsed(line, "json") == found


def test_json_with_a_mapping() -> None:
    """What the user calls a thing wins over the usual names."""
    line = '{"when": 1431857103, "ts": 5, "forwarded": "192.0.2.9", "ip": "192.0.2.7", "X": "k"}'
    columns = {"time": "when", "client_address": "forwarded", "header:x-key": "X"}
    expected = {"client_address": "192.0.2.9", "header:x-key": "k"}
    assert parsed(line, "json", **columns) == (MOMENT_US, expected)


@pytest.mark.parametrize(
    ("header", "line", "columns", "found"),
    [
        ("time,ip,path", "1431857103,192.0.2.7,/a?b", {}, {"client_address": "192.0.2.7", "path": "/a"}),
        ("Time;IP", "1431857103;192.0.2.7", {}, {"client_address": "192.0.2.7"}),
        ("ts\tuser\tip", "1431857103\t-\t192.0.2.7", {}, {"client_address": "192.0.2.7"}),
        ("time,agent", '1431857103,"a ""b"", c"', {}, {"user_agent": 'a "b", c'}),
        ("when,who", "1431857103,me", {"time": "when", "user": "who"}, {"user": "me"}),
        ("when,who,ip", "1431857103,me,a", {"time": "when"}, {"client_address": "a"}),
        ("x,time,ip", "y,1431857103,a", {"tenant": "1"}, {"client_address": "a", "tenant": "y"}),
        ("5,a,b", "1431857103,me,/x", {"time": "1", "path": "3"}, {"path": "/x"}),
        ("time,request", "1431857103,POST /a HTTP/2.0", {}, {"method": "POST", "path": "/a"}),
        ("time,header:x-key", "1431857103,k", {}, {"header:x-key": "k"}),
    ],
)
def test_csv(header: str, line: str, columns: dict[str, str], found: dict[str, str]) -> None:
    """Columns are found by the usual names, by the user's, or by number, whatever parts them."""
    assert parsed(line, "csv", header, **columns) == (MOMENT_US, found)


@pytest.mark.parametrize("line", ["", "1431857103", "1431857103,", 'x,"y', "5,6,7", '1431857103,"a" b'])
def test_csv_malformed(line: str) -> None:
    """A record that is short, badly quoted, or has no time or nothing else is no request."""
    found = parsed(line, "csv", "time,ip")
    assert found is None or found == (5_000_000, {"client_address": "6"})


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("a,b", {}, "a column for time"),
        ("time,b", {"path": "c"}, "columns path: found 'c'; accepted: one of 'time', 'b', or a number from 1 to 2"),
        ("time,b", {"time": "1", "path": "3"}, "columns path: found '3'"),
        ("time,b", {"time": "0"}, "columns time: found '0'"),
        ("1,2", {"path": "1"}, "a column for time"),
    ],
)
def test_csv_without_its_columns(header: str, columns: dict[str, str], message: str) -> None:
    """A CSV without a time, or without a column that was named, is refused with the columns it has."""
    with pytest.raises(InvalidInputError, match=message):
        parser_for("csv", header, columns)


@pytest.mark.parametrize(
    "columns", [{"tme": "a"}, {"": "a"}, {"header:": "a"}, {"time": ""}, {"time": 7}, {"client_adress": "b"}]
)
def test_a_mapping_of_unknown_things(columns: dict[str, str]) -> None:
    """A mapping of something that no rule knows is refused with what there is."""
    with pytest.raises(InvalidInputError, match="columns"):
        checked_columns(columns)


@pytest.mark.parametrize(
    ("request_line", "found"),
    [
        ("GET / HTTP/1.1", ("GET", "/")),
        ("GET /a", ("GET", "/a")),
        ("GET http://www.example/a?b HTTP/1.1", ("GET", "/a")),
        ("GET http://www.example HTTP/1.1", ("GET", "/")),
        ("OPTIONS * HTTP/1.1", ("OPTIONS", "*")),
        ("CONNECT www.example:443 HTTP/1.1", ("CONNECT", "www.example:443")),
        ("GET", ("", "")),
        ("", ("", "")),
        ("G\\x00T / HTTP/1.1", ("", "")),
    ],
)
def test_request_lines(request_line: str, found: tuple[str, str]) -> None:
    """A request line gives method and path, without the query, scheme and host."""
    assert request_line_of(request_line) == found


def test_a_path_stays_a_path() -> None:
    """A path is left as it is, even with what looks like a scheme in it."""
    assert path_of("/a://b") == "/a://b"
