"""The feed of real size: lots that stay for nine days, as many new ones a day as told, and sales when they leave."""

from __future__ import annotations

import io
import statistics
from datetime import timedelta
from itertools import pairwise

import pytest

from standin.feed.live import LOTS, NEW_A_DAY, STAYS, LiveFeed, share_gone, stay

LOT, SALE = 8, 3  # columns of a row


def test_lots_stay_for_nine_days() -> None:
    assert stay(0.5) == 9
    assert share_gone(9) == 0.5
    assert [share_gone(stay(share)) for share, _ in STAYS] == pytest.approx([share for share, _ in STAYS])
    mean = sum((high - low) * (begin + end) / 2 for (low, begin), (high, end) in pairwise(STAYS))
    assert mean == pytest.approx(LOTS / NEW_A_DAY, rel=0.01), "so many come as leave"


def test_a_day_of_the_feed() -> None:
    feed = LiveFeed(seed=1, lots=1500, new_a_day=160)
    there, new, gone = {*feed.lot_numbers}, set(), set()
    for _ in range(24):
        change = feed.advance(minutes=60)
        for lot in change.gone:
            left = feed.leaves(lot)
            assert left is not None
            assert feed.now - timedelta(hours=1) < left <= feed.now
        new |= {*change.new}
        gone |= {*change.gone}
    assert len(new) == 160
    assert 100 < len(gone) < 230
    assert {*feed.lot_numbers} == (there | new) - gone


def test_a_lot_is_sold_on_the_day_on_which_it_leaves() -> None:
    feed = LiveFeed(seed=1, lots=300)
    for _ in range(3):
        feed.advance(changed=0.2)
    dated = [row for row in feed.records() if row[SALE] != "0"]
    assert 0.6 < len(dated) / len(feed) < 0.9
    for row in dated:
        leaves = feed.leaves(int(row[LOT]))
        assert leaves is not None
        assert row[SALE] == f"{leaves:%Y%m%d}"


def test_most_lots_were_there_for_a_while() -> None:
    feed = LiveFeed(seed=1, lots=1000)
    left = sorted((leaves - feed.now).total_seconds() / 86_400
                  for leaves in map(feed.leaves, feed.lot_numbers) if leaves)  # fmt: skip
    assert len(left) == 1000
    assert left[0] > 0
    assert 3.5 < statistics.median(left) < 6.5


def test_the_same_seed_gives_the_same_feed() -> None:
    feeds = [LiveFeed(seed=seed, lots=200) for seed in (1, 1, 2)]
    twin = feeds[0].clone()
    for feed in (*feeds, twin):
        feed.advance()
        feed.advance(minutes=600)

    def written(feed: LiveFeed) -> bytes:
        stream = io.BytesIO()
        feed.write(stream)
        return stream.getvalue()

    assert written(feeds[0]) == written(feeds[1]) == written(twin) != written(feeds[2])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        LiveFeed(lots=5, new_a_day=-1)
    assert LiveFeed(lots=5).leaves(1) is None
    assert len(LiveFeed(lots=0).advance().new) == 0
