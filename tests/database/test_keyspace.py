"""Names on the server: no two states share one, no user moves a hash slot, and no key makes a name without bound."""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.algorithms import ALGORITHMS
from sluicegate.utils import InvalidInputError, checked_key
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES_MAX = 96  # longer keys are digests
DIGEST_LENGTH = 1 + 32  # a tilde and 128 bits in hexadecimal
NASTY = ":{}%~7BDE25a"  # separators, hash tags, escapes and what they are written as


def is_key(text: str) -> bool:
    """Say whether the boundary lets a key pass, and leaves it as it is."""
    try:
        return checked_key(text) == text
    except InvalidInputError:
        return False


KEYS = st.one_of(
    st.text(NASTY, min_size=1, max_size=8),
    st.text(min_size=1, max_size=120).filter(is_key),
    st.text(NASTY, min_size=90, max_size=200),
)
NAMES = st.one_of(st.text(NASTY, min_size=1, max_size=6), st.text(min_size=1, max_size=20).filter(is_key))


def state_name(limit: str, key: str, keyspace: Keyspace | None = None) -> str:
    """Return how the state of a key is called on the server under a limit."""
    return (keyspace or Keyspace()).name(Limit(limit, "1/s").plan.prefix, key)


def whole_slot(name: str) -> int:
    """Return the slot of a name all of which is hashed, by another implementation of the same sum."""
    return binascii.crc_hqx(name.encode(), 0) % REDIS_CLUSTER_HASH_SLOTS


@given(
    st.lists(st.one_of(KEYS, st.text("abc:1", min_size=1, max_size=9)), min_size=1, max_size=5),
    st.integers(0, 20),
    st.integers(0, 2),
)
def test_names_of_many_are_those_of_each(keys: list[str], tags: int, group: int) -> None:
    """Where they have one tag: with groups or without, and whether one of them needs an escape or not."""
    keyspace = Keyspace(tags=tags)
    together = [key for key in keys if keyspace.tag(key, group) == keyspace.tag(keys[0], group)]
    assert keyspace.names("gcra:api:", together, group) == [keyspace.name("gcra:api:", key, group) for key in together]


def test_a_plain_key_can_be_read_on_the_server() -> None:
    """An operator finds prefix, layout, algorithm, limit and key in the name as they are."""
    assert state_name("api", "user:42") == "sg:1:gcra:api:user:42"
    assert Keyspace("eu-1_x").name("fixed_window:per client:", "::1") == "eu-1_x:1:fixed_window:per client:::1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a:b", "c"), ("a", "b:c")),
        (("a", ":b"), ("a:", "b")),
        (("a", "{b}"), ("a", "%7Bb%7D")),
        (("a%3Ab", "c"), ("a:b", "c")),
        (("a", "%25"), ("a", "%")),
        (("a", "~b"), ("a", "%7Eb")),
        (("a", "k" * 97), ("a", state_name("a", "k" * 97).removeprefix("sg:1:gcra:a:"))),
    ],
)
def test_pairs_that_look_alike_have_names_of_their_own(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Neither separators, nor escapes, nor the text of a digest make one pair look like another."""
    assert state_name(*one) != state_name(*other)


@given(st.lists(st.tuples(NAMES, KEYS), unique=True, max_size=20))
def test_no_two_pairs_meet(pairs: list[tuple[str, str]]) -> None:
    """Different pairs of limit and key have different names."""
    assert len({state_name(*pair) for pair in pairs}) == len(pairs)


@given(st.text(NASTY, min_size=3, max_size=12), st.data())
def test_where_the_limit_ends_is_never_in_doubt(text: str, data: st.DataObject) -> None:
    """However one text is cut into limit and key, each cut has a name of its own."""
    cuts = [(text[:at], text[at:]) for at in range(1, len(text))]
    assert len({state_name(*cut) for cut in cuts}) == len(cuts)


@given(NAMES, KEYS)
def test_a_short_pair_can_be_read_back(limit: str, key: str) -> None:
    """Escapes lose nothing: limit and key follow from the name, unless the key is a digest."""
    start, layout, _, limit_shown, key_shown = state_name(limit, key).split(":", 4)
    assert (start, layout, unquote(limit_shown)) == ("sg", "1", limit)
    if len(key.encode()) <= KEY_BYTES_MAX:
        assert unquote(key_shown) == key
    else:
        assert key_shown.startswith("~")


@given(NAMES, KEYS)
@example("{a}", "{b}")
def test_nobodys_name_moves_a_slot(limit: str, key: str) -> None:
    """No brace stands in a name, so all of it is hashed, and no user chooses the node."""
    name = state_name(limit, key)
    assert "{" not in name
    assert "}" not in name
    assert key_slot(name.encode()) == whole_slot(name)


@pytest.mark.parametrize("tag", ["{x}", "{x}:", "a{x}b", "{{x}}", "{}{x}y{x}"])
def test_a_hash_tag_in_a_users_id_gathers_nothing(tag: str) -> None:
    """Ids with one tag are spread over the slots as ids without it are."""
    ids = [f"{tag}{number}" for number in range(200)]
    assert len({key_slot(state_name("api", each).encode()) for each in ids}) > 150
    assert len({key_slot(Keyspace().companion("gcra:api:", each, "7").encode()) for each in ids}) > 150


def test_a_cluster_node_hashes_all_of_a_name(tmp_path: Path) -> None:
    """A real server in cluster mode computes for hostile ids the slot of the whole name."""
    names = [state_name(limit, key) for limit in ("api", "{api}") for key in ("a", "{x}1", "{x}2", "}{", "~", "{" * 97)]
    options = ["--cluster-enabled", "yes", "--cluster-config-file", str(tmp_path / "nodes.conf")]
    options += ["--cluster-port", str(free_port())]
    with RedisServer(options) as server, redis.Redis.from_url(server.url) as client:
        told = [client.execute_command("CLUSTER KEYSLOT", name) for name in names]
    assert told == [whole_slot(name) for name in names]


@given(NAMES, KEYS | st.integers(1, 40).map(lambda times: "{é%:~}" * times * 17))
@example("api", "{" * 4096)
@example("api", "\N{SMILING FACE WITH SUNGLASSES}" * 4096)
def test_a_name_is_bounded(limit: str, key: str) -> None:
    """Whatever the key, its part of a name is at most each of 96 bytes escaped, and mostly far less."""
    shown = state_name(limit, key).split(":", 4)[4]
    assert len(shown) <= 3 * KEY_BYTES_MAX
    if len(key.encode()) > KEY_BYTES_MAX:
        assert len(shown) == DIGEST_LENGTH


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("k" * 96, False),
        ("k" * 97, True),
        ("é" * 48, False),
        ("é" * 49, True),
        ("{" * 96, False),
        ("{" * 97, True),
        ("\N{SMILING FACE WITH SUNGLASSES}" * 24, False),
        ("\N{SMILING FACE WITH SUNGLASSES}" * 25, True),
    ],
)
def test_keys_of_more_than_96_bytes_are_digests(key: str, digest: bool) -> None:
    """The bound counts bytes before escaping; beyond it stands BLAKE2b of 128 bits."""
    shown = state_name("api", key).removeprefix("sg:1:gcra:api:")
    assert (shown == "~" + hashlib.blake2b(key.encode(), digest_size=16).hexdigest()) is digest


def test_a_secret_keys_the_digests() -> None:
    """Who does not know the secret cannot tell which long key a name belongs to; short keys do not change."""
    long, short = "k" * 97, "user:42"
    first, second, plain = Keyspace(secret=b"one"), Keyspace(secret=b"x" * 64), Keyspace()
    assert len({space.name("gcra:api:", long) for space in (first, second, plain)}) == 3
    assert Keyspace(secret=b"one").name("gcra:api:", long) == first.name("gcra:api:", long)
    assert len({space.name("gcra:api:", short) for space in (first, second, plain)}) == 1


def test_deployments_with_different_prefixes_share_nothing() -> None:
    """The prefix ends at the first colon, so whatever limits and keys are called, no name of one is the other's."""
    names = [state_name("api", "a", Keyspace(prefix)) for prefix in ("a", "b", "a-1", "sg")]
    assert [name.partition(":")[0] for name in names] == ["a", "b", "a-1", "sg"]


@given(NAMES, KEYS, st.integers(0, 2**63), st.integers(0, 999))
def test_a_companion_meets_no_state(limit: str, key: str, decided_at_us: int, serial: int) -> None:
    """What must happen once stands apart from all state, and each decision has its own."""
    base = Limit(limit, "1/s").plan.prefix
    companion = Keyspace().companion(base, key, f"{decided_at_us}:{serial}")
    assert companion == Keyspace().name(f"once:{decided_at_us}:{serial}:{base}", key)
    assert companion != Keyspace().companion(base, key, f"{decided_at_us}:{serial + 1}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_algorithm_is_called_as_companions_are(algorithm: str) -> None:
    """The third part of a name is the family of an algorithm, and none is called ``once``."""
    rate = {"concurrency": "1", "calendar_quota": "1/day"}.get(algorithm, "1/s")
    name = Keyspace().name(Limit("api", rate, algorithm=algorithm).plan.prefix, "key")
    assert name.split(":")[2] not in {"once", ""}


@pytest.mark.parametrize("prefix", ["s", "sg", "a" * 32, "A-b_9"])
def test_a_plain_prefix_is_accepted(prefix: str) -> None:
    """Letters, digits, dash and underscore, up to 32 of them."""
    assert Keyspace(prefix).name("gcra:api:", "k") == f"{prefix}:1:gcra:api:k"


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", "''"),
        ("a" * 33, repr("a" * 33)),
        ("a" * 50, "text of 50 characters"),
        ("a:b", "'a:b'"),
        ("{a}", "'{a}'"),
        ("a b", "'a b'"),
        ("sg\n", r"'sg\n'"),
        ("é", r"'\xe9'"),
        ("\u0663", r"'\u0663'"),
        (None, "None"),
        (b"sg", "bytes of length 2"),
    ],
)
def test_another_prefix_is_refused(prefix: str, found: str) -> None:
    """What could separate, tag or break a name is no prefix."""
    with pytest.raises(InvalidInputError) as caught:
        Keyspace(prefix)
    accepted = "1 to 32 letters, digits, - or _"
    assert (caught.value.where, caught.value.found, caught.value.accepted) == ("key prefix", found, accepted)


@pytest.mark.parametrize("secret", [b"s3cret" * 11, "s3cret", bytearray(b"s3cret"), ["s3cret"], 42_424_242])
def test_a_wrong_secret_is_refused_and_not_shown(secret: bytes) -> None:
    """The message tells the secret's shape, and nothing of what it says."""
    with pytest.raises(InvalidInputError) as caught:
        Keyspace(secret=secret)
    assert (caught.value.where, caught.value.accepted) == ("key secret", "up to 64 bytes")
    assert "s3cret" not in str(caught.value)
    assert "4242" not in str(caught.value)
