"""The market at its real size, in figures: ads by make, models that are too long for one list, regions, a day's course.

Makes: the counts that mobile.bg showed in October 2025; regions, hours and price changes are estimates.
"""

from __future__ import annotations

from typing import Final

from standin.market.values import ALL_MAKES, MAKES

#: Ads by make, those abroad included: 129,431 together.
COUNTS: Final = {
    "mercedes-benz": 21300, "bmw": 17572, "audi": 14617, "vw": 12925, "toyota": 7204, "opel": 6694, "peugeot": 6127,
    "ford": 5249, "hyundai": 4970, "kia": 4333, "renault": 4059, "nissan": 3791, "citroen": 3754, "skoda": 3562,
    "honda": 3495, "mazda": 2858, "fiat": 2375, "volvo": 2017, "seat": 1724, "alfa-romeo": 805,
}  # fmt: skip
FOLLOWED: Final = sum(COUNTS.values())
#: Ads of all the makes that are not followed.
OTHERS: Final = 21_547
#: New ads of the followed makes in a day: each ad stays for 37 days on average.
NEW_A_DAY: Final = 3500
#: Shares of models of more than 3,000 ads: of their makes; the other models of a make share the rest.
MODEL_SHARES: Final = {"vw": {"golf": 0.28}, "audi": {"a4": 0.22}}
#: Shares of the ads by region, in percent, of those in Bulgaria that name one.
REGION_SHARES: Final = {
    "обл. София": 36.0, "обл. Пловдив": 12.5, "обл. Варна": 8.0, "обл. Бургас": 6.5, "обл. Стара Загора": 4.5,
    "обл. Благоевград": 4.0, "обл. Русе": 3.0, "обл. Плевен": 3.0, "обл. Велико Търново": 2.6, "обл. Пазарджик": 2.5,
    "обл. Хасково": 2.4, "обл. Перник": 1.6, "обл. Сливен": 1.5, "обл. Шумен": 1.5, "обл. Враца": 1.4,
    "обл. Добрич": 1.2, "обл. Габрово": 1.0, "обл. Кюстендил": 1.0, "общ. Дупница": 0.7, "обл. Монтана": 0.8,
    "обл. Ямбол": 0.8, "обл. Ловеч": 0.8, "обл. Търговище": 0.6, "обл. Разград": 0.6, "обл. Кърджали": 0.5,
    "обл. Силистра": 0.4, "обл. Видин": 0.3, "обл. Смолян": 0.3,
}  # fmt: skip
#: Share of the ads in Bulgaria that name no region.
WITHOUT_REGION: Final = 0.005
#: New ads by hour of the day in Sofia, as weights.
HOURS: Final = (4, 2, 1, 1, 1, 2, 8, 20, 42, 62, 72, 74, 70, 66, 64, 62, 58, 54, 52, 54, 52, 42, 26, 12)
TIME_ZONE: Final = "Europe/Sofia"
#: Share of the ads whose price changes in a day.
REPRICED_A_DAY: Final = 0.02


def model_weights(make: str) -> list[float]:
    """Return the weights of the models of a make, in their order."""
    models = ALL_MAKES[make].models
    fixed = MODEL_SHARES.get(make, {})
    rest = sum(model.share for model in models if model.slug not in fixed)
    left = 1 - sum(fixed.values())
    return [fixed.get(model.slug, left * model.share / rest) for model in models]


def make_counts(ads: int) -> dict[str, int]:
    """Return the number of ads of each make in a market with `ads` ads of the followed makes, and others beside them.

    The sum of the followed makes is exact.
    """
    parts = {make: ads * count // FOLLOWED for make, count in COUNTS.items()}
    for make in sorted(COUNTS, key=lambda make: -(ads * COUNTS[make] % FOLLOWED))[: ads - sum(parts.values())]:
        parts[make] += 1
    others = {slug: make.share for slug, make in ALL_MAKES.items() if slug not in MAKES}
    weight = FOLLOWED * sum(others.values())
    return {**parts, **{make: ads * OTHERS * share // weight for make, share in others.items()}}
