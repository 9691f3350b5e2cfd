"""The market of real size: its figures, its clock, and lists that agree with its history at any time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from standin.market import real
from standin.market.addresses import Asked
from standin.market.clock import Clock, milliseconds, moment
from standin.market.cycles import IN_BULGARIA, NOW, region_slug
from standin.market.live import LiveMarket
from standin.market.population import DAY, MAKES, MODELS, Population
from standin.market.requests import Tally
from standin.market.values import ABROAD, ALL_MAKES, MAKES as FOLLOWED, REGIONS

SORTS = (1, 3, 4, 5, 6)


@pytest.fixture
def market() -> LiveMarket:
    """A small one, busy: a tenth of its ads come and go in a day."""
    return LiveMarket(seed=7, ads=200, new_a_day=20)


def ids(market: LiveMarket, make: str | None = None, **narrowed: object) -> list[str]:
    return [ad.id for ad in market.listing(make, **narrowed).ads]  # type: ignore[arg-type]


class TestTheFigures:
    def test_129_431_ads_of_twenty_makes(self) -> None:
        assert real.COUNTS.keys() == FOLLOWED.keys()
        assert sum(real.COUNTS.values()) == 129_431
        counts = real.make_counts(129_431)
        assert {make: counts[make] for make in FOLLOWED} == real.COUNTS
        assert 21_400 < sum(counts.values()) - 129_431 <= real.OTHERS
        assert sum(real.make_counts(1000)[make] for make in FOLLOWED) == 1000

    def test_every_region_has_a_share(self) -> None:
        assert real.REGION_SHARES.keys() == REGIONS.keys()
        assert sum(real.REGION_SHARES.values()) == pytest.approx(100)

    def test_models_of_more_than_three_thousand_ads(self) -> None:
        golf, a4 = (
            real.COUNTS[make] * dict(zip(MODELS[MAKES.index(make)], real.model_weights(make), strict=True))[model]
            for make, model in (("vw", "golf"), ("audi", "a4"))
        )
        assert (round(golf), round(a4)) == (3619, 3216)
        assert all(sum(real.model_weights(make)) == pytest.approx(1) for make in ALL_MAKES)


class TestTheClock:
    def test_time_passes_as_fast_as_told(self) -> None:
        seconds = iter([100.0, 100.0, 100.0, 110.0, 110.0, 112.0, 115.0])
        clock = Clock(NOW, speed=60, real=lambda: next(seconds))
        assert clock.now == NOW + timedelta(minutes=10)
        clock.run(1)
        assert clock.now == NOW + timedelta(minutes=10, seconds=3)

    def test_it_stands_still_and_skips(self) -> None:
        clock = Clock(NOW)
        clock.skip(timedelta(hours=5))
        assert clock.now == NOW + timedelta(hours=5)
        assert moment(milliseconds(NOW)) == NOW

    @pytest.mark.parametrize("speed", [-1, float("inf"), float("nan")])
    def test_other_speeds_are_refused(self, speed: float) -> None:
        with pytest.raises(ValueError, match="at least 0"):
            Clock(NOW, speed=speed)


class TestThePopulation:
    def test_ids_are_unique_and_found(self) -> None:
        ads = Population(seed=1, ads=300, new_a_day=200, start=NOW)
        ads.draw_day()
        assert list(ads.posted) == sorted({*ads.posted}), "each later than the one before"
        assert [ads.number(ads.ad_id(number)) for number in range(len(ads))] == list(range(len(ads)))
        assert ads.number("1" * 17) is ads.number("x") is None

    def test_a_day_brings_as_many_as_told_most_of_them_by_day(self) -> None:
        ads = Population(seed=1, ads=2000, new_a_day=600, start=NOW)
        there = len(ads)
        ads.draw_day()
        new = range(there, len(ads))
        assert len(new) == round(600 * there / 2000), "those that are not followed come in proportion"
        assert all(milliseconds(NOW) <= ads.posted[number] < milliseconds(NOW) + DAY for number in new)
        hours = Counter(ads.posted_at(number).astimezone(ZoneInfo(real.TIME_ZONE)).hour for number in new)
        assert sum(hours[hour] for hour in range(1, 6)) * 20 < sum(hours[hour] for hour in range(9, 14))

    def test_the_market_keeps_its_size(self) -> None:
        market = LiveMarket(ads=500, new_a_day=50)
        before = market.count()
        market.pass_time(15 * 24)
        assert 0.8 * before < market.count() < 1.2 * before


class TestTheMarket:
    def test_it_is_the_same_however_time_passes(self, market: LiveMarket) -> None:
        others = LiveMarket(seed=7, ads=200, new_a_day=20)
        others.listing("vw", sort=3)
        for hours in (0.1, 5, 30, 0, 12.9):
            others.pass_time(hours)
        market.pass_time(48)
        assert list(market.history()) == list(others.history())
        assert market.ads() == others.ads()
        assert list(LiveMarket(seed=8, ads=200, new_a_day=20).history()) != list(market.history())

    def test_lists_follow_what_happens(self, market: LiveMarket) -> None:
        scopes: list[dict[str, str]] = [
            {}, {"region": IN_BULGARIA}, {"make": "vw"}, {"make": "vw", "region": IN_BULGARIA},
            {"make": "vw", "model": "golf"}, {"make": "vw", "model": "golf", "region": "oblast-sofiya"},
            {"make": "bmw", "region": "izvan-stranata"},
        ]  # fmt: skip
        for _ in range(4):
            ads = list(market.ads().values())
            for scope in scopes:
                wanted = {
                    ad.id
                    for ad in ads
                    if scope.get("make") in (None, ad.make)
                    and scope.get("model") in (None, ad.model)
                    and (
                        "region" not in scope
                        or (ad.region != ABROAD if scope["region"] == IN_BULGARIA else False)
                        or (ad.region != "" and region_slug(ad.region) == scope["region"])
                    )
                }
                for sort in SORTS:
                    found = ids(market, **scope, sort=sort)
                    assert (len(found), {*found}) == (len(wanted), wanted), (scope, sort)
            market.pass_time(17)

    def test_the_orders(self, market: LiveMarket) -> None:
        for _ in range(2):
            newest = ids(market, sort=6)
            assert newest == sorted(newest, key=lambda ad_id: ad_id[1:], reverse=True)
            two_days = ids(market, sort=7)
            assert two_days == newest[: len(two_days)]
            assert all(market.now - ad.posted <= timedelta(days=2) for ad in market.listing(sort=7).ads)
            assert market.now - market.ads()[newest[len(two_days)]].posted > timedelta(days=2)
            prices = [ad.price for ad in market.listing(sort=3).ads]
            assert prices == sorted(prices, key=lambda price: (price is None, price or 0))
            driven = [ad.mileage_km for ad in market.listing(sort=5).ads]
            assert driven == sorted(driven, key=lambda km: (km is None, km or 0))
            ranks = [ad.promotion for ad in market.listing(sort=99).promoted]
            assert ranks == sorted(ranks, key=["BEST", "TOP", "VIP"].index)
            market.pass_time(30)

    def test_the_history_says_which_ads_were_there_at_any_time(self, market: LiveMarket) -> None:
        there = {}
        for _ in range(3):
            there[milliseconds(market.now)] = {*market.ads()}
            market.pass_time(9)
        history = list(market.history())
        for at, ads in there.items():
            assert ads == {
                ad_id for ad_id, _, posted, left, _ in history if posted <= at and (left is None or at < left)
            }

    def test_prices_change(self) -> None:
        market = LiveMarket(ads=300, new_a_day=0)
        before = market.ads()
        market.pass_time(24)
        changed = [ad for ad in market.ads().values() if ad.price != before[ad.id].price]
        assert 2 <= len(changed) <= 15
        assert {ad.trend for ad in changed} <= {"UP", "DOWN"}

    def test_one_ad_by_hand(self) -> None:
        market = LiveMarket(ads=60, new_a_day=6)
        ad = market.listing("vw", sort=3).ads[0]
        market.set_price(ad.id, 1_000_000)
        assert ids(market, "vw", sort=3).index(ad.id) > 0
        found = market.find(ad.id)
        assert found is not None
        assert found.price == Decimal(1_000_000)
        market.remove(ad.id)
        assert market.find(ad.id) is None
        assert market.gone(ad.id) is not None
        assert ad.id not in ids(market, "vw", sort=3)
        with pytest.raises(KeyError):
            market.remove(ad.id)
        market.restore(ad.id)
        market.pass_time(24 * 100)
        assert ad.id in ids(market, "vw", sort=6), "for good"
        with pytest.raises(KeyError):
            market.restore(ad.id)
        with pytest.raises(KeyError):
            market.set_price("1" * 17, 1)

    def test_an_ad_does_not_exist_before_it_is_posted(self, market: LiveMarket) -> None:
        later = LiveMarket(seed=7, ads=200, new_a_day=20)
        later.pass_time(24)
        new = {ad_id for ad_id, *_ in later.history()} - {ad_id for ad_id, *_ in market.history()}
        assert new
        assert all(market.find(ad_id) is None and market.gone(ad_id) is None for ad_id in new)

    def test_what_cannot_be_is_refused(self, market: LiveMarket) -> None:
        with pytest.raises(ValueError, match="at least 0"):
            LiveMarket(ads=-1)
        with pytest.raises(ValueError, match="-1 hours"):
            market.pass_time(-1)
        assert LiveMarket(ads=0).count() == 0


def test_requests_are_counted_by_what_they_are_for() -> None:
    tally = Tally()
    for at, make, model, region in (
        (1.0, None, None, IN_BULGARIA),
        (1.05, "vw", "golf", None),
        (1.25, "vw", "golf", "oblast-ruse"),
    ):
        asked = Asked(make=make, model=model, region=region, page=1, sort=6)
        tally.count("list", asked, at=at, speed=60, whole=IN_BULGARIA)
    summary = tally.summary()
    assert summary["requests"] == {"list_all": 1, "list_model": 1, "list_region": 1}
    assert summary["total"] == 3
    assert summary["gaps"] == {"smallest": pytest.approx(3), "p1": pytest.approx(3), "mean": pytest.approx(7.5)}
