"""What each thing that redis-py raises means: by the server's code first, then by whether anything was sent."""

from __future__ import annotations

import inspect
import socket
import ssl

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from sluicegate.database.classification import UNNAMED, classified, code_of
from sluicegate.utils import (
    CorruptStateError,
    ErrorClass,
    OutcomeUnknownError,
    ScriptError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
)

REASON_LENGTH_MAX = 200
OF_REDIS_PY = [each for each in vars(exceptions).values() if inspect.isclass(each) and issubclass(each, Exception)]

# Each line as servers send it, its code, and what it means; sent or not, for the server has answered.
LINES = [
    ("ASK 3999 127.0.0.1:6381", "ASK", StoreTopologyError),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL.", "BUSY", StoreOverloadedError),
    ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", StoreTopologyError),
    ("CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT", ScriptError),
    ("DENIED Redis is running in protected mode", "DENIED", StoreAuthenticationError),
    ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT", ScriptError),
    ("LOADING Redis is loading the dataset in memory", "LOADING", StoreUnavailableError),
    ("MASTERDOWN Link with MASTER is down", "MASTERDOWN", StoreTopologyError),
    ("MISCONF Redis is configured to save RDB snapshots", "MISCONF", StoreUnavailableError),
    ("MOVED 3999 127.0.0.1:6381", "MOVED", StoreTopologyError),
    ("NOAUTH Authentication required.", "NOAUTH", StoreAuthenticationError),
    ("NOPERM User default has no permissions to run the 'evalsha' command", "NOPERM", StoreAuthenticationError),
    ("NOPROTO unsupported protocol version", "NOPROTO", ScriptError),
    ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", StoreTopologyError),
    ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT", ScriptError),
    ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", StoreOverloadedError),
    ("READONLY You can't write against a read only replica.", "READONLY", StoreTopologyError),
    ("SGLAYOUT written by a newer version", "SGLAYOUT", ScriptError),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", StoreTopologyError),
    ("UNBLOCKED force unblock from blocking operation, instance state changed", "UNBLOCKED", StoreTopologyError),
    ("UNKILLABLE Sorry the script already executed write commands", "UNKILLABLE", ScriptError),
    ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", StoreAuthenticationError),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE", CorruptStateError),
    ("SOMETHINGNEW that no version has sent yet", "SOMETHINGNEW", ScriptError),
    ("ERR max number of clients reached", "ERR", StoreOverloadedError),
    ("ERR max number of clients + cluster connections reached", "ERR", StoreOverloadedError),
    ("ERR invalid password", "ERR", StoreAuthenticationError),
    ("ERR unknown command 'EVALSHA_RO'", "ERR", ScriptError),
    ("ERR user_script:1: boom script: 0000, on @user_script:1.", "ERR", ScriptError),
    ("ERR DB index is out of range", "ERR", ScriptError),
    ("no code at all", UNNAMED, ScriptError),
    ("Mixed case is no code", UNNAMED, ScriptError),
]

# What is raised on this side: what it means when nothing was sent, and when something was.
RAISED = [
    (exceptions.ConnectionError("Error 111 connecting"), StoreUnavailableError, OutcomeUnknownError),
    (exceptions.ConnectionError("Connection closed by server."), StoreUnavailableError, OutcomeUnknownError),
    (exceptions.TimeoutError("Timeout reading"), StoreUnavailableError, OutcomeUnknownError),
    (exceptions.InvalidResponse("Protocol error"), StoreUnavailableError, OutcomeUnknownError),
    (exceptions.RedisError("something"), StoreUnavailableError, OutcomeUnknownError),
    (TimeoutError(), StoreUnavailableError, OutcomeUnknownError),
    (ConnectionResetError(104, "reset"), StoreUnavailableError, OutcomeUnknownError),
    (BrokenPipeError(32, "pipe"), StoreUnavailableError, OutcomeUnknownError),
    (socket.gaierror(-2, "Name or service not known"), StoreUnavailableError, OutcomeUnknownError),
    (EOFError(), StoreUnavailableError, OutcomeUnknownError),
    (exceptions.MaxConnectionsError("Too many connections"), StoreOverloadedError, StoreOverloadedError),
    (exceptions.BusyLoadingError("loading"), StoreUnavailableError, StoreUnavailableError),
    (exceptions.AuthenticationError("refused"), StoreAuthenticationError, StoreAuthenticationError),
    (exceptions.AuthorizationError("refused"), StoreAuthenticationError, StoreAuthenticationError),
    (exceptions.NoPermissionError("refused"), StoreAuthenticationError, StoreAuthenticationError),
    (exceptions.ResponseError("failed"), ScriptError, ScriptError),
    (exceptions.RedisClusterException("slots"), ScriptError, ScriptError),
]


def named(value: object) -> str | None:
    """Name a row by what is raised in it."""
    return repr(value)[:40] if isinstance(value, BaseException) else None


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(("line", "code", "meant"), LINES, ids=[line.split()[0] for line, _, _ in LINES])
def test_a_servers_line_means_what_its_code_says(line: str, code: str, meant: type[StoreError], sent: bool) -> None:
    """The server has answered and done nothing, so the outcome is known, sent or not."""
    raised = BaseParser.parse_error(line)
    error = classified(raised, "run decide", sent=sent)
    assert code_of(raised) == code
    assert type(error) is meant
    assert error.error_class is not ErrorClass.AMBIGUOUS


@pytest.mark.parametrize(("raised", "unsent", "sent"), RAISED, ids=named)
def test_a_fault_on_the_way_depends_on_what_had_left(
    raised: BaseException, unsent: type[StoreError], sent: type[StoreError]
) -> None:
    """Once bytes had left, a lost answer leaves the outcome unknown; before, nothing has happened."""
    assert type(classified(raised, "run decide", sent=False)) is unsent
    assert type(classified(raised, "run decide", sent=True)) is sent


@pytest.mark.parametrize("kind", OF_REDIS_PY)
def test_every_exception_of_redis_py_is_in_the_tree(kind: type[Exception]) -> None:
    """Whatever class redis-py has or gets, what comes of it is a store's error, and never a claim that nothing left."""
    raised = kind.__new__(kind)
    Exception.__init__(raised, "1 127.0.0.1:6379")
    meant = classified(raised, "run decide", sent=True)
    assert isinstance(meant, StoreError)
    assert not isinstance(meant, StoreUnavailableError) or kind is exceptions.BusyLoadingError


@pytest.mark.parametrize(
    ("within", "unsent"),
    [
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), StoreAuthenticationError),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), StoreAuthenticationError),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), StoreUnavailableError),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed"), StoreUnavailableError),
        (ConnectionRefusedError(111, "refused"), StoreUnavailableError),
    ],
    ids=named,
)
def test_a_refused_handshake_is_told_from_a_lost_connection(within: OSError, unsent: type[StoreError]) -> None:
    """What TLS refuses it will refuse again; an end in the middle may pass, and after a request nobody knows."""
    raised = exceptions.ConnectionError("Error connecting")
    raised.__context__ = within
    assert type(classified(raised, "connect", sent=False)) is unsent
    assert type(classified(raised, "run decide", sent=True)) is OutcomeUnknownError


@pytest.mark.parametrize("text", ["ERR " + "k" * 10_000, "ERR one\nERR two", "ERR one\rtwo", "one\u2028two", ""])
def test_a_reason_is_one_short_line(text: str) -> None:
    """A server's message may carry what a client sent, so it is cut."""
    error = classified(exceptions.ResponseError(text), "run decide", sent=True)
    assert error.operation == "run decide"
    assert error.reason.startswith("ResponseError: ")
    assert len(error.reason.splitlines()) == 1
    assert len(error.reason) <= REASON_LENGTH_MAX
