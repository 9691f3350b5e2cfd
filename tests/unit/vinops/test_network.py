"""Hosts that are this machine are known by their names alone."""

from __future__ import annotations

import pytest

from vinops.network import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "127.0.0.1", "127.8.9.1:1", "localhost:80", "LocalHost", "::1", "[::1]:80", "[::1]"]
)
def test_what_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("cs.copart.com", "10.0.0.1:80", "localhost.example.com", "127.0.0.1.example.com:80", "0.0.0.0:80", ""),
        *("127.0.0.1@example.com", "localhost:80@example.com", "127.0.0.1/x", "localhost?x", "[::2]:80", "2001:db8::1"),
        *("[::1", "127.1", "2130706433", ":80"),
    ],
)
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
