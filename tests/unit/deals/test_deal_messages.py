"""What the channel reads of a deal is well-formed, short enough, and says what the facts say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from deals.channel.message import LONGEST, DealPost, clean, compose, cut, units
from standin.telegram.html import EntitiesError, links, plain, units as units_of_telegram
from vinops.text.unlinked import JOINER, unlinked

DEAL = DealPost(
    title="VW Golf 2.0 TDI",
    url="https://market.example/ad/1",
    price_eur=Decimal("9800.00"),
    p50=Decimal("12400.00"),
    p10=Decimal(10_100),
    p90=Decimal(15_600),
    confidence=0.69,
    comparables=34,
    score=Decimal("8.1"),
    reasons=("21 % below 34 comparable cars", "new today"),
    photo_url="https://photos.example/1.jpg",
    year=2015,
    month=3,
    mileage_km=185_000,
    fuel="diesel",
    gearbox="manual",
    power_hp=150,
    place="София",
    seller_kind="dealer",
)


def read(deal: DealPost, **how: Any) -> str:
    return plain(compose(deal, **how).html)


def test_a_message_says_what_the_deal_is_worth_and_why() -> None:
    message = compose(DEAL)
    assert plain(message.html).splitlines() == [
        "VW Golf 2.0 TDI, 03/2015",
        "9 800 €",
        "21 % below the market: 34 comparable cars, about 12 400 €",
        "sure: four of five such cars cost 10 100 to 15 600 €",
        "185 000 km · diesel · manual · 150 hp",
        "София · dealer",
        "Score 8.1: 21 % below 34 comparable cars; new today",
    ]
    assert message.photo_url == "https://photos.example/1.jpg"
    assert message.link == ("Open the ad", "https://market.example/ad/1")
    assert message.html.startswith("<b>VW Golf 2.0 TDI</b>, 03/2015\n<b>9 800 €</b>\n")


@pytest.mark.parametrize(("confidence", "said"), [(0.7, "sure: "), (0.55, "fairly sure: "), (0.3, "unsure: ")])
def test_a_message_says_how_sure_the_value_is(confidence: float, said: str) -> None:
    (line,) = [line for line in read(replace(DEAL, confidence=confidence)).splitlines() if "four of five" in line]
    assert line == said + "four of five such cars cost 10 100 to 15 600 €"
    assert "four of five" not in read(replace(DEAL, p10=None, p90=None))


def test_what_is_not_known_is_not_said() -> None:
    bare = DealPost(title="", url="https://market.example/ad/1", price_eur=Decimal(500))
    assert read(bare).splitlines() == ["A car", "500 €"]
    assert read(replace(bare, year=2012, mileage_km=90_000)).splitlines() == ["A car, 2012", "500 €", "90 000 km"]


def test_a_lower_price_strikes_the_old_one_through_and_a_higher_one_does_not() -> None:
    assert "\n<s>10 500 €</s> <b>9 800 €</b>\n" in compose(replace(DEAL, price_before=Decimal(10_500))).html
    assert "<s>" not in compose(replace(DEAL, price_before=Decimal(9000))).html


def test_an_ad_that_is_gone_is_marked_and_keeps_its_button() -> None:
    message = compose(DEAL, is_gone=True)
    assert message.html.startswith("<s>VW Golf 2.0 TDI</s>, 03/2015\n<b>No longer advertised</b>\n<b>9 800 €</b>\n")
    assert message.link == compose(DEAL).link
    assert "€" not in read(replace(DEAL, price_eur=None), is_gone=True)


@pytest.mark.parametrize(
    ("price", "cars", "says"),
    [
        (12_400, 34, "at the market: 34 comparable cars, about 12 400 €"),
        (13_640, 34, "10 % above the market: 34 comparable cars, about 12 400 €"),
        (6200, 1, "50 % below the market: 1 comparable car, about 12 400 €"),
        (6200, 0, "50 % below the market: about 12 400 € by the price model"),
    ],
)
def test_how_the_price_stands_to_the_market(price: int, cars: int, says: str) -> None:
    assert says in read(replace(DEAL, price_eur=Decimal(price), comparables=cars)).splitlines()


def test_warnings_are_told() -> None:
    assert "Beware: crashed: «ударен»" in read(replace(DEAL, risks=("crashed: «ударен»",))).splitlines()


def test_html_in_the_facts_is_text() -> None:
    text = '<b>Golf</b> & "Co" <a href="https://evil.example">x</a> &lt; <script>'
    assert read(replace(DEAL, title=text)).splitlines()[0].replace(JOINER, "") == f"{text}, 03/2015"


LINKS = (
    "t.me/joinchat", "https://evil.example/x", "http://evil", "tg://resolve?domain=evil", "evil.com",
    "EVIL.COM/path?q=1",
    "www.evil.bg", "evil.бг", "коли-тук.бг", "пример.com", "evil。com", "xn--e1afmkfd.com", "192.0.2.1",
    "192.0.2.1:80/x",
    "@evil_channel", "x @evil", "#tag", "#евтино", "$USD", "/start", "/start@evil_bot", "ivan@evil.example",
    "BMW.evil.com", "(evil.com)", "«evil.com»", "evil.com.", "a.b.c.d.com", "＠evil", "ＥＶＩＬ.com",
    "https:\\\\evil.com",
)  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
def test_nothing_that_a_seller_writes_becomes_a_link(link: str) -> None:
    deal = replace(
        DEAL, title=f"VW {link}", reasons=(link, f"see {link}"), risks=(f"crashed: «{link}»",), place=link, fuel=link,
        gearbox=link, seller_kind=link,
    )  # fmt: skip
    for is_gone in (False, True):
        seen = read(deal, is_gone=is_gone)
        assert links(seen) == []
        assert seen.replace(JOINER, "").count(clean(link).replace(JOINER, "")) == 8


def test_the_links_of_the_test_are_links() -> None:
    assert [link for link in LINKS if not links(link)] == ["＠evil"]


@pytest.mark.parametrize(
    "text",
    [
        "systemctl start vinops-etl.service", "restart vinops-worker@2.service", "see /var/log/vinops/etl.log",
        "2.0 TDI, 1.9", "A/C, 4x4", "05.06.2026", "set it in .env", "и/или", "R2: vinops/backups/1.zst",
    ],
)  # fmt: skip
def test_what_is_for_copying_and_no_link_stays(text: str) -> None:
    assert unlinked(text) == text


def test_line_breaks_and_signs_that_turn_the_text_around_stay_out() -> None:
    assert clean("a\n\n b\u202e\t\x00c\x85d\u2028e\ud800") == "a b c d e"


def test_reasons_are_cut_before_the_title() -> None:
    title = "x" * 300
    lines = read(replace(DEAL, title=title, reasons=("first", "y" * 5000, "third"))).splitlines()
    assert lines[0] == f"{title}, 03/2015"
    assert lines[-1].startswith("Score 8.1: first; yyy")
    assert lines[-1].endswith("y…")
    assert units_of_telegram("\n".join(lines)) == LONGEST


def test_a_cut_leaves_whole_signs() -> None:
    assert cut("🚗🚗🚗", 6) == "🚗🚗🚗"
    assert cut("🚗🚗🚗", 5) == "🚗🚗…"
    assert cut("🚗🚗🚗", 4) == "🚗…"
    assert cut("&&&&", 3) == "&&…"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://market.example/ad",
        "//market.example/ad",
        "https://",
        "https://[::1/ad",
        "https://market.example:99999/ad",
        "https://market.example/a b",
        "https://market.example/a\nb",
        "https://market.example/" + "x" * 3000,
        "",
    ],
)
def test_only_an_address_of_the_web_becomes_a_button_or_a_photo(url: str) -> None:
    message = compose(replace(DEAL, url=url, photo_url=url))
    assert message.link is None
    assert message.photo_url is None


@pytest.mark.parametrize(
    ("url", "is_photo"),
    [
        ("https://photos.example/1.jpg", True),
        ("http://photos.example/1.jpg", False),
        ("http://127.0.0.1:8080/1.jpg", True),
        ("http://[::1]:8080/1.jpg", True),
        ("http://localhost/1.jpg", True),
        (None, False),
    ],
)
def test_a_photo_is_asked_for_over_https_or_on_loopback(url: str | None, *, is_photo: bool) -> None:
    assert (compose(replace(DEAL, photo_url=url)).photo_url == url) is (is_photo or url is None)


signs = st.one_of(
    st.characters(),
    st.sampled_from("<>&\"'/;#"),
    st.sampled_from("\u202e\u200f\u2067\u200d\ufe0f\n\t\x00"),
    st.sampled_from("🚗🏁👨‍👩‍👧שלוםرДО"),
)
texts = st.one_of(
    st.text(signs, max_size=200),
    st.builds(lambda part, times: part * times, st.text(signs, min_size=1, max_size=8), st.integers(1, 2500)),
    st.sampled_from(["&amp;" * 2000, "<b>" * 3000, "🚗" * 10_000, "&" * 10_000, "</b></s>", "&#0;", "\u202e" * 5000]),
)
maybe = st.none() | texts
prices = st.decimals(min_value=0, max_value=9_999_999_999, places=2)
deals = st.builds(
    DealPost,
    title=texts,
    url=texts | st.just("https://market.example/ad/1"),
    price_eur=st.none() | prices,
    price_before=st.none() | prices,
    p50=st.none() | prices,
    comparables=st.integers(0, 10**6),
    score=st.none() | st.decimals(min_value=1, max_value=10, places=1),
    reasons=st.lists(texts, max_size=8),
    risks=st.lists(texts, max_size=6),
    photo_url=maybe,
    year=st.none() | st.integers(0, 9999),
    month=st.none() | st.integers(0, 12),
    mileage_km=st.none() | st.integers(0, 2**31 - 1),
    power_hp=st.none() | st.integers(0, 2**31 - 1),
    fuel=maybe,
    gearbox=maybe,
    place=maybe,
    seller_kind=maybe,
)


@given(deal=deals, is_gone=st.booleans())
@example(deal=replace(DEAL, title="🚗" * 10_000, reasons=("<&>" * 5000,) * 5), is_gone=True)
def test_whatever_the_facts_hold_telegram_takes_the_message(deal: DealPost, *, is_gone: bool) -> None:
    html = compose(deal, is_gone=is_gone).html
    shown = plain(html)
    assert shown
    assert 0 < units_of_telegram(shown) <= LONGEST
    html.encode("utf-8")


@given(text=texts, longest=st.integers(1, 400))
def test_a_cut_text_fits_and_begins_as_the_whole_one(text: str, longest: int) -> None:
    short = cut(text, longest)
    assert units(short) == units_of_telegram(short) <= longest
    assert short == text or text.startswith(short.removesuffix("…"))


# The reader that the messages are held against must itself refuse what Telegram refuses.


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a</b>", 'Unmatched end tag at byte offset 1, found "</b>"'),
        ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, found "</b>"'),
        ("я<blink>a</blink>", 'Unsupported start tag "blink" at byte offset 2'),
        ("1 < 2", "Unsupported start tag at byte offset 2"),
    ],
)
def test_the_stand_in_refuses_what_telegram_refuses(html: str, says: str) -> None:
    with pytest.raises(EntitiesError) as refused:
        plain(html)
    assert str(refused.value) == says


def test_the_stand_in_reads_what_telegram_reads() -> None:
    assert (
        plain(' <b>a</b> <a href="https://x.example">b</a> &lt;&amp;&quot;&#x27;&#65; &copy; ') == "a b <&\"'A &copy;"
    )
