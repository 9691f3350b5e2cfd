"""Lists of the site that vanish and appear, and totals that flicker: no ad is taken for gone, and the next walk is
complete again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from standin.market.server import MarketServer
from tests.support.market_crawls import MarketCrawls, everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection

    from tests.support.photo_crawls import Crawled
    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]

pytestmark = pytest.mark.slow

LAST = "select is_complete, reason, total, ads, ads_gone from ops.listing_walks where make_slug = %s order by id desc"


@pytest.fixture
def kias() -> int:
    """How many ads the make has that is cut off: it is walked by models."""
    return 110


@pytest.fixture
def crawls(settings: Settings, database: Database, kias: int, tmp_path: Path) -> Iterator[MarketCrawls]:
    """Crawls of a site that shows two pages of a list, in three orders."""
    with MarketServer(seed=2, ads=0, make_ads={"kia": kias, "fiat": 30}, page_limit=2, repeats=0) as server:
        more = {"VINOPS_MAKES_FILE": everywhere(tmp_path, page_limit=2)}
        yield MarketCrawls(settings=settings, database=database, server=server, more=more)


def walked(crawls: MarketCrawls, *makes: str, exit_code: int = 0) -> Crawled:
    """Walk makes; none of the ads that are there may be gone."""
    crawled = crawls.run("-a", f"makes={','.join(makes)}")
    assert crawled.exit_code == exit_code, crawled.log[-4000:]
    there = {ad_id for ad_id, ad in crawls.server.ads().items() if ad.make in makes}
    assert there <= crawls.active(*makes)
    if exit_code == 0:
        assert there == crawls.active(*makes)
    return crawled


def last(crawls: MarketCrawls, make: str) -> tuple[Any, ...]:
    """Return the last walk of a make: whether it is complete, why not, its total, the ads seen, and those gone."""
    return crawls.rows(LAST, make)[0]


def read(crawls: MarketCrawls, model: str | None, region: str | None) -> list[tuple[Any, ...]]:
    """Return the state of a list in the last walk, and whether it had ads."""
    return crawls.rows(
        "select state, total > 0 from ops.walk_pieces where walk_id = (select max(id) from ops.listing_walks)"
        " and model is not distinct from %s and region is not distinct from %s",
        model, region,
    )  # fmt: skip


def test_a_make_that_appears_is_complete_and_one_that_vanishes_keeps_its_ads(crawls: MarketCrawls) -> None:
    crawls.server.hide("fiat")
    crawled = crawls.run("-a", "makes=fiat,kia")
    assert (crawled.exit_code, crawled.stats["walk/failed/no_such_list"], last(crawls, "kia")[0]) == (1, 1, True)
    assert last(crawls, "fiat")[:2] == (False, "no_such_list")
    crawls.server.hide()
    walked(crawls, "fiat", "kia")
    crawls.server.hide("fiat")
    crawls.server.advance(new=3, changed=0, gone=3, back=0)
    before = crawls.active("fiat")
    assert crawls.run("-a", "makes=fiat,kia").exit_code == 1
    assert (last(crawls, "fiat")[:2], last(crawls, "kia")[0]) == ((False, "no_such_list"), True)
    assert crawls.active("fiat") == before, "nobody knows which of them are gone"
    crawls.server.hide()
    walked(crawls, "fiat")


@pytest.mark.parametrize(
    ("kias", "list_of", "order", "reason"),
    [
        (50, "model", "asc", None),
        (110, "model", "desc", "cut_off"),
        (140, "region", "asc", None),
    ],
)
def test_a_list_that_appears_is_read_and_one_that_vanishes_keeps_its_ads(
    crawls: MarketCrawls, kias: int, list_of: str, order: str, reason: str | None
) -> None:
    """The ads of a small list are found in the list above it; without those of a large one the walk is incomplete."""
    walked(crawls, "kia")
    ((model, region),) = crawls.rows(
        "select model, region from ops.walk_pieces where total > 0 and state = 'read' and (region is null) = %s"
        f" and parent is not null and not is_cut order by total {order}, number limit 1",
        list_of == "model",
    )
    crawls.database.execute("truncate listings, ops.listing_walks cascade")
    crawls.server.hide(region or f"kia/{model}")
    first = crawls.run("-a", "makes=kia")
    assert (first.exit_code, last(crawls, "kia")[1]) == (1 if reason else 0, reason)
    assert read(crawls, model, region) in ([], [("unknown", None)]), "nobody names it"
    crawls.server.hide()
    walked(crawls, "kia")
    assert read(crawls, model, region) == [("read", True)], "it has appeared"
    crawls.server.hide(region or f"kia/{model}")
    crawled = walked(crawls, "kia", exit_code=1 if reason else 0)
    assert crawled.stats["walk/unknown_list"] >= 1
    assert (last(crawls, "kia")[1], last(crawls, "kia")[4]) == (reason, 0), "it has vanished"


@pytest.mark.quick
def test_a_total_that_is_too_low_once_costs_a_page_or_two(crawls: MarketCrawls) -> None:
    crawls.server.fault("other_total", 1, makes=["fiat"], pages=[2], by=-1)
    walked(crawls, "fiat")
    assert last(crawls, "fiat") == (True, None, 30, 30, 0)
    assert [each.page for each in crawls.server.requests if each.make == "fiat"] == [1, 2, 1, 2]


def test_a_total_that_flickers_ends_the_walk_and_marks_nothing_gone(crawls: MarketCrawls) -> None:
    walked(crawls, "fiat")
    crawls.server.clear_requests()
    crawls.server.fault("other_total", makes=["fiat"], pages=[2], by=-1)
    crawled = walked(crawls, "fiat", exit_code=1)
    assert last(crawls, "fiat") == (False, "unsteady", 29, 30, 0)
    assert crawled.stats["walk/failed/unsteady"] == 1
    assert len([each for each in crawls.server.requests if each.make == "fiat"]) < 50
    crawls.server.clear_faults()
    walked(crawls, "fiat")
    assert last(crawls, "fiat") == (True, None, 30, 30, 0)
