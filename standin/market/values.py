"""The values from which ads are generated: makes and models, engines, places, equipment and phrases.

The distributions are rounded from the real market. The sentences, names and telephone numbers are invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as ads describe it. An electric one has `battery_kwh` and no `cc`."""

    fuel: str
    hp: int
    cc: int | None
    battery_kwh: float | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: `new_price` in today's EUR, `share` of the ads of its make (a weight), first and last year built."""

    name: str
    slug: str
    new_price: int
    share: int
    body: str
    engines: tuple[Engine, ...]
    first_year: int
    last_year: int


@dataclass(frozen=True, kw_only=True)
class Make:
    """A make, with the group of makes that one worker crawls and its `share` of the group's ads (a weight)."""

    name: str
    slug: str
    group: int
    share: int
    models: tuple[Model, ...]


#: Number of ads of each of the four groups in a market of 7,600 ads.
GROUP_SIZES: Final = {1: 2400, 2: 1500, 3: 1800, 4: 1900}

_PETROL, _DIESEL, _ELECTRIC, _HYBRID, _PLUG_IN, _GAS, _METHANE = (
    "Бензинов", "Дизелов", "Електрически", "Хибриден", "Plug-in хибрид", "Газ", "Метан",
)  # fmt: skip
FUELS: Final = (_PETROL, _DIESEL, _ELECTRIC, _HYBRID, _PLUG_IN, _GAS, _METHANE)
_P, _D, _G = _PETROL, _DIESEL, _GAS


def _engines(*described: tuple[str, int, float]) -> tuple[Engine, ...]:
    """Return engines from tuples `(fuel, hp, cc)`; for an electric one, `(fuel, hp, kWh)`."""
    return tuple(
        Engine(fuel=fuel, hp=hp, cc=None, battery_kwh=size)
        if fuel == _ELECTRIC
        else Engine(fuel=fuel, hp=hp, cc=int(size))
        for fuel, hp, size in described
    )


#: Engines by class of car. An engine that is more frequent is repeated.
_ENGINES: Final = {
    "small": _engines((_P, 69, 1242), (_P, 75, 1198), (_P, 90, 999), (_D, 75, 1461), (_D, 90, 1560), (_G, 75, 1390)),
    "compact": _engines(
        (_P, 105, 1598), (_P, 125, 1395), (_P, 150, 1498), (_D, 105, 1598), (_D, 110, 1560), (_D, 140, 1968),
        (_D, 150, 1968), (_G, 102, 1595),
    ),
    "middle": _engines(
        (_P, 150, 1798), (_P, 180, 1984), (_D, 140, 1968), (_D, 150, 1995), (_D, 170, 1968), (_D, 190, 1995),
        (_D, 204, 2967), (_G, 150, 1798),
    ),
    "large": _engines((_D, 204, 2967), (_D, 245, 2993), (_D, 258, 2993), (_P, 272, 2995), (_P, 306, 2979),
                      (_PLUG_IN, 252, 1998)),
    "suv": _engines((_D, 136, 1995), (_D, 150, 1968), (_D, 177, 1995), (_P, 150, 1498), (_P, 165, 1598),
                    (_HYBRID, 197, 2494), (_PLUG_IN, 224, 1598)),
    "big_suv": _engines((_D, 235, 2993), (_D, 258, 2987), (_D, 286, 2967), (_D, 313, 2993), (_P, 333, 2996),
                        (_PLUG_IN, 394, 2998)),
    "van": _engines((_D, 75, 1461), (_D, 90, 1560), (_D, 102, 1968), (_P, 95, 1390), (_METHANE, 109, 1984)),
    "petrol": _engines((_P, 129, 1598), (_P, 156, 1796), (_P, 184, 1991)),
    "diesel": _engines((_D, 136, 2143), (_D, 163, 2148), (_D, 170, 2143), (_D, 194, 1950)),
    "diesel_six": _engines((_D, 224, 2987), (_D, 252, 2987), (_D, 258, 2987)),
    "hybrid": _engines((_HYBRID, 100, 1497), (_HYBRID, 122, 1798), (_HYBRID, 136, 1798), (_P, 99, 1329)),
    "electric": _engines((_ELECTRIC, 136, 45.0), (_ELECTRIC, 150, 52.0), (_ELECTRIC, 204, 77.0)),
    "old": _engines((_P, 136, 2298), (_D, 94, 2497), (_P, 118, 1996), (_G, 132, 2199)),
}  # fmt: skip

#: Models by make: name, new price in thousands of EUR, share, body, engines, first and last year built.
_LINES: Final = {
    "mercedes-benz": """
        C 180,39,7,Седан,petrol,2001,2026; C 200,42,8,Седан,petrol,2001,2026; C 220,43,16,Седан,diesel,2000,2026;
        E 200,49,6,Седан,petrol,2002,2026; E 220,50,14,Седан,diesel,2000,2026; E 350,60,8,Седан,diesel_six,2009,2023;
        A 180,31,9,Хечбек,compact,2005,2026; B 180,28,6,Ван,compact,2005,2022; ML 320,64,6,Джип,diesel_six,1999,2009;
        ML 350,66,8,Джип,big_suv,2005,2015; GLC 220,58,6,Джип,diesel,2015,2026; GLE 350,75,5,Джип,big_suv,2015,2025;
        S 350,88,6,Седан,large,2005,2020; CLS 350,70,3,Купе,diesel_six,2004,2018; 124,9,2,Седан,old,1985,1996;
        190,8,2,Седан,old,1984,1993; 220,8,1,Седан,old,1984,1994""",
    "bmw": """
        320,42,16,Седан,middle,2000,2026; 318,38,7,Комби,middle,2000,2022; 330,50,8,Седан,large,2001,2026;
        118,31,7,Хечбек,compact,2004,2024; 116,28,6,Хечбек,compact,2004,2023; 520,50,9,Седан,diesel,2003,2026;
        525,52,5,Комби,large,2001,2012; 530,57,12,Седан,large,2001,2026; 535,60,4,Седан,large,2005,2016;
        730,76,4,Седан,diesel_six,2002,2022; 740,85,3,Седан,large,2009,2022; X1,38,6,Джип,suv,2009,2026;
        X3,52,11,Джип,middle,2004,2026; X5,70,16,Джип,big_suv,2001,2026; X6,82,5,Джип,big_suv,2008,2026;
        i3,36,1,Хечбек,electric,2014,2022""",
    "audi": """
        A3,34,15,Хечбек,compact,2000,2026; A4,41,24,Седан,middle,2000,2026; A4 Allroad,48,2,Комби,middle,2009,2024;
        A5,48,7,Купе,middle,2008,2026; A6,50,18,Седан,large,2000,2026; A7,68,4,Хечбек,large,2011,2025;
        A8,82,5,Седан,large,2003,2024; Q3,41,5,Джип,suv,2012,2026; Q5,54,8,Джип,middle,2009,2026;
        Q7,72,9,Джип,big_suv,2006,2026; TT,44,2,Купе,middle,2000,2022""",
    "vw": """
        Golf,31,28,Хечбек,compact,1999,2026; Passat,38,20,Комби,middle,2000,2026; Polo,22,9,Хечбек,small,2001,2026;
        Tiguan,40,9,Джип,suv,2008,2026; Touran,32,7,Миниван,compact,2003,2022; Touareg,60,6,Джип,big_suv,2003,2025;
        Caddy,27,7,Ван,van,2004,2024; Sharan,37,3,Миниван,middle,2000,2021; Up,16,2,Хечбек,small,2012,2022;
        ID.3,39,2,Хечбек,electric,2020,2026""",
    "opel": """
        Astra,23,26,Хечбек,compact,1999,2026; Corsa,18,17,Хечбек,small,2000,2026; Zafira,24,11,Ван,compact,2000,2018;
        Insignia,30,11,Седан,middle,2009,2022; Meriva,19,7,Миниван,compact,2003,2017; Mokka,26,7,Джип,suv,2012,2026;
        Vectra,24,5,Комби,middle,1999,2008; Combo,20,5,Ван,van,2001,2024; Antara,27,3,Джип,suv,2007,2015""",
    "ford": """
        Focus,23,22,Хечбек,compact,1999,2025; Fiesta,18,16,Хечбек,small,2001,2023; Mondeo,29,12,Комби,middle,2000,2022;
        Kuga,34,12,Джип,suv,2008,2026; C-max,21,8,Миниван,compact,2003,2019; S-Max,30,6,Миниван,middle,2006,2023;
        Galaxy,30,4,Миниван,middle,2000,2022; Mustang,52,2,Купе,large,2015,2025; Ranger,42,3,Пикап,suv,2007,2025""",
    "toyota": """
        Yaris,21,16,Хечбек,hybrid,2000,2026; Auris,25,12,Хечбек,hybrid,2007,2019; Corolla,29,13,Седан,hybrid,2001,2026;
        Avensis,29,13,Комби,middle,2000,2018; Rav4,42,17,Джип,suv,2001,2026; C-HR,36,8,Джип,hybrid,2016,2026;
        Land cruiser,75,6,Джип,big_suv,2000,2025; Aygo,14,5,Хечбек,small,2005,2022; Hilux,44,3,Пикап,suv,2006,2025""",
    "renault": """
        Clio,18,20,Хечбек,small,2000,2026; Megane,23,20,Хечбек,compact,2000,2024; Scenic,23,14,Ван,compact,2000,2022;
        Captur,24,10,Джип,suv,2013,2026; Kangoo,20,8,Ван,van,2000,2023; Laguna,24,6,Комби,middle,2001,2015;
        Kadjar,30,6,Джип,suv,2015,2022; Talisman,32,4,Седан,middle,2016,2022; Zoe,26,3,Хечбек,electric,2013,2023""",
    "peugeot": """
        208,20,11,Хечбек,small,2012,2026; 308,25,19,Хечбек,compact,2008,2026; 508,34,10,Седан,middle,2011,2024;
        2008,26,8,Джип,suv,2013,2026; 3008,36,14,Джип,suv,2009,2026; 5008,38,8,Миниван,suv,2010,2026;
        207,17,7,Хечбек,small,2006,2013; 307,20,7,Хечбек,compact,2001,2008; 407,24,4,Седан,middle,2004,2011;
        Partner,22,8,Ван,van,2000,2023""",
    "citroen": """
        C3,18,20,Хечбек,small,2002,2026; C4,23,14,Хечбек,compact,2005,2026; C4 Picasso,24,13,Миниван,compact,2007,2018;
        C5,28,9,Комби,middle,2001,2017; Berlingo,22,17,Ван,van,2000,2024; C4 Cactus,21,5,Хечбек,compact,2014,2020;
        C5 Aircross,33,4,Джип,suv,2018,2026; C1,13,5,Хечбек,small,2005,2022""",
    "skoda": """
        Octavia,29,38,Комби,compact,2000,2026; Superb,38,18,Седан,middle,2002,2026; Fabia,19,15,Хечбек,small,2000,2026;
        Yeti,26,6,Джип,suv,2009,2017; Kodiaq,42,6,Джип,suv,2017,2026; Rapid,21,4,Хечбек,compact,2012,2019""",
    "seat": """
        Ibiza,19,25,Хечбек,small,2000,2026; Leon,27,25,Хечбек,compact,2000,2026; Altea,24,13,Миниван,compact,2004,2015;
        Alhambra,36,6,Миниван,middle,2000,2020; Ateca,32,7,Джип,suv,2016,2026; Toledo,21,4,Седан,compact,2000,2018""",
    "honda": """
        Cr-v,42,33,Джип,suv,2000,2026; Civic,28,28,Хечбек,compact,2001,2026; Accord,32,17,Седан,middle,2000,2015;
        Jazz,23,15,Хечбек,hybrid,2002,2026; Hr-v,32,6,Джип,hybrid,2015,2026""",
    "mazda": """
        6,32,22,Седан,middle,2002,2023; 3,27,20,Хечбек,compact,2003,2026; CX-5,38,18,Джип,suv,2012,2026;
        2,20,11,Хечбек,small,2003,2025; 5,25,7,Миниван,compact,2005,2015; CX-3,28,7,Джип,suv,2015,2021;
        CX-7,32,4,Джип,suv,2007,2012""",
    "nissan": """
        Qashqai,33,36,Джип,suv,2007,2026; Juke,26,13,Джип,suv,2010,2026; X-trail,38,13,Джип,suv,2001,2026;
        Micra,19,11,Хечбек,small,2003,2022; Note,20,6,Миниван,compact,2006,2017; Leaf,31,6,Хечбек,electric,2011,2025;
        Navara,40,4,Пикап,suv,2005,2022""",
    "hyundai": """
        Tucson,35,25,Джип,suv,2004,2026; I30,25,22,Хечбек,compact,2007,2026; Santa fe,43,18,Джип,suv,2001,2026;
        Kona,30,8,Джип,suv,2017,2026; IX35,30,9,Джип,suv,2010,2016; I20,20,8,Хечбек,small,2009,2026;
        I10,15,6,Хечбек,small,2008,2026; Ioniq,31,4,Хечбек,hybrid,2016,2023""",
    "kia": """
        Ceed,25,29,Хечбек,compact,2007,2026; Sportage,36,27,Джип,suv,2005,2026; Rio,19,12,Хечбек,small,2005,2023;
        Sorento,44,12,Джип,suv,2003,2026; Picanto,15,5,Хечбек,small,2004,2026; Carens,24,5,Миниван,compact,2006,2019;
        Niro,34,4,Джип,hybrid,2016,2026""",
    "volvo": """
        XC60,54,22,Джип,middle,2009,2026; XC90,70,20,Джип,big_suv,2003,2025; V40,29,12,Хечбек,compact,2012,2019;
        V60,41,10,Комби,middle,2011,2025; S60,38,9,Седан,middle,2001,2024; V70,40,9,Комби,middle,2000,2016;
        V50,28,7,Комби,compact,2004,2012; XC40,42,6,Джип,suv,2018,2026""",
    "fiat": """
        Tipo,19,15,Хечбек,compact,2015,2026; Panda,15,15,Хечбек,small,2003,2026; 500,19,15,Хечбек,small,2008,2026;
        Punto,15,14,Хечбек,small,2000,2018; Doblo,20,15,Ван,van,2001,2023; 500L,20,6,Миниван,compact,2013,2022;
        Bravo,20,5,Хечбек,compact,2007,2014""",
    "alfa-romeo": """
        159,29,25,Седан,middle,2005,2012; Giulietta,26,25,Хечбек,compact,2010,2020; 147,20,12,Хечбек,compact,2001,2010;
        Giulia,44,12,Седан,middle,2016,2026; Stelvio,52,10,Джип,middle,2017,2026; MiTo,19,7,Хечбек,small,2008,2018""",
}

#: Models of makes that are not followed.
_OTHER_LINES: Final = {
    "mitsubishi": "Outlander,38,30,Джип,suv,2003,2026; Pajero,50,30,Джип,big_suv,1999,2021",
    "dacia": "Duster,21,45,Джип,suv,2010,2026; Sandero,14,30,Хечбек,small,2008,2026; Logan,12,25,Седан,small,2005,2026",
    "porsche": "Cayenne,95,55,Джип,big_suv,2003,2026; Panamera,105,25,Хечбек,large,2009,2026",
    "land-rover": "Discovery,65,30,Джип,big_suv,2000,2026; Freelander,36,20,Джип,suv,2000,2015",
    "jeep": "Grand cherokee,60,45,Джип,big_suv,1999,2026; Renegade,28,25,Джип,suv,2014,2026",
    "suzuki": "Vitara,24,40,Джип,suv,2000,2026; Swift,17,30,Хечбек,small,2005,2026; Sx4,20,20,Джип,suv,2006,2022",
    "subaru": "Forester,36,45,Джип,middle,2000,2026; Impreza,28,25,Хечбек,compact,2000,2026",
    "chevrolet": "Captiva,30,30,Джип,suv,2006,2018; Cruze,20,25,Седан,compact,2009,2016",
    "mini": "Cooper,27,60,Хечбек,compact,2002,2026; Countryman,33,25,Джип,suv,2010,2026",
    "lexus": "Rx,62,40,Джип,big_suv,2003,2026; Is,42,25,Седан,middle,2000,2020",
    "tesla": "Model 3,45,50,Седан,electric,2019,2026; Model S,85,30,Хечбек,electric,2014,2026",
    "dodge": "Challenger,50,30,Купе,large,2009,2023; Durango,55,25,Джип,big_suv,2011,2026",
}

_MAKES: Final = {
    "mercedes-benz": ("Mercedes-Benz", 1, 1300), "bmw": ("BMW", 1, 1100),
    "audi": ("Audi", 2, 640), "vw": ("VW", 2, 560), "opel": ("Opel", 2, 300),
    "ford": ("Ford", 3, 360), "toyota": ("Toyota", 3, 490), "renault": ("Renault", 3, 280),
    "peugeot": ("Peugeot", 3, 410), "citroen": ("Citroen", 3, 260),
    "skoda": ("Skoda", 4, 230), "seat": ("Seat", 4, 110), "honda": ("Honda", 4, 225), "mazda": ("Mazda", 4, 185),
    "nissan": ("Nissan", 4, 245), "hyundai": ("Hyundai", 4, 320), "kia": ("Kia", 4, 280), "volvo": ("Volvo", 4, 130),
    "fiat": ("Fiat", 4, 120), "alfa-romeo": ("Alfa Romeo", 4, 55),
}  # fmt: skip


def _models(lines: str) -> tuple[Model, ...]:
    models = []
    for line in lines.split(";"):
        name, price, share, body, engines, first, last = (part.strip() for part in line.split(","))
        models.append(
            Model(
                name=name,
                slug=name.lower().replace(" ", "-").replace(".", "-"),
                new_price=int(price) * 1000,
                share=int(share),
                body=body,
                engines=_ENGINES[engines],
                first_year=int(first),
                last_year=int(last),
            )
        )
    return tuple(models)


#: Makes that are not followed, with their share of such ads (a weight).
_OTHER_MAKES: Final = {
    "mitsubishi": ("Mitsubishi", 19), "dacia": ("Dacia", 19), "porsche": ("Porsche", 18),
    "land-rover": ("Land Rover", 18), "jeep": ("Jeep", 17), "suzuki": ("Suzuki", 16), "subaru": ("Subaru", 15),
    "chevrolet": ("Chevrolet", 13), "mini": ("Mini", 9), "lexus": ("Lexus", 8), "tesla": ("Tesla", 8),
    "dodge": ("Dodge", 6),
}  # fmt: skip


#: The twenty makes by the slug of their lists. Volkswagen is `vw`; `volkswagen` is not a page.
MAKES: Final[dict[str, Make]] = {
    slug: Make(name=name, slug=slug, group=group, share=share, models=_models(_LINES[slug]))
    for slug, (name, group, share) in _MAKES.items()
}
#: Makes that the twenty do without, `group` 0: the site has their ads among the others.
OTHER_MAKES: Final[dict[str, Make]] = {
    slug: Make(name=name, slug=slug, group=0, share=share, models=_models(_OTHER_LINES[slug]))
    for slug, (name, share) in _OTHER_MAKES.items()
}
ALL_MAKES: Final = {**MAKES, **OTHER_MAKES}
GROUPS: Final[dict[int, tuple[str, ...]]] = {
    group: tuple(make.slug for make in MAKES.values() if make.group == group) for group in GROUP_SIZES
}

MONTHS: Final = (
    "януари", "февруари", "март", "април", "май", "юни", "юли", "август", "септември", "октомври", "ноември",
    "декември",
)  # fmt: skip
MANUAL, AUTOMATIC, HALF_AUTOMATIC = "Ръчна", "Автоматична", "Полуавтоматична"
GEARBOXES: Final = (MANUAL, AUTOMATIC, HALF_AUTOMATIC)
#: color: weight. «Tъмно син» begins with a Latin T, as on the site.
COLOURS: Final = {
    "Черен": 24, "Бял": 15, "Сив": 14, "Тъмно сив": 8, "Светло сив": 5, "Син": 6, "Червен": 5, "Тъмно син мет.": 4,
    "Tъмно син": 3, "Металик": 3, "Графит": 3, "Сребърен": 3, "Кафяв": 2, "Зелен": 2, "Бежов": 1, "Бордо": 1,
    "Златист": 1, "Перла": 1,
}  # fmt: skip
#: region: weight and places; the twelve without a weight have ads in the market of real size only. The one with «общ.»
#: is a municipality.
REGIONS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "обл. София": (36, ("гр. София", "гр. София", "гр. София", "гр. Банкя", "с. Лозен", "гр. Костинброд")),
    "обл. Пловдив": (13, ("гр. Пловдив", "гр. Пловдив", "гр. Асеновград", "с. Марково")),
    "обл. Варна": (9, ("гр. Варна", "гр. Варна", "гр. Девня", "с. Тополи")),
    "обл. Бургас": (7, ("гр. Бургас", "гр. Айтос", "гр. Несебър")),
    "обл. Стара Загора": (5, ("гр. Стара Загора", "гр. Казанлък")),
    "обл. Плевен": (4, ("гр. Плевен", "гр. Левски")),
    "обл. Русе": (4, ("гр. Русе", "гр. Бяла")),
    "обл. Благоевград": (4, ("гр. Благоевград", "гр. Сандански")),
    "обл. Велико Търново": (3, ("гр. Велико Търново", "гр. Свищов")),
    "обл. Перник": (3, ("гр. Перник", "гр. Радомир")),
    "обл. Пазарджик": (3, ("гр. Пазарджик", "гр. Пещера")),
    "обл. Хасково": (3, ("гр. Хасково", "гр. Димитровград")),
    "обл. Шумен": (2, ("гр. Шумен", "гр. Нови пазар")),
    "общ. Дупница": (2, ("гр. Дупница", "с. Баланово")),
    "обл. Сливен": (2, ("гр. Сливен", "гр. Нова Загора")),
    "обл. Враца": (2, ("гр. Враца", "гр. Мездра")),
    "обл. Видин": (0, ("гр. Видин", "гр. Белоградчик")),
    "обл. Габрово": (0, ("гр. Габрово", "гр. Севлиево")),
    "обл. Добрич": (0, ("гр. Добрич", "гр. Балчик")),
    "обл. Кърджали": (0, ("гр. Кърджали", "гр. Момчилград")),
    "обл. Кюстендил": (0, ("гр. Кюстендил",)),
    "обл. Ловеч": (0, ("гр. Ловеч", "гр. Троян")),
    "обл. Монтана": (0, ("гр. Монтана", "гр. Лом")),
    "обл. Разград": (0, ("гр. Разград", "гр. Исперих")),
    "обл. Силистра": (0, ("гр. Силистра", "гр. Тутракан")),
    "обл. Смолян": (0, ("гр. Смолян", "гр. Девин")),
    "обл. Търговище": (0, ("гр. Търговище", "гр. Попово")),
    "обл. Ямбол": (0, ("гр. Ямбол", "гр. Елхово")),
}  # fmt: skip
ABROAD: Final = "Извън страната"
COUNTRIES: Final = ("Германия", "Италия", "Белгия", "Швейцария", "Франция", "Нидерландия")

#: The equipment that lists show after «Особености», by its heading on the detail page.
EQUIPMENT: Final[dict[str, tuple[str, ...]]] = {
    "Безопасност": (
        "GPS система за проследяване", "Автоматичен контрол на стабилността", "Антиблокираща система",
        "Въздушни възглавници - Задни", "Въздушни възглавници - Предни", "Въздушни възглавници - Странични",
        "Електронна програма за стабилизиране", "Контрол на налягането на гумите", "Парктроник", "Система ISOFIX",
        "Система за контрол на дистанцията", "Система за подпомагане на спирането",
    ),
    "Комфорт": (
        "Auto Start Stop function", "Bluetooth \\ handsfree система", "DVD, TV", "Steptronic, Tiptronic",
        "USB, audio\\video, IN\\AUX изводи", "Безключово палене", "Бордкомпютър", "Датчик за светлина",
        "Ел. Огледала", "Ел. Стъкла", "Ел. регулиране на седалките", "Ел. усилвател на волана", "Климатик",
        "Климатроник", "Мултифункционален волан", "Навигация", "Подгряване на седалките", "Регулиране на волана",
        "Сензор за дъжд", "Серво усилвател на волана", "Система за контрол на скоростта (автопилот)",
        "Стерео уредба", "Хладилна жабка",
    ),
    "Други": (
        "4x4", "7 места", "Бартер", "Газова уредба", "Катастрофирал", "Лизинг", "Напълно обслужен", "Нов внос",
        "С регистрация", "Сервизна книжка", "Тунинг",
    ),
    "Екстериор": (
        "4(5) Врати", "LED фарове", "Ксенонови фарове", "Лети джанти", "Металик", "Панорамен люк",
        "Рейлинг на покрива", "Теглич", "Халогенни фарове",
    ),
    "Защита": ("Аларма", "Каско", "Централно заключване"),
    "Интериор": ("Велурен салон", "Кожен салон"),
}  # fmt: skip
CRASHED: Final = "Катастрофирал"
#: Equipment that is not ticked at random, because it depends on the car.
_NOT_BY_CHANCE: Final = frozenset({CRASHED, "Газова уредба"})
ORDINARY_EQUIPMENT: Final = tuple(name for names in EQUIPMENT.values() for name in names if name not in _NOT_BY_CHANCE)

VAT_NOTES: Final = {"Не се начислява ДДС": 66, "Цената е с включено ДДС": 30, "Цената е без ДДС": 4}
NO_PRICE: Final = ("Запитване", "по договаряне")

TRIMS: Final = (
    "", "", "", "Facelift", "FULL", "4x4", "Navi", "Sport", "Automatic", "ТОП СЪСТОЯНИЕ", "1-ви собственик", "LED",
    "* Кожа *", "Евро 5", "НОВ ВНОС", "ЛИЗИНГ / БАРТЕР",
)  # fmt: skip
PRAISE: Final = (
    "Колата е в много добро състояние.", "Обслужена навреме, нищо не се налага.", "Запазен салон, непушено.",
    "Тръгва на четвърт оборот, не гори масло.", "Два ключа и комплект зимни гуми.", "Сменени вериги, масла и филтри.",
    "Карана основно извън града.", "Реални километри, доказват се.", "Пълна сервизна история.", "Първи собственик.",
    "Нов внос, платени такси.", "Годишен технически преглед до края на годината.", "Смяна на собственика веднага.",
    "Не се нуждае от вложения.", "Цената подлежи на малък коментар на място.", "Разгледайте и останалите ни обяви.",
    "Възможен лизинг с първоначална вноска 20 %.", "Продава се поради покупка на друга.", "Спешно!",
)  # fmt: skip
#: Sentences that deny damage: a search for the words alone takes them for damage.
NEGATED: Final = (
    "Без удар.", "Не е катастрофирал.", "Колата не е удряна.", "Неудрян, с оригинална боя.", "Не е ударен, не е тотал.",
    "Никога не е катастрофирала.", "Без катастрофи и без забележки.",
)  # fmt: skip
DAMAGE: Final = (
    "Катастрофирал в предната част, пали и се движи.", "Ударен отпред вляво, въздушниците са здрави.",
    "Продава се на части или цял.", "Тотал, с документи.", "Бракуван, за скрап или за части.",
    "Дерегистриран, с проблем в двигателя.", "Лек удар в задната броня, за ремонт.", "Двигателят е блокирал.",
)  # fmt: skip
CONTACTS: Final = (
    "За връзка: {phone}", "Тел. {phone} - {name}", "{name}, {phone}, Viber", "Обадете се на {phone} след 18 ч.",
)  # fmt: skip
LEASE_BALANCE: Final = "Обявената цена е остатъкът по лизинга, месечна вноска 290 лв."
FUTURE_GUARANTEE: Final = "Гаранция до 08.2027 г."
FIRST_NAMES: Final = ("Иван", "Мария", "Георги", "Петя", "Стоян", "Елена")
DEALERS: Final = (
    "Автокъща Пример", "Авто Образец", "Примерни коли ООД", "Auto Stand-in", "Образцов автосалон", "Макет Моторс",
    "Демо Ауто", "Пробна автокъща",
)  # fmt: skip

_LATIN: Final = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ж": "zh", "з": "z", "и": "i", "й": "y", "к": "k",
    "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "h",
    "ц": "ts", "ч": "ch", "ш": "sh", "щ": "sht", "ъ": "a", "ь": "y", "ю": "yu", "я": "ya",
}  # fmt: skip


def slugified(text: str) -> str:
    """Return the text as a URL slug: Latin letters, digits and single hyphens."""
    latin = "".join(_LATIN.get(letter, letter) for letter in text.lower())
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in latin).split()
    return "-".join(words)
