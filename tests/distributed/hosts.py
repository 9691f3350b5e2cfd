"""Hosts in network namespaces: each with an address, a name and a link of its own, all on one bridge."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg

from vinops.db import embedded

SECONDS = 60
PASSWORD = "stand-in-database-password"


def obstacle() -> str | None:
    """Return why there can be no hosts here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    name = f"vnt{secrets.token_hex(3)}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no bridges here: {made.stderr.strip()}"
    subprocess.run(["ip", "link", "del", name], check=True)
    return None


def ip(*arguments: str) -> None:
    """Run ip."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host: `link` is its cable, by the end that is in the bridge."""

    name: str
    namespace: str
    link: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs something on this host, under the host's name."""
        named = 'hostname "$0" && exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", named, self.name, *arguments]

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, log: IO[bytes], cwd: Path
    ) -> subprocess.Popen[bytes]:
        """Start something on this host."""
        return subprocess.Popen(
            self.command(*arguments), env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def cut(self) -> None:
        """Cut the network connection of this host: packets are lost without an error."""
        ip("link", "set", self.link, "down")

    def reconnect(self) -> None:
        """Restore the network connection of this host."""
        ip("link", "set", self.link, "up")


@dataclass(kw_only=True)
class Network:
    """A bridge and the hosts on it."""

    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    hosts: list[Host] = field(default_factory=list)

    @property
    def bridge(self) -> str:
        """Its name."""
        return f"vnb{self.mark}"

    def __enter__(self) -> Network:
        """Make the bridge."""
        ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything away. What runs on the hosts is to be ended before."""
        for host in self.hosts:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", host.namespace)
        with suppress(subprocess.CalledProcessError):
            ip("link", "del", self.bridge)

    def add(self, name: str) -> Host:
        """Add a host."""
        number = len(self.hosts) + 1
        host = Host(
            name=name,
            namespace=f"vn-{self.mark}-{name}",
            link=f"vn{self.mark}h{number}",
            address=f"10.231.7.{number}",
        )
        ip("netns", "add", host.namespace)
        self.hosts.append(host)
        inner = f"vn{self.mark}i{number}"
        ip("link", "add", host.link, "type", "veth", "peer", "name", inner)
        ip("link", "set", host.link, "master", self.bridge, "up")
        ip("link", "set", inner, "netns", host.namespace)
        ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", inner)
        ip("-n", host.namespace, "link", "set", inner, "up")
        ip("-n", host.namespace, "link", "set", "lo", "up")
        return host


@dataclass(kw_only=True)
class DatabaseHost:
    """A PostgreSQL server on a host, for all hosts of its network; this process reaches it by its socket."""

    host: Host
    folder: Path
    fsync: str = "off"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the other hosts find it."""
        return f"postgresql://vinops:{PASSWORD}@{self.host.address}/vinops"

    @property
    def socket_url(self) -> str:
        """Where this process finds it."""
        return f"postgresql://vinops@/vinops?host={self.folder}"

    def start(self) -> None:
        """Make a cluster and start the server; it takes passwords over the network only."""
        self.folder.mkdir(parents=True)
        account = embedded.account_of(self.folder)
        os.chown(self.folder, account.uid, account.gid)
        data, secret = self.folder / "data", self.folder / "password"
        secret.write_text(PASSWORD)
        os.chown(secret, account.uid, account.gid)
        self._as_account(
            str(embedded.binary("initdb", account)),
            *("--pgdata", str(data), "--username", "vinops", "--pwfile", str(secret), "--encoding", "UTF8"),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-sync", "--locale", "C"),
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.231.7.0/24 scram-sha-256\n")
        settings = {
            "listen_addresses": self.host.address,
            "unix_socket_directories": str(self.folder),
            "dynamic_shared_memory_type": "sysv",
            "fsync": self.fsync,
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = self.host.start(
                [
                    *("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"),
                    *(str(embedded.binary("postgres", account)), "-D", str(data)),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                {"PATH": os.defpath, "LC_ALL": "C"},
                log=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with psycopg.connect(f"host={self.folder} user=vinops dbname=postgres", autocommit=True) as admin:
                    admin.execute("create database vinops")
                    return
            except psycopg.OperationalError:
                log_text = (self.folder / "server.log").read_text()
                assert time.monotonic() < deadline, log_text
                assert self.process.poll() is None, log_text
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server."""
        if self.process is not None:
            self.process.send_signal(3)  # immediate shutdown: nothing is to be kept
            self.process.wait(SECONDS)

    def _as_account(self, *command: str) -> None:
        account = embedded.account_of(self.folder)
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
