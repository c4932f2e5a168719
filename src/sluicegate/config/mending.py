"""Says what an operator can do about a server that gave no usable answer: a line for each of the usual reasons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sluicegate.utils import StoreError

__all__ = ["advice_for"]

TLS_FILES: Final = "redis.tls_ca_file, redis.tls_cert_file and redis.tls_key_file"

# What servers, redis-py and the system say; the first that fits is taken.
MENDINGS: Final[tuple[tuple[str, str], ...]] = (
    ("there are no credentials", "have the file of redis.password_file hold the password, readable for this process"),
    (
        "WRONGPASS|invalid username-password",
        "the server knows no such user with that password: see redis.username and redis.password, or those in the URL",
    ),
    (
        "NOAUTH|already authenticated|Authentication required",
        "the server asks for a password: set redis.password or redis.password_file (not for other hosts in --redis)",
    ),
    ("NOPERM|no permissions", "allow the user what sluicegate config redis-acl prints"),
    (
        "CERTIFICATE_VERIFY_FAILED.*mismatch",
        "the certificate is for another name: reach the server by one that it is for, or have one made for this",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "name who vouches for the server's certificate: redis.tls_ca_file"),
    (
        "CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|HANDSHAKE_FAILURE",
        "show the server a certificate that it trusts: redis.tls_cert_file and redis.tls_key_file",
    ),
    (r"\[(SSL|X509|PEM)", f"a certificate or key cannot be used: see {TLS_FILES}"),
    (
        "Name or service not known|name resolution|No address associated|nodename nor servname|getaddrinfo",
        "this machine cannot resolve the name: see the host in redis.url, and the machine's DNS",
    ),
    (
        "Error (111|61) |Connection refused",
        "nothing listens there: see that the server runs, and host and port in redis.url",
    ),
    ("Error (101|113) |unreachable|No route", "there is no way to that host: see the network, and redis.url"),
    ("No such file", f"a file is not there: the socket of a unix:// URL, or one of {TLS_FILES}"),
    (
        "reset by peer|Protocol error|closed by server",
        "see that a Redis listens there; one with TLS takes rediss://, and may ask for redis.tls_cert_file",
    ),
    (
        "no (answer|connection) within",
        "see that the server is well, that no firewall is between, and that it speaks TLS where the URL says so",
    ),
    ("max number of clients|connections are in use", "the server has no connection left: raise its maxclients"),
    ("cluster support disabled", "it is no Cluster: redis:// in place of redis+cluster://"),
    ("unknown command 'SENTINEL'", "it is no sentinel: name the sentinels, or redis:// in place of redis+sentinel://"),
    ("know of no such service", "see the name of the service at the end of redis.url"),
    ("DB index", "the server has fewer databases: see the number at the end of redis.url"),
    ("loading", "wait until the server has read its data"),
)
USUAL: Final = "see that the server runs, and redis.url"


def advice_for(error: StoreError) -> str:
    """Return what to do about *error*."""
    for pattern, advice in MENDINGS:
        if re.search(pattern, error.reason, re.IGNORECASE):
            return advice
    return USUAL
