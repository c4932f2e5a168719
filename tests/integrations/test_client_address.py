"""Who a request is from, and every way to lie about it."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import InvalidInputError
from sluicegate.integrations import UNKNOWN_CLIENT, ClientAddress

PEER = "198.51.100.1"
names = st.sampled_from(["x-forwarded-for", "forwarded"])


def from_header(*values: str, name: str = "x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("proxies", "header", "client"),
    [
        (0, "203.0.113.9", PEER),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        (2, "192.0.2.1, 203.0.113.9", "192.0.2.1"),
        (2, "203.0.113.9", "203.0.113.9"),
        (3, "6.6.6.6, 192.0.2.1, 203.0.113.9, 10.0.0.1", "192.0.2.1"),
        (1, " , ,203.0.113.9,, ,", "203.0.113.9"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::/64"),
        (1, "[2001:db8::1]", "2001:db8::/64"),
        (1, "2001:db8::1", "2001:db8::/64"),
        (1, "fe80::1%eth0", "fe80::/64"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "[::ffff:203.0.113.9]:80", "203.0.113.9"),
        (1, "64:ff9b::203.0.113.9", "203.0.113.9"),
    ],
)
def test_a_number_of_proxies_is_walked_from_the_right(proxies: int, header: str, client: str) -> None:
    """The element that the outermost trusted proxy wrote is the client, in canonical form."""
    assert ClientAddress(trusted_proxies=proxies).resolve(PEER, from_header(header)) == client


@pytest.mark.parametrize(
    "element",
    [
        "unknown",
        "_hidden",
        "localhost",
        "203.0.113.999",
        "0127.0.0.1",
        "203.0.113.9:",
        "203.0.113.9:99999x",
        "[2001:db8::1",
        "[2001:db8::1]x",
        "[203.0.113.9]",
        "2001:db8::1::2",
        "\u0661.2.3.4".encode().decode("latin-1"),
        "1" * 5000,
        "203.0.113.9\x00",
        '"203.0.113.9"',
    ],
)
def test_what_is_no_address_ends_the_walk(element: str) -> None:
    """An element that names no address leaves the last trustworthy address, and raises nothing."""
    settings = ClientAddress(trusted_proxies=2)
    assert settings.resolve(PEER, from_header(f"192.0.2.1, {element}, 203.0.113.9")) == "203.0.113.9"
    assert settings.resolve(PEER, from_header(element)) == PEER


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.1.1.1, 10.2.2.2", "203.0.113.9"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("6.6.6.6, rubbish, 10.1.1.1", "10.1.1.1"),
        ("", "10.0.0.1"),
    ],
)
def test_networks_of_proxies_are_walked_until_one_is_a_stranger(header: str, client: str) -> None:
    """The first address from the right that is in no trusted network is the client."""
    settings = ClientAddress(trusted_proxies=["10.0.0.0/8", "2001:db8:1::/48"])
    assert settings.resolve("10.0.0.1", from_header(header)) == client
    assert settings.resolve("::ffff:10.0.0.1", from_header(header)) == client


def test_a_stranger_is_not_believed() -> None:
    """A connection from outside the trusted networks is the client, whatever its header says."""
    settings = ClientAddress(trusted_proxies={"10.0.0.0/8"})
    assert settings.resolve(PEER, from_header("203.0.113.9")) == PEER


def test_mapped_networks_are_networks() -> None:
    """A trusted network written as IPv4 within IPv6 means the IPv4 network."""
    settings = ClientAddress(trusted_proxies=("::ffff:10.0.0.0/104",))
    assert settings.resolve("10.9.9.9", from_header("203.0.113.9")) == "203.0.113.9"


def test_several_fields_are_one_list() -> None:
    """A header sent twice is read as one list, in the order in which it came."""
    settings = ClientAddress(trusted_proxies=1)
    assert settings.resolve(PEER, from_header("6.6.6.6", "203.0.113.9")) == "203.0.113.9"


def test_only_the_chosen_header_is_read() -> None:
    """Other headers that proxies are known to write mean nothing."""
    others = [
        (b"x-real-ip", b"6.6.6.6"),
        (b"cf-connecting-ip", b"6.6.6.6"),
        (b"forwarded", b"for=6.6.6.6"),
        (b"true-client-ip", b"6.6.6.6"),
    ]
    assert ClientAddress(trusted_proxies=1).resolve(PEER, others) == PEER
    assert ClientAddress(trusted_proxies=1, header="Forwarded").resolve(PEER, from_header("6.6.6.6")) == PEER


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ('proto=http; for="203.0.113.9:4711"', "203.0.113.9"),
        ('for="[2001:db8::1]:4711"', "2001:db8::/64"),
        ("for=6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ('for="6.6.6.6, for=203.0.113.9', "203.0.113.9"),
        ('for="a,b;c", for="[2001:db8::1]"', "2001:db8::/64"),
        ("for=unknown", PEER),
        ("for=_hidden", PEER),
        ("for=203.0.113.9;for=6.6.6.6", PEER),
        ("proto=https", PEER),
        ('for=203.0.113.9"', PEER),
        (";;;=,", PEER),
    ],
)
def test_forwarded_is_read_as_its_standard_says(header: str, client: str) -> None:
    """The `for` of the right element counts, and no quote of the client's reaches over a proxy's."""
    settings = ClientAddress(trusted_proxies=1, header="forwarded")
    assert settings.resolve(PEER, from_header(header, name="forwarded")) == client


@given(st.text(st.characters(max_codepoint=255), max_size=200), st.integers(0, 32), names)
def test_no_header_raises(value: str, proxies: int, name: str) -> None:
    """Whatever the header holds, the answer is the peer's or another well-formed address."""
    settings = ClientAddress(trusted_proxies=proxies, header=name)
    client = settings.resolve(PEER, from_header(value, name=name))
    assert client == ClientAddress().resolve(client.partition("/")[0], [])


@given(st.text(st.characters(max_codepoint=255), max_size=200), names)
def test_a_client_cannot_move_what_its_proxy_wrote(text: str, name: str) -> None:
    """Whatever a client writes on the left, the address that the trusted proxy adds is found."""
    added = 'for="[2001:db8::7]:80"' if name == "forwarded" else "2001:db8::7"
    settings = ClientAddress(trusted_proxies=1, header=name)
    for headers in (from_header(f"{text}, {added}", name=name), from_header(text, added, name=name)):
        assert settings.resolve(PEER, headers) == "2001:db8::/64"


def test_random_headers_are_one_key() -> None:
    """Ten thousand different headers from one connection give one key: nobody is trusted by default."""
    draw = random.Random(7)
    settings = ClientAddress()
    keys = {settings.resolve(PEER, from_header(str(IPv6Address(draw.getrandbits(128))))) for _ in range(10_000)}
    assert keys == {PEER}


def test_a_whole_network_is_one_key() -> None:
    """The 65,536 addresses that one subscriber can pick from at will give one key."""
    settings = ClientAddress()
    first = int(IPv6Address("2001:db8:0:7::"))
    keys = {settings.resolve(str(IPv6Address(first + (i << 48 - i % 49))), []) for i in range(1, 2**16, 7)}
    keys |= {settings.resolve(str(IPv6Address(first + i)), []) for i in range(2**16)}
    assert keys == {"2001:db8:0:7::/64"}


def test_mapped_clients_stay_apart() -> None:
    """IPv4 addresses within IPv6 are taken out before masking, so they do not share one key."""
    settings = ClientAddress()
    mapped = {settings.resolve(f"::ffff:203.0.113.{i}", []) for i in range(256)}
    translated = {settings.resolve(f"64:ff9b::203.0.113.{i}", []) for i in range(256)}
    assert mapped == translated == {f"203.0.113.{i}" for i in range(256)}


@pytest.mark.parametrize(
    ("prefix", "client"), [(48, "2001:db8:1::/48"), (56, "2001:db8:1:200::/56"), (128, "2001:db8:1:203::7")]
)
def test_the_prefix_can_be_chosen(prefix: int, client: str) -> None:
    """IPv6 addresses are one client by as many leading bits as set."""
    assert ClientAddress(ipv6_prefix=prefix).resolve("2001:db8:1:203::7", []) == client


def test_a_connection_without_address_has_a_name() -> None:
    """A Unix socket's client is the constant, unless a trusted proxy behind it tells more."""
    header = from_header("203.0.113.9")
    assert ClientAddress().resolve(None, header) == UNKNOWN_CLIENT
    assert ClientAddress(trusted_proxies=["10.0.0.0/8"]).resolve(None, header) == UNKNOWN_CLIENT
    assert ClientAddress(trusted_proxies=["unix"]).resolve(None, header) == "203.0.113.9"
    assert ClientAddress(trusted_proxies=1).resolve(None, header) == "203.0.113.9"
    assert ClientAddress(trusted_proxies=1).resolve("testclient", []) == UNKNOWN_CLIENT


def test_a_huge_header_is_cut_at_its_left() -> None:
    """Megabytes of header cost no more than their bounded right end, which still counts."""
    settings = ClientAddress(trusted_proxies=1)
    assert settings.resolve(PEER, from_header("6.6.6.6," * 200_000 + "203.0.113.9")) == "203.0.113.9"
    assert settings.resolve(PEER, from_header(*["6.6.6.6"] * 10_000, "203.0.113.9")) == "203.0.113.9"
    assert settings.resolve(PEER, from_header("203.0.113.9" + "," * 1_000_000)) == PEER


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"trusted_proxies": -1}, "trusted_proxies"),
        ({"trusted_proxies": 33}, "trusted_proxies"),
        ({"trusted_proxies": True}, "trusted_proxies"),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies"),
        ({"trusted_proxies": ["10.0.0.0/8"] * 257}, "trusted_proxies"),
        ({"trusted_proxies": [7]}, "trusted_proxies"),
        ({"header": "x-real-ip"}, "header"),
        ({"header": None}, "header"),
        ({"ipv6_prefix": 32}, "ipv6_prefix"),
        ({"ipv6_prefix": 64.0}, "ipv6_prefix"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], where: str) -> None:
    """A setting that could not mean what was meant is refused by name."""
    with pytest.raises(InvalidInputError) as refused:
        ClientAddress(**settings)  # type: ignore[arg-type]  # that is the point
    assert refused.value.where == where
