"""A photo crawl through Chromium reaches the hosts of its settings and no other: Chromium's own log of its network says
so. For everything in Python the guard of all tests says so, see tests/support/outbound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from standin.photos.server import PhotoServer
from tests.support.photo_crawls import FIRST_LOT, Crawls, Database
from vinops.config import ConfigError, Settings
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from pathlib import Path


def asked(log: Path) -> tuple[set[str], set[str]]:
    """Return the names that a browser resolved and the addresses that it connected to, by its log, which has no end if
    the browser was killed. An address of the internet that a UDP socket is connected to gets nothing yet: it is how
    Chromium finds out whether there is IPv6."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    found = json.loads(text if text.endswith("}") else text.rstrip(",") + "]}")
    kinds = {number: name for name, number in found["constants"]["logEventTypes"].items()}
    names, addresses = set(), set()
    for event in found["events"]:
        kind, facts = kinds[event["type"]], event.get("params", {})
        if kind == "HOST_RESOLVER_MANAGER_JOB" and "host" in facts:
            names.add(facts["host"])
        if kind == "TCP_CONNECT_ATTEMPT" and "address" in facts:
            addresses.add(facts["address"].rpartition(":")[0])
    return names, addresses


@pytest.mark.slow
def test_a_browser_reaches_the_site_and_nothing_else(settings: Settings, database: Database, tmp_path: Path) -> None:
    try:
        chromium = find_chromium(Settings())
    except ConfigError as error:
        pytest.skip(str(error))
    log, wrapper = tmp_path / "network.json", tmp_path / "chromium"
    wrapper.write_text(f'#!/bin/sh\nexec {chromium} "$@" --log-net-log={log}\n')
    wrapper.chmod(0o755)
    with PhotoServer(seed=5, empty_every=1, none_every=0, username="canary-member", password="canary-word") as server:
        account = {"COPART_USERNAME": "canary-member", "COPART_PASSWORD": "canary-word", "CHROMIUM_PATH": str(wrapper)}
        crawls = Crawls(settings=settings, database=database, server=server, more=account)
        crawls.add_lot(FIRST_LOT)
        crawled = crawls.run()
        assert server.site.attempts == 1, crawled.log
    assert asked(log) == (set(), {"127.0.0.1"})
