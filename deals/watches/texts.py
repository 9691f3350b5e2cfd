"""What the bot says, in each of its languages, as Telegram's HTML. Values are escaped where they are inserted.

A test holds every text to both languages and to the same values in both.
"""

from __future__ import annotations

import re
from decimal import Decimal
from html import escape
from typing import Any, Final, Literal

from deals.channel.message import clean, cut, units

LONGEST: Final = 4096  # UTF-16 units of the visible text of a message
LANGUAGES: Final = ("bg", "en")
FALLBACK: Final = "bg"
NARROW: Final = "\u202f"
_TAGS: Final = re.compile(r"<[^>]*>")
_ENTITIES: Final = re.compile(r"&[a-z#0-9]+;")

TEXTS: Final[dict[str, dict[str, str]]] = {
    "welcome": {
        "en": "Welcome. Write which car you look for, in your own words, for example:\n"
        "<i>BMW X5 diesel up to 25000 €, 2016+, not crashed</i>\n"
        "or paste the link of a search on mobile.bg. /help lists all commands, /privacy says what is kept.",
        "bg": "Добре дошли. Напишете каква кола търсите, със свои думи, например:\n"
        "<i>BMW X5 дизел до 25000 €, 2016+, без удар</i>\n"
        "или поставете линк от търсене в mobile.bg. /help показва всички команди, /privacy – какво се пази.",
    },
    "stranger": {
        "en": "This bot answers invited people only: ask the company for an invitation. "
        "Този бот отговаря само на поканени: поискайте покана.",
        "bg": "Този бот отговаря само на поканени: поискайте покана. "
        "This bot answers invited people only: ask the company for an invitation.",
    },
    "bad_code": {
        "en": "This invitation was used already, or is older than a day: ask for another one.",
        "bg": "Тази покана вече е използвана или е по-стара от едно денонощие: поискайте нова.",
    },
    "linked": {
        "en": "This chat and your searches on the site belong together now: /list shows all of them.",
        "bg": "Този чат и търсенията ви в сайта вече са свързани: /list показва всички.",
    },
    "too_long": {
        "en": "Only the first %(most)s characters were read.",
        "bg": "Прочетени са само първите %(most)s знака.",
    },
    "help": {
        "en": "Write what you look for (with the word <i>lots</i>: at the auction), or:\n"
        "/watch TEXT: a new watch; plain text does the same\n"
        "/list: your watches\n"
        "/edit N TEXT: replace watch N\n"
        "/pause N, /resume N: without N all of them\n"
        "/delete N\n"
        "/quiet 22-8: nothing at night, a digest in the morning; /quiet 22-8 silent: without sound; /quiet off\n"
        "/digest 8:30: everything in one message a day; /digest off\n"
        "/language bg or en\n"
        "/why: as an answer to a message, why it came\n"
        "/star: the cars whose prices you follow\n"
        "/stop: no more messages; /resume ends that\n"
        "/forget: delete everything about you\n"
        "/privacy: what is kept",
        "bg": "Напишете какво търсите (с думата <i>лотове</i>: на търга), или:\n"
        "/watch ТЕКСТ: ново търсене; обикновен текст прави същото\n"
        "/list: вашите търсения\n"
        "/edit N ТЕКСТ: заменя търсене N\n"
        "/pause N, /resume N: без N – всички\n"
        "/delete N: изтрива търсене N\n"
        "/quiet 22-8: нищо през нощта, обобщение сутрин; /quiet 22-8 silent: без звук; /quiet off: изключва\n"
        "/digest 8:30: всичко в едно съобщение на ден; /digest off: изключва\n"
        "/language bg или en\n"
        "/why: като отговор на съобщение – защо е дошло\n"
        "/star: колите, чиято цена следите\n"
        "/stop: без повече съобщения; /resume ги връща\n"
        "/forget: изтрива всичко за вас\n"
        "/privacy: какво се пази",
    },
    "privacy": {
        "en": "Kept are: the id of this chat, the texts that you type, your language and time zone, your watches and "
        "what was sent for them. Not kept: your name, your phone, anything else. Answers are deleted after a week. "
        "/forget deletes everything at once.",
        "bg": "Пазят се: номерът на този чат, текстовете, които пишете, езикът и часовият пояс, търсенията ви и "
        "изпратеното по тях. Не се пазят: име, телефон, нищо друго. Отговорите се изтриват след седмица. "
        "/forget изтрива всичко наведнъж.",
    },
    "understood": {"en": "<b>Watch</b>: %(filter)s", "bg": "<b>Търсене</b>: %(filter)s"},
    "anything": {"en": "any car", "bg": "всяка кола"},
    "kind_ad": {"en": "ads", "bg": "обяви"},
    "kind_lot": {"en": "auction lots", "bg": "лотове от търг"},
    "kind_both": {"en": "ads and auction lots", "bg": "обяви и лотове"},
    "not_understood": {"en": "Not understood: %(words)s", "bg": "Неразбрано: %(words)s"},
    "ask": {"en": "<b>%(text)s</b> can be two things: which?", "bg": "<b>%(text)s</b> може да е две неща: кое?"},
    "nothing": {
        "en": "Nothing of that was understood. Write a make or a model, a price, a year, for example: "
        "<i>Golf 1.6 up to 8000 €, 2014+</i>",
        "bg": "Нищо от това не беше разбрано. Напишете марка или модел, цена, година, например: "
        "<i>Голф 1.6 до 8000 €, 2014+</i>",
    },
    "counts": {
        "en": "%(now)s now, %(lately)s in the last %(days)s days, about %(day)s a day",
        "bg": "%(now)s сега, %(lately)s за последните %(days)s дни, около %(day)s на ден",
    },
    "around": {"en": "about %(number)s", "bg": "около %(number)s"},
    "best": {"en": "The best of them:", "bg": "Най-добрите от тях:"},
    "too_many": {
        "en": "That is a lot: a tighter filter, or /digest 8:30 for one message a day, is easier to read. "
        "At most 20 messages a day are sent for a watch.",
        "bg": "Това е много: по-тесен филтър или /digest 8:30 за едно съобщение на ден се чете по-лесно. "
        "За едно търсене се пращат най-много 20 съобщения на ден.",
    },
    "save": {"en": "💾 Save", "bg": "💾 Запази"},
    "change": {"en": "✏️ Change", "bg": "✏️ Промени"},
    "only_below": {"en": "Only 10 % below market", "bg": "Само 10 % под пазара"},
    "daily": {"en": "One digest a day", "bg": "Едно обобщение на ден"},
    "saved": {
        "en": "<b>Saved</b> as watch %(number)s: %(filter)s. New cars are told from now on.",
        "bg": "<b>Запазено</b> като търсене %(number)s: %(filter)s. Оттук нататък получавате новите коли.",
    },
    "saved_already": {"en": "It was saved already.", "bg": "Вече е запазено."},
    "how_to_change": {
        "en": "Write it again, with what should be different.",
        "bg": "Напишете го отново, с това, което трябва да е различно.",
    },
    "how_to_edit": {
        "en": "Write <code>/edit %(number)s</code> and the new text. It was: <i>%(typed)s</i>",
        "bg": "Напишете <code>/edit %(number)s</code> и новия текст. Беше: <i>%(typed)s</i>",
    },
    "full": {
        "en": "There are %(most)s watches already: /delete one first.",
        "bg": "Вече има %(most)s търсения: първо изтрийте едно с /delete.",
    },
    "none": {
        "en": "No watches yet. Write which car you look for.",
        "bg": "Още няма търсения. Напишете каква кола търсите.",
    },
    "list": {"en": "<b>Your watches</b>", "bg": "<b>Вашите търсения</b>"},
    "paused_mark": {"en": "paused", "bg": "на пауза"},
    "all_paused": {"en": "Everything is paused: /resume ends that.", "bg": "Всичко е на пауза: /resume я прекратява."},
    "no_such": {
        "en": "There is no watch %(number)s: /list shows them.",
        "bg": "Няма търсене %(number)s: /list ги показва.",
    },
    "which": {
        "en": "Which one? Write %(command)s N: /list shows them.",
        "bg": "Кое? Напишете %(command)s N: /list ги показва.",
    },
    "paused": {"en": "Watch %(number)s is paused.", "bg": "Търсене %(number)s е на пауза."},
    "resumed": {"en": "Watch %(number)s goes on.", "bg": "Търсене %(number)s продължава."},
    "paused_all": {
        "en": "All watches are paused. /resume ends that, /forget deletes everything.",
        "bg": "Всички търсения са на пауза. /resume ги връща, /forget изтрива всичко.",
    },
    "resumed_all": {"en": "All watches go on.", "bg": "Всички търсения продължават."},
    "still_paused": {
        "en": "The other watches go on. Still paused: %(numbers)s. Write /resume and the number.",
        "bg": "Другите търсения продължават. Още на пауза: %(numbers)s. Напишете /resume и номера.",
    },
    "deleted": {"en": "Watch %(number)s is deleted: %(filter)s", "bg": "Търсене %(number)s е изтрито: %(filter)s"},
    "deleted_already": {"en": "It was deleted already.", "bg": "Вече е изтрито."},
    "quiet": {
        "en": "Quiet from %(from)s to %(to)s (%(zone)s): one digest comes at the end.",
        "bg": "Тихо от %(from)s до %(to)s (%(zone)s): накрая идва едно обобщение.",
    },
    "quiet_silent": {
        "en": "From %(from)s to %(to)s (%(zone)s) messages come without sound.",
        "bg": "От %(from)s до %(to)s (%(zone)s) съобщенията идват без звук.",
    },
    "quiet_off": {"en": "No quiet hours.", "bg": "Без тихи часове."},
    "quiet_usage": {
        "en": "Write /quiet 22-8, /quiet 22:30-7:15 silent, or /quiet off.",
        "bg": "Напишете /quiet 22-8, /quiet 22:30-7:15 silent или /quiet off.",
    },
    "digest": {
        "en": "Everything comes in one digest a day, at %(at)s (%(zone)s). /digest off ends that.",
        "bg": "Всичко идва в едно обобщение на ден, в %(at)s (%(zone)s). /digest off го изключва.",
    },
    "digest_off": {"en": "Messages come one by one.", "bg": "Съобщенията идват едно по едно."},
    "digest_usage": {"en": "Write /digest 8:30 or /digest off.", "bg": "Напишете /digest 8:30 или /digest off."},
    "language": {"en": "English from now on.", "bg": "Оттук нататък на български."},
    "language_usage": {"en": "Write /language bg or /language en.", "bg": "Напишете /language bg или /language en."},
    "why_usage": {
        "en": "Answer a message about a car with /why.",
        "bg": "Отговорете с /why на съобщение за кола.",
    },
    "why": {"en": "It came because of:", "bg": "Дойде заради:"},
    "why_score": {"en": "Score %(score)s: %(reasons)s", "bg": "Оценка %(score)s: %(reasons)s"},
    "why_gone": {"en": "The watch that found it was deleted.", "bg": "Търсенето, което я намери, е изтрито."},
    "stars": {"en": "<b>Prices that you follow</b>", "bg": "<b>Цени, които следите</b>"},
    "no_stars": {
        "en": "You follow no price: press ⭐ below a car.",
        "bg": "Не следите цени: натиснете ⭐ под някоя кола.",
    },
    "gone_mark": {"en": "gone", "bg": "свалена"},
    "forget_ask": {
        "en": "This deletes all your watches and everything about this chat. Really?",
        "bg": "Това изтрива всичките ви търсения и всичко за този чат. Наистина?",
    },
    "forget_button": {"en": "Delete everything", "bg": "Изтрий всичко"},
    "forgotten": {
        "en": "Everything about this chat is deleted. Goodbye.",
        "bg": "Всичко за този чат е изтрито. Довиждане.",
    },
    "failed": {
        "en": "That did not work; nothing was changed. Please try it in another way.",
        "bg": "Това не стана; нищо не е променено. Опитайте по друг начин.",
    },
    "unknown": {
        "en": "There is no command %(command)s: /help lists them.",
        "bg": "Няма команда %(command)s: /help ги показва.",
    },
    "link": {"en": "On the site: %(url)s", "bg": "В сайта: %(url)s"},
    # Buttons and answers to them
    "open": {"en": "Open the ad", "bg": "Отвори обявата"},
    "open_lot": {"en": "Open the lot", "bg": "Отвори лота"},
    "follow": {"en": "⭐ Follow the price", "bg": "⭐ Следи цената"},
    "mute": {"en": "🙈 Not this car", "bg": "🙈 Не тази кола"},
    "pause_watch": {"en": "⏸ Pause this watch", "bg": "⏸ Пауза на търсенето"},
    "following": {"en": "You will be told when the price comes down.", "bg": "Ще разберете, когато цената падне."},
    "muted": {"en": "Nothing more of this car.", "bg": "Нищо повече за тази кола."},
    "done": {"en": "Done.", "bg": "Готово."},
    "done_already": {"en": "It is so already.", "bg": "Вече е така."},
    "stale": {"en": "That is no longer there.", "bg": "Това вече го няма."},
    # Messages about cars
    "for": {"en": "For: %(filter)s", "bg": "За: %(filter)s"},
    "below_market": {
        "en": "%(percent)s %% below the market: about %(worth)s",
        "bg": "%(percent)s %% под пазара: около %(worth)s",
    },
    "above_market": {
        "en": "%(percent)s %% above the market: about %(worth)s",
        "bg": "%(percent)s %% над пазара: около %(worth)s",
    },
    "at_market": {"en": "at the market: about %(worth)s", "bg": "на пазарна цена: около %(worth)s"},
    "no_price": {"en": "no price", "bg": "без цена"},
    "score": {"en": "Score %(score)s", "bg": "Оценка %(score)s"},
    "beware": {"en": "Beware: %(words)s", "bg": "Внимание: %(words)s"},
    "gone": {"en": "No longer advertised", "bg": "Вече не се обявява"},
    "dropped": {
        "en": "📉 <b>%(now)s</b>, it was %(before)s (%(change)s)",
        "bg": "📉 <b>%(now)s</b>, беше %(before)s (%(change)s)",
    },
    "cap": {
        "en": "That was message %(most)s of today for this watch: the others come in tomorrow's digest.",
        "bg": "Това е съобщение %(most)s за днес по това търсене: останалите идват в утрешното обобщение.",
    },
    "digest_head": {"en": "<b>%(count)s new for you</b>", "bg": "<b>Нови за вас: %(count)s</b>"},
    "more": {"en": "and %(count)s more", "bg": "и още %(count)s"},
    "lot": {"en": "Lot %(number)s", "bg": "Лот %(number)s"},
    "bid": {"en": "bid now %(price)s", "bg": "наддаване сега %(price)s"},
    "no_sale": {"en": "no sale date", "bg": "без дата на търга"},
    "bid_up_to": {"en": "Bid up to %(bid)s", "bg": "Наддавай до %(bid)s"},
    "buy_now": {"en": "Buy now for %(bid)s", "bg": "Купи веднага за %(bid)s"},
    "expected": {"en": "Expected to go for about %(bid)s", "bg": "Очаква се да стигне около %(bid)s"},
    "lands_at": {"en": "lands at %(landed)s", "bg": "докаран за %(landed)s"},
    "worth": {"en": "worth %(worth)s (%(low)s to %(high)s)", "bg": "струва %(worth)s (%(low)s до %(high)s)"},
    "profit": {
        "en": "profit %(profit)s, %(chance)s %% chance of a loss",
        "bg": "печалба %(profit)s, %(chance)s %% риск от загуба",
    },
    "bid_passed": {"en": "The bid has passed the limit", "bg": "Наддаването мина границата"},
    "against": {"en": "Against it: %(reason)s", "bg": "Против: %(reason)s"},
    "lot_gone": {"en": "No longer at the auction", "bg": "Вече не е на търга"},
    "lots_counts": {
        "en": "Lots: %(now)s now, %(lately)s in the last %(days)s days, about %(day)s a day",
        "bg": "Лотове: %(now)s сега, %(lately)s за последните %(days)s дни, около %(day)s на ден",
    },
    "lots_also": {"en": "lots: %(filter)s", "bg": "лотове: %(filter)s"},
    "sale": {"en": "sale %(when)s", "bg": "търг %(when)s"},
    "km": {"en": "km", "bg": "км"},
    "hp": {"en": "hp", "bg": "к.с."},
}
NAMES: Final[dict[str, dict[str, str]]] = {
    "gasoline": {"en": "petrol", "bg": "бензин"},
    "diesel": {"en": "diesel", "bg": "дизел"},
    "hybrid": {"en": "hybrid", "bg": "хибрид"},
    "plug-in hybrid": {"en": "plug-in hybrid", "bg": "плъг-ин хибрид"},
    "electric": {"en": "electric", "bg": "електро"},
    "lpg": {"en": "LPG", "bg": "газ"},
    "cng": {"en": "CNG", "bg": "метан"},
    "hydrogen": {"en": "hydrogen", "bg": "водород"},
    "manual": {"en": "manual", "bg": "ръчна"},
    "automatic": {"en": "automatic", "bg": "автоматик"},
    "semi-automatic": {"en": "semi-automatic", "bg": "полуавтоматик"},
}
"""Fuels and gearboxes of the vocabulary. A value without a text is shown as it is."""
COMMANDS: Final[dict[str, dict[str, str]]] = {
    "watch": {"en": "a new watch", "bg": "ново търсене"},
    "list": {"en": "your watches", "bg": "вашите търсения"},
    "pause": {"en": "pause a watch", "bg": "пауза на търсене"},
    "resume": {"en": "go on", "bg": "продължи"},
    "quiet": {"en": "quiet hours", "bg": "тихи часове"},
    "digest": {"en": "one message a day", "bg": "едно съобщение на ден"},
    "star": {"en": "prices that you follow", "bg": "цени, които следите"},
    "stop": {"en": "no more messages", "bg": "без повече съобщения"},
    "language": {"en": "the language", "bg": "езикът"},
    "privacy": {"en": "what is kept", "bg": "какво се пази"},
    "help": {"en": "all commands", "bg": "всички команди"},
}
"""The menu of commands that Telegram shows."""


def code(language: str) -> Literal["bg", "en"]:
    """Return a language of LANGUAGES."""
    return "en" if language == "en" else "bg"


def say(language: str, key: str, **values: Any) -> str:
    """Return a text in a language. Values are escaped, and nothing in them becomes a link."""
    text = TEXTS[key][language if language in LANGUAGES else FALLBACK]
    return text % {name: quoted(value) for name, value in values.items()} if values else text.replace("%%", "%")


def quoted(value: object, longest: int = 400) -> str:
    """Return a text from outside as HTML: one line, without links, cut."""
    return escape(cut(clean(str(value)), longest), quote=False)


def name(language: str, value: str | None) -> str:
    """Return a fuel or a gearbox in a language."""
    return "" if value is None else NAMES.get(value, {}).get(language, value)


def eur(value: Decimal | float | None) -> str:
    """Return a price: 12 345 €."""
    return "–" if value is None else f"{number(value)}\u00a0€"


def number(value: Decimal | float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{round(value):,}".replace(",", NARROW)


def visible(html: str) -> int:
    """Return the length of a text in HTML as Telegram counts it."""
    return units(_ENTITIES.sub("x", _TAGS.sub("", html)))


def fitted(lines: list[str], longest: int = LONGEST) -> str:
    """Return lines of HTML, each whole, as one text that Telegram takes: without the last ones if it is too long."""
    kept: list[str] = []
    room = longest - 2
    for line in lines:
        room -= visible(line) + 1
        if room < 0:
            return "\n".join([*kept, "…"])
        kept.append(line)
    return "\n".join(kept)
