"""The samples of the pages on rules files and on the library are true: each is read or run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sluicegate.ratelimit.algorithms import ALGORITHMS
from sluicegate.ratelimit.rate import Rate
from sluicegate.ratelimit.rules import PathPattern, parse_rules
from sluicegate.ratelimit.rules.fields import match_names, rule_fields
from sluicegate.ratelimit.rules.reading import TOP_FIELDS
from sluicegate.utils import ConfigurationError

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES_PAGE = (DOCS / "rules.md").read_text("utf-8")
LIBRARY_PAGE = DOCS / "library.md"
RULES_SAMPLES = re.findall(r"^```(yaml|toml)\n(.*?)^```", RULES_PAGE, re.DOTALL | re.MULTILINE)
UNITS = re.findall(r"^\| (second|minute|hour|day|week|month|year) \| ([^|]+)", RULES_PAGE, re.MULTILINE)
GLOBS = re.findall(r"^\| `([/*][^`]*)` \| ([^|]+) \| ([^|]+) \|", RULES_PAGE, re.MULTILINE)
PROGRAMS = re.findall(
    r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", LIBRARY_PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize(("notation", "sample"), RULES_SAMPLES)
def test_a_sample_of_rules_can_be_used(notation: str, sample: str) -> None:
    """Each sample of the page is a whole file of rules."""
    assert parse_rules(sample, notation=notation).limits


def test_both_notations_say_the_same() -> None:
    """The first sample in YAML and the one in TOML give equal rules."""
    yaml, toml = (parse_rules(sample, notation=notation) for notation, sample in RULES_SAMPLES[:2])
    assert yaml == toml


def test_the_refused_sample_is_refused_as_written() -> None:
    """The page shows word for word what is said of its wrong file."""
    found = re.search(r"^```yaml refused\n(.*?)^```.*?^```text\n(.*?)^```", RULES_PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(found[1], source="rules.yaml")
    assert str(caught.value) == found[2].rstrip("\n")


def test_the_last_sample_has_a_rule_of_each_kind() -> None:
    """The complete sample has a rule for each algorithm."""
    notation, sample = RULES_SAMPLES[-1]
    assert {rule.limit.algorithm for rule in parse_rules(sample, notation=notation).limits} == set(ALGORITHMS)


@pytest.mark.parametrize("name", [*TOP_FIELDS, *rule_fields(), "match", *match_names(), *ALGORITHMS])
def test_each_name_is_explained(name: str) -> None:
    """Each field, descriptor and algorithm has a row in a table of the page."""
    assert re.search(rf"\n\|[^|]*`{name}`[^|]*\|", RULES_PAGE)


@pytest.mark.parametrize(("unit", "spellings"), UNITS)
def test_each_spelling_of_a_unit_is_read(unit: str, spellings: str) -> None:
    """Each spelling that the page names is that unit."""
    names = [name for name in re.findall(r"`(\w+)`", spellings) if name != "calendar_quota"]
    assert {Rate.parse(f"1/{name}").unit for name in names} == {unit}


@pytest.mark.parametrize(("glob", "covered", "others"), GLOBS)
def test_a_glob_covers_what_the_page_says(glob: str, covered: str, others: str) -> None:
    """Each glob of the page covers the paths beside it, and not those that it is said not to."""
    pattern = PathPattern(glob)
    said = {path: cell is covered for cell in (covered, others) for path in re.findall(r"`([^`]+)`", cell)}
    assert {path: pattern.matches(path) for path in said} == said


@pytest.mark.parametrize(("heading", "program"), PROGRAMS, ids=[heading for heading, _ in PROGRAMS])
def test_a_sample_of_the_library_runs(heading: str, program: str) -> None:
    """Each program of the page runs to its end, and what it asserts is so."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, f"{LIBRARY_PAGE.name}: {heading}", "exec"), names)
    for test in [value for name, value in names.items() if name.startswith("test_")]:
        test()
    assert "assert " in program


def test_no_program_is_left_out() -> None:
    """As many programs are run as the page has."""
    assert len(PROGRAMS) == LIBRARY_PAGE.read_text("utf-8").count("```python\n")
