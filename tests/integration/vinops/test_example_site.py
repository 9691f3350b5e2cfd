"""The example site of CONTRIBUTING.md is crawled on loopback, and its ads are recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_contributing import ROOT, example_site, write_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.market_crawls import Database
    from vinops.config import Settings

FIRST = example_site()["tests/pages/kola/two_ads/response.html"]
LAST = FIRST.partition("<a rel")[0].replace('data-ad="1"', 'data-ad="3"').replace("Opel", "Ford")


@contextmanager
def served(pages: Mapping[str, str]) -> Iterator[str]:
    """Serve these pages on loopback; yield the address of the site."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the Scrapy project with the files of the example."""
    shutil.copytree(ROOT / "vinops_scrapy", tmp_path / "vinops_scrapy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "scrapy.cfg", tmp_path)
    write_site(tmp_path)
    return tmp_path


def crawl(project: Path, settings: Settings, standin: str) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url.reveal(),
        "VINOPS_DATA_DIR": str(settings.data_dir),
        "VINOPS_LOG_DIR": str(settings.log_dir),
        "VINOPS_PACE": "none",
        "PYTHONPATH": f"{project}{os.pathsep}{ROOT}",
    }
    return subprocess.run(
        [sys.executable, "-m", "scrapy", "crawl", "kola", "-s", f"VINOPS_STANDIN={standin}"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_ads_are_recorded_page_by_page(project: Path, settings: Settings, database: Database) -> None:
    with served({"/ads": FIRST, "/ads?page=2": LAST}) as address:
        done = crawl(project, settings, address)
    assert done.returncode == 0, done.stderr
    assert "Scraped: page 1 INSERT 2 UPDATE 0" in done.stderr
    rows = database.execute("select ad_id, make_slug, title, price_eur from listings where source = 'kola' order by 1")
    assert [tuple(map(str, row)) for row in rows] == [
        ("1", "opel", "Opel Astra", "4500.00"),
        ("2", "vw", "VW Golf", "7900.00"),
        ("3", "ford", "Ford Astra", "4500.00"),
    ]
    assert database.execute("select count(*) from ops.deal_outbox").fetchall() == [(3,)]
    run = database.execute("select spider, reason, unit, done, items from ops.crawl_runs").fetchall()
    assert run == [("kola", "finished", "page", 2, 4)]


def test_a_page_that_fails_lets_the_run_end_as_incomplete(
    project: Path, settings: Settings, database: Database
) -> None:
    with served({"/ads": FIRST}) as address:
        done = crawl(project, settings, address)
    assert done.returncode == 1, done.stderr
    assert database.execute("select reason from ops.crawl_runs").fetchall() == [("incomplete",)]
    assert database.execute("select count(*) from listings").fetchall() == [(2,)]


@pytest.mark.usefixtures("database")
def test_the_stand_in_is_on_loopback(project: Path, settings: Settings) -> None:
    done = crawl(project, settings, "https://cars.example.com")
    assert done.returncode == 1
    assert "VINOPS_STANDIN=https://cars.example.com is not on loopback" in done.stderr
