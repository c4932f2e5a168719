"""The error tree: one root, facts that survive pickling, and a class of failure for each."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil

import pytest

import sluicegate
from sluicegate import Limit, Limiter, utils
from sluicegate.utils import (
    ConfigurationError,
    CorruptStateError,
    ErrorClass,
    InvalidInputError,
    LimiterClosedError,
    LimitExceededError,
    OutcomeUnknownError,
    ScriptError,
    SluicegateError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
    errors,
)

REFUSED = InvalidInputError("cost", "-1", "a whole number")

# Each class with its kind of failure, and an example with the facts that it carries.
TABLE = [
    (SluicegateError("plain"), ErrorClass.PROGRAMMING, {}),
    (REFUSED, ErrorClass.PROGRAMMING, {"where": "cost", "found": "-1", "accepted": "a whole number"}),
    (ConfigurationError([REFUSED, REFUSED]), ErrorClass.CONFIGURATION, {}),
    (LimitExceededError("denied"), ErrorClass.PROGRAMMING, {"decision": "denied"}),
    (LimiterClosedError("closed"), ErrorClass.PROGRAMMING, {}),
    (StoreError("run", "why"), ErrorClass.TRANSIENT, {"operation": "run", "reason": "why"}),
    (StoreUnavailableError("run", "why"), ErrorClass.TRANSIENT, {"operation": "run", "reason": "why"}),
    (OutcomeUnknownError("run", "why"), ErrorClass.AMBIGUOUS, {"operation": "run", "reason": "why"}),
    (StoreOverloadedError("run", "why"), ErrorClass.OVERLOAD, {"operation": "run", "reason": "why"}),
    (StoreTopologyError("run", "why"), ErrorClass.TOPOLOGY, {"operation": "run", "reason": "why"}),
    (StoreAuthenticationError("run", "why"), ErrorClass.AUTHENTICATION, {"operation": "run", "reason": "why"}),
    (ScriptError("run", "why"), ErrorClass.SCRIPT, {"operation": "run", "reason": "why"}),
    (CorruptStateError("run", "why"), ErrorClass.CORRUPT_STATE, {"operation": "run", "reason": "why"}),
]


def named(value: object) -> str:
    """Name a row of the table by its class."""
    return type(value).__name__ if isinstance(value, SluicegateError) else ""


def classes_below(root: type) -> set[type]:
    """Return *root* and all that derive from it, but for what a rim keeps to itself."""
    below = {root}.union(*[classes_below(child) for child in root.__subclasses__()])
    return {each for each in below if not each.__name__.startswith("_")}


def drawn_tree() -> dict[str, str | None]:
    """Read the tree in the module's docstring: each name with the name above it."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        words = line.strip(" ├└─│").split()
        if not words or not words[0].endswith("Error") or not line.startswith(" "):
            continue
        column = line.index(words[0])
        while above and above[-1][0] >= column:
            above.pop()
        parents[words[0]] = above[-1][1] if above else None
        above.append((column, words[0]))
    return parents


def test_the_drawn_tree_is_that_of_the_classes() -> None:
    """The docstring draws every class under the one that it derives from, and no other."""
    classes = {each.__name__: each for each in classes_below(SluicegateError)}
    drawn = drawn_tree()
    assert drawn.pop("SluicegateError") is None
    assert drawn == {name: each.__bases__[0].__name__ for name, each in classes.items() if each is not SluicegateError}


@pytest.mark.parametrize("layer", ["utils", "monitoring", "database", "ratelimit", "integrations"])
def test_every_exception_of_the_library_is_in_the_tree(layer: str) -> None:
    """No module that a user imports defines an exception of its own beside the tree."""
    package = importlib.import_module(f"sluicegate.{layer}")
    modules = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    defined = {
        each for name in modules for each in vars(importlib.import_module(name)).values() if inspect.isclass(each)
    }
    own = {each for each in defined if each.__module__ in modules and issubclass(each, BaseException)}
    assert own <= classes_below(SluicegateError)


def test_every_exception_is_public() -> None:
    """What can be raised can be caught by a name of the package itself."""
    names = {each.__name__ for each in classes_below(SluicegateError)}
    assert names <= set(utils.__all__)
    assert names <= set(sluicegate.__all__)


def test_the_table_here_has_every_class() -> None:
    """No class is left out of the checks below."""
    assert {type(error) for error, _, _ in TABLE} == classes_below(SluicegateError)


@pytest.mark.parametrize(("error", "error_class", "facts"), TABLE, ids=named)
def test_each_error_names_its_class_of_failure(
    error: SluicegateError, error_class: ErrorClass, facts: dict[str, object]
) -> None:
    """The class of failure is that of the design's table, on the class itself."""
    assert error.error_class is type(error).error_class is error_class


@pytest.mark.parametrize(("error", "error_class", "facts"), TABLE, ids=named)
def test_each_error_travels_with_its_facts(
    error: SluicegateError, error_class: ErrorClass, facts: dict[str, object]
) -> None:
    """Pickled by any protocol, or copied, an error has the same type, text and facts."""
    assert facts.items() <= vars(error).items()
    travelled = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*travelled, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert facts.items() <= vars(other).items()


def test_the_kinds_of_failure_are_those_of_the_design() -> None:
    """There are nine kinds, from transient to programming."""
    assert [kind.value for kind in ErrorClass] == [
        "transient",
        "ambiguous",
        "overload",
        "topology",
        "authentication",
        "script",
        "corrupt_state",
        "configuration",
        "programming",
    ]


def test_a_refused_value_is_a_value_error_too() -> None:
    """Who expects Python's own exception for a wrong value catches it."""
    assert isinstance(REFUSED, ValueError)


def test_a_configuration_error_tells_each_problem_in_its_own_line() -> None:
    """All problems are named at once, and stay what they are when pickled."""
    error = ConfigurationError([REFUSED, InvalidInputError("rate", "'0/s'", "a rate")])
    assert str(error).splitlines() == [str(problem) for problem in error.problems]
    travelled = pickle.loads(pickle.dumps(error))
    assert [problem.where for problem in travelled.problems] == ["cost", "rate"]


async def test_a_denial_travels_with_its_decision() -> None:
    """The exception that a denial was made into carries the whole decision to another process."""
    async with Limiter() as limiter:
        denied = await limiter.acquire(Limit("api", "1/day"), "key", 2)
        with pytest.raises(LimitExceededError) as caught:
            denied.raise_if_denied()
    travelled = pickle.loads(pickle.dumps(caught.value))
    told = travelled.decision
    assert (told.limit.name, told.key, told.cost, told.remaining, told.retry_after) == ("api", "key", 2, 1, None)
    assert (told.allowed, told.never) == (False, True)
    assert str(travelled) == str(caught.value)
