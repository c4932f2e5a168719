"""Fleets of real servers on the loopback: one, a Cluster with replicas, a master that sentinels watch, an embedded one.

Each with or without TLS, and reached by the server's default user or by one that may do no more than is needed.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import redis
import trustme

from sluicegate.database import Access, Password, Tls, connect, least_acl, sentinel_acl
from tests.servers import RedisServer, SocketServer, free_cluster_port, free_port, speaks_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluicegate.database import RedisClient

MASTERS, REPLICAS, SENTINELS = 3, 3, 3
NODE_TIMEOUT_MS = 2_000
DOWN_AFTER_MS = 1_000
READY_SECONDS_MAX = 60.0
STARTS_MAX = 3  # ports are drawn by many
SERVICE = "gate"
PREFIX = "sg"
TOPOLOGIES = ("standalone", "sentinel", "cluster", "standalone-tls", "sentinel-tls", "cluster-tls", "embedded")
USER = Password("sluicegate", "a-long-password")
REPLICATION = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


def wait_until(holds: Callable[[], bool], *, seconds: float = READY_SECONDS_MAX) -> None:
    """Wait a bounded time; what fails meanwhile does not hold yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, "the fleet is not ready"
        time.sleep(0.05)


class Certificates:
    """An authority of the test's own, and what it vouches for: files for servers and clients on the loopback."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        self.ca, self.cert, self.key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(str(self.ca))
        leaf.private_key_pem.write_to_path(str(self.key))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))

    def options(self, port: int) -> list[str]:
        """Return the options of a server that speaks TLS on *port*, and asks its clients for a certificate."""
        files = ["--tls-cert-file", str(self.cert), "--tls-key-file", str(self.key), "--tls-ca-cert-file", str(self.ca)]
        return ["--tls-port", str(port), *files, "--tls-auth-clients", "yes"]


class Fleet:
    """Servers that act as one; a context manager that starts and ends them.

    Args:
        tls: Whether they speak TLS, too, and clients use it.

    Attributes:
        user: Who clients are; by default the server's default user.
    """

    on_cluster = False

    def __init__(self, *, tls: bool = False) -> None:
        self._stack = ExitStack()
        self.tls = tls
        self.user: Password | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.certificates = Certificates(self.folder)
        self.servers: list[RedisServer] = []
        self.tls_ports: dict[int, int] = {}

    def connected(self) -> RedisClient:
        """Return a client, not connected yet."""
        own = self.certificates
        tls = Tls(ca_file=own.ca, cert_file=own.cert, key_file=own.key) if self.tls else None
        return connect(self.url, Access(credentials=self.user, tls=tls))

    def allow(self, line: str = "") -> None:
        """Make a user on every server as a line of an ACL file says, by default the least; clients are it from now."""
        self.user = USER
        for server in self.servers:
            make_user(server, line or least_acl(PREFIX, on_cluster=self.on_cluster))

    def as_user(self, server: RedisServer) -> redis.Redis:
        """Return a plain client of one server that is the user of `allow`."""
        own = self.certificates
        shown = {"ssl_ca_certs": str(own.ca), "ssl_certfile": str(own.cert), "ssl_keyfile": str(own.key)}
        where: dict[str, Any] = {"port": self.port_of(server), **({"ssl": True, **shown} if self.tls else {})}
        if isinstance(server, SocketServer):
            where = {"unix_socket_path": server.path}
        client = redis.Redis(username=USER.username, password=USER.password, socket_timeout=2, **where)
        return self._stack.enter_context(client)

    def names(self) -> set[str]:
        """Return what clients call the masters."""
        return {f"127.0.0.1:{self.port_of(server)}" for server in self.masters()}

    @property
    def url(self) -> str:
        """Where clients connect."""
        raise NotImplementedError

    def port_of(self, server: RedisServer) -> int:
        """Return the port that clients use."""
        return self.tls_ports[server.port] if self.tls else server.port

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the servers and wait until they act as one."""
        raise NotImplementedError

    def started(self, options: Sequence[str], port: int) -> RedisServer:
        """Start one server; at another port, where somebody else has come to this one meanwhile."""
        for _ in range(STARTS_MAX - 1):
            try:
                return self._started(options, port)
            except RuntimeError:
                port = free_cluster_port()
        return self._started(options, port)

    def _started(self, options: Sequence[str], port: int) -> RedisServer:
        folder = self.folder / str(port)
        folder.mkdir()
        if self.tls:
            self.tls_ports[port] = free_cluster_port()
            options = (*options, *self.certificates.options(self.tls_ports[port]))
        server = RedisServer(options=("--dir", str(folder), *options), port=port)
        return self._stack.enter_context(server)

    def client_of(self, server: RedisServer) -> redis.Redis:
        """Return a plain client of one server."""
        return self._stack.enter_context(redis.Redis(port=server.port, socket_timeout=2, decode_responses=True))

    def flush(self) -> None:
        """Empty all masters."""
        for server in self.masters():
            server.command("FLUSHALL")

    def masters(self) -> list[RedisServer]:
        """Return the servers that are masters now."""
        return [server for server in self.servers if role_of(server) == "master"]

    def server_at(self, port: int) -> RedisServer:
        """Return the server on *port*."""
        return next(server for server in self.servers if server.port == port)


class OneServer(Fleet):
    """A single server as a fleet."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port_of(self.servers[0])}"

    def start(self) -> None:
        """Start it."""
        self.servers = [self.started((), free_port())]


class EmbeddedFleet(Fleet):
    """The server that a process starts for itself and those that name its directory."""

    @property
    def url(self) -> str:
        """Where clients connect: by the directory, or as another user by the socket in it."""
        folder = self.folder / "embedded"
        return f"unix://{folder}/server.sock" if self.user else f"embedded://{folder}"

    def start(self) -> None:
        """Have it started, and stay one of its users."""
        keeper = connect(self.url)

        async def begin() -> None:
            await keeper.start()
            keeper.after_fork()  # the lock on the server stays, the connection is of this loop

        asyncio.run(begin())
        self._stack.callback(lambda: asyncio.run(keeper.aclose()))
        self.servers = [SocketServer(path=str(self.folder / "embedded" / "server.sock"))]

    def masters(self) -> list[RedisServer]:
        """Return the server."""
        return self.servers

    def names(self) -> set[str]:
        """Return the name of its socket."""
        return {server.path for server in self.servers if isinstance(server, SocketServer)}


class ClusterFleet(Fleet):
    """Three masters and three replicas."""

    on_cluster = True

    @property
    def url(self) -> str:
        """Where clients connect: only some are named, the others are learnt."""
        named = ",".join(f"127.0.0.1:{self.port_of(server)}" for server in self.servers[:2])
        return f"rediss+cluster://{named}" if self.tls else f"redis+cluster://{named}"

    def start(self) -> None:
        """Start six servers, give out the slots, and wait until the replicas have caught up."""
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS), *REPLICATION]
        if self.tls:  # else they would tell each other only the ports without it
            options += ["--tls-cluster", "yes", "--tls-replication", "yes"]
        self.servers = [self.started(options, free_cluster_port()) for _ in range(MASTERS + REPLICAS)]
        clients: list[Any] = [self.client_of(server) for server in self.servers]
        share = 16_384 // MASTERS
        for number, client in enumerate(clients[:MASTERS]):
            last = 16_383 if number == MASTERS - 1 else (number + 1) * share - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.port_of(self.servers[0]))
        wait_until(lambda: all(client.cluster("INFO")["cluster_known_nodes"] == "6" for client in clients))
        ids = [client.execute_command("CLUSTER", "MYID") for client in clients]
        for number, client in enumerate(clients[MASTERS:]):
            wait_until(lambda client=client, own=ids[number]: own in str(client.execute_command("CLUSTER", "NODES")))  # type: ignore[misc] # bound in the loop
            client.execute_command("CLUSTER", "REPLICATE", ids[number])
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until all slots are served and every replica has caught up."""
        clients: list[Any] = [self.client_of(server) for server in self.servers]
        wait_until(lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in clients))
        wait_until(lambda: all(is_linked(client) for client in clients))
        wait_until(lambda: len({owners_of(client) for client in clients}) == 1)

    def node_id(self, server: RedisServer) -> str:
        """Return what the Cluster calls a server."""
        return str(self.client_of(server).execute_command("CLUSTER", "MYID"))


class SentinelFleet(Fleet):
    """A master, two replicas, and three sentinels that watch them."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.sentinels: list[RedisServer] = []

    @property
    def url(self) -> str:
        """Where clients ask for the master."""
        named = ",".join(f"127.0.0.1:{self.port_of(sentinel)}" for sentinel in self.sentinels)
        own = f"?sentinel_username={self.user.username}&sentinel_password={self.user.password}" if self.user else ""
        return f"{'rediss' if self.tls else 'redis'}+sentinel://{named}/{SERVICE}{own}"

    def allow(self, line: str = "") -> None:
        """Make a user on the sentinels, too."""
        super().allow(line)
        for sentinel in self.sentinels:
            make_user(sentinel, sentinel_acl())

    def start(self) -> None:
        """Start all, and wait until each sentinel knows of each other and of the replicas."""
        options = (*REPLICATION, *(("--tls-replication", "yes") if self.tls else ()))
        self.servers = [self.started(options, free_port())]
        master = self.port_of(self.servers[0])
        for _ in range(2):
            self.servers.append(self.started((*options, "--replicaof", f"127.0.0.1 {master}"), free_port()))
        wait_until(lambda: all(is_linked(self.client_of(server)) for server in self.servers))
        self.sentinels = [self._started_sentinel(master) for _ in range(SENTINELS)]
        wait_until(self._sentinels_agree)

    def _started_sentinel(self, master: int) -> Sentinel:
        """Start one sentinel; with TLS it speaks so to the servers and to the other sentinels, too."""
        port = free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        if self.tls:
            self.tls_ports[port] = free_port()
            told = self.certificates.options(self.tls_ports[port])
            lines += [f"{name.removeprefix('--')} {value}" for name, value in zip(told[::2], told[1::2], strict=True)]
            lines.append("tls-replication yes")
        config = self.folder / f"sentinel-{port}.conf"
        config.write_text("\n".join(lines) + "\n", "utf-8")
        return self._stack.enter_context(Sentinel(options=(str(config),), port=port))

    def _sentinels_agree(self) -> bool:
        for sentinel in self.sentinels:
            client: Any = self.client_of(sentinel)
            told = client.execute_command("SENTINEL", "MASTER", SERVICE)
            facts = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
            others, replicas = facts["num-other-sentinels"], facts["num-slaves"]
            if (int(others), int(replicas)) != (SENTINELS - 1, 2):
                return False
        return True


class Sentinel(RedisServer):
    """One sentinel."""

    def arguments(self) -> list[str]:
        """Return how it is started."""
        return [self.options[0], "--sentinel"]


@contextmanager
def started_when_asked_for() -> Iterator[Mapping[str, Fleet]]:
    """Topologies by their names, each started once, when it is first asked for."""
    kinds: dict[str, type[Fleet]] = {
        "standalone": OneServer,
        "sentinel": SentinelFleet,
        "cluster": ClusterFleet,
        "embedded": EmbeddedFleet,
    }

    class Started(dict[str, Fleet]):
        def __missing__(self, name: str) -> Fleet:
            kind, _, tls = name.partition("-")
            if tls and not speaks_tls():
                pytest.skip("the server was built without TLS")
            self[name] = stack.enter_context(kinds[kind](tls=bool(tls)))
            return self[name]

    with ExitStack() as stack:
        yield Started()


def make_user(server: RedisServer, line: str) -> None:
    """Make the user of an ACL file's line anew, with the password that tests use."""
    _, name, *rules = line.replace("PASSWORD", str(USER.password)).split()
    assert server.command("ACL", "SETUSER", name, "reset", *rules) == b"+OK"


def owners_of(client: Any) -> frozenset[tuple[int, int, int]]:
    """Return which slots a server of a Cluster thinks are whose, by the port of the master."""
    told = client.execute_command("CLUSTER", "SLOTS")
    return frozenset((first, last, master[1]) for first, last, master, *_ in told)


def role_of(server: RedisServer) -> str:
    """Return whether a server is a master or a replica; nothing where it does not answer."""
    try:
        with redis.Redis(port=server.port, socket_timeout=1) as client:
            role: Any = client.execute_command("ROLE")
            return str(role[0].decode())
    except (redis.RedisError, OSError):
        return ""


def is_linked(client: Any) -> bool:
    """Say whether a server is a master, or a replica that has caught up."""
    facts = client.info("replication")
    if facts["role"] == "master":
        return True
    return bool(facts["master_link_status"] == "up" and facts["master_sync_in_progress"] == 0)
