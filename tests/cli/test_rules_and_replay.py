"""Looking at rules, and trying them on a log, from a shell."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tests.cli.command import run

if TYPE_CHECKING:
    from pathlib import Path

LOG = "".join(
    f'192.0.2.{i % 2} - - [24/Nov/2025:10:00:{i:02d} +0000] "GET /{i} HTTP/1.1" 200 1 "-" "-"\n' for i in range(40)
)


def test_valid_rules_are_shown(rules_file: Path) -> None:
    """A file that is right ends with 0, and is told as what it means."""
    shown = run("rules", "check", str(rules_file))
    assert (shown.code, shown.err) == (0, "")
    assert "valid: 3 limits" in shown.out
    listed = json.loads(run("rules", "check", str(rules_file), "--json").out)
    assert [(limit["name"], limit["most_in_a_minute"]) for limit in listed["limits"]] == [
        ("api", 20),
        ("trial", 1),
        ("slots", 2),
    ]


def test_wrong_rules_are_told_whole(tmp_path: Path) -> None:
    """A file that is wrong ends with 2, and each problem has its line."""
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nlimits:\n  a: {rte: 1/s, key: tenant}\n  b: {rate: 1/x, key: tenant}\n")
    shown = run("rules", "check", str(path))
    assert (shown.code, shown.out) == (2, "")
    assert all(line.startswith("error: ") for line in shown.err.splitlines())
    assert "(did you mean 'rate'?)" in shown.err
    as_json = run("rules", "check", str(path), "--json")
    assert as_json.code == 2
    assert len(json.loads(as_json.out)["problems"]) == len(shown.err.splitlines()) >= 2


def test_what_is_surely_wrong_is_a_warning(tmp_path: Path) -> None:
    """A legal file with a warning ends with 0, or with 2 where somebody is strict; a blameless one with 0."""
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nlimits:\n  a:\n    rate: 5/s\n    key: user\n    cost: 9\n")
    shown = run("rules", "check", str(path))
    assert shown.code == 0
    assert "rules.yaml:6:11: limits.a.cost: found a cost of 9, which never fits a limit of 5; every" in shown.err
    assert run("rules", "check", str(path), "--strict").code == 2
    as_json = run("rules", "check", str(path), "--strict", "--json")
    told = json.loads(as_json.out)
    assert (as_json.code, told["valid"], len(told["warnings"])) == (2, True, 1)
    assert set(told["warnings"][0]) == {"where", "found", "advice"}
    path.write_text("version: 1\nlimits:\n  a: {rate: 5/s, key: user}\n")
    blameless = run("rules", "check", str(path), "--strict")
    assert (blameless.code, "valid: 1 limit\n" in blameless.out) == (0, True)


def test_a_pipe_is_no_file_of_rules(tmp_path: Path) -> None:
    """It is refused at once, and not waited for."""
    os.mkfifo(tmp_path / "rules.yaml")
    ran = run("rules", "check", str(tmp_path / "rules.yaml"))
    assert (ran.code, "found a pipe, socket or device" in ran.err) == (2, True)


def test_the_schema_is_printed() -> None:
    """Whoever edits rules gets their JSON Schema."""
    shown = run("rules", "schema")
    assert (shown.code, shown.err) == (0, "")
    assert json.loads(shown.out)["title"] == "Rules of Sluicegate"


def test_plans_are_told_where_they_differ(tmp_path: Path) -> None:
    """Of a plan the table shows what it changes, and the JSON object all that holds in it."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "version: 1\nlimits: {api: {rate: 1/s, key: user}, all: {rate: 9/s, key: host}}\n"
        "plans: {pro: {limits: {api: {rate: 2/s}}}}\n"
    )
    shown = run("rules", "check", str(path))
    assert "valid: 2 limits, 1 plan\n" in shown.out
    assert shown.out.count("plan pro") == 1
    told = json.loads(run("rules", "check", str(path), "--json").out)
    assert [rule["rates"] for rule in told["plans"]["pro"]] == [["2/second"], ["9/second"]]


def test_what_is_being_rolled_out_is_told(tmp_path: Path) -> None:
    """The table and the JSON object say of each limit what it is to become, and how far that is."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "version: 1\nlimits:\n"
        "  a: {rate: 9/s, key: user, rollout: {rate: 5/s, algorithm: fixed_window, critical: true, percent: 12.5}}\n"
        "  b: {rate: 1/s, key: host, shadow: true, rollout: {percent: 5}}\n"
    )
    shown = run("rules", "check", str(path), COLUMNS="120")
    assert (shown.code, shown.err) == (0, "")
    assert "12.5 % 5/second; fixed_window; on_failure closed; critical true" in shown.out
    assert "5 % enforced" in shown.out
    assert "valid: 2 limits, 2 being rolled out" in shown.out
    told = [rule["rollout"] for rule in json.loads(run("rules", "check", str(path), "--json").out)["limits"]]
    assert told[0] == {
        "percent": 12.5,
        "rates": ["5/second"],
        "algorithm": "fixed_window",
        "mode": "strict",
        "on_failure": "closed",
        "critical": True,
    }
    assert (told[1]["percent"], told[1]["rates"]) == (5, ["1/second"])


def test_rules_that_no_middleware_takes_are_told(tmp_path: Path) -> None:
    """Where more rules cover one request than are decided at once, a valid file is shown with a line that says so."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "version: 1\nlimits:\n" + "".join(f"  r{at}: {{rate: 1/s, key: header:x{at}}}\n" for at in range(33))
    )
    shown = run("rules", "check", str(path))
    assert (shown.code, shown.err) == (0, "")
    assert "33 of them cover one request (any method, path /)" in shown.out
    assert json.loads(run("rules", "check", str(path), "--json").out)["most_for_one_request"] == 33


def test_a_file_of_rules_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    """Control characters in a glob are shown as escapes, in the table and in its note."""
    path = tmp_path / "rules.yaml"
    rule = '{rate: 1/s, key: user, match: {path: "/\\e[31m"}}'
    path.write_text("version: 1\nlimits:\n" + "".join(f"  r{at}: {rule}\n" for at in range(33)))
    shown = run("rules", "check", str(path))
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert shown.out.count("\\x1b[31m") == 34


def test_a_log_is_replayed(tmp_path: Path, rules_file: Path) -> None:
    """A log from a file or from standard input gives a table, a JSON object and a page."""
    log = tmp_path / "access.log"
    log.write_text(LOG)
    page = tmp_path / "page.html"
    table = run("replay", str(log), "--rules", str(rules_file), "--html", str(page))
    assert table.code == 0
    assert "api" in table.out
    assert page.read_text().startswith("<!")
    found = json.loads(run("replay", "-", "--rules", str(rules_file), "--json", stdin=LOG).out)
    assert (found["lines"], found["rules"][0]["denied"]) == (40, 20)
    mapped = "when,who\n" + "".join(f"{i},a\n" for i in range(1_700_000_000, 1_700_000_020))
    columns = ("--format", "csv", "--columns", "time=when,client_address=who")
    found = json.loads(run("replay", "-", "--rules", str(rules_file), "--json", *columns, stdin=mapped).out)
    assert found["rules"][0]["requests"] == 20


def test_a_log_that_is_none_is_refused(tmp_path: Path, rules_file: Path) -> None:
    """A missing log and an unknown format end with 2 and one line."""
    for arguments in ([str(tmp_path / "none.log")], ["-", "--format", "xml"]):
        ended = run("replay", *arguments, "--rules", str(rules_file), stdin="")
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)
        assert ended.err.startswith("error: ")
