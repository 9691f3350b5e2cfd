"""A bot and a person who talks to it, at the stand-in: for the tests of alerts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deals.watches import people
from deals.watches.bot.receive import Receiver
from deals.watches.sending.send import Sender
from vinops.config import Secret

if TYPE_CHECKING:
    import psycopg

    from standin.telegram.messages import Message
    from standin.telegram.server import TelegramServer
    from vinops.config import Settings

TOKEN = "12345:canary-4f0a"
CHAT = 7000001
GROUP = -100700900

BOARD = """
    insert into board (listing_id, is_gone, score, first_seen, price_eur, below_market, year, mileage_km, power_hp,
        make, family, fuel, gearbox)
    select ads.id, false, scores.score, ads.first_seen, cars.price_eur, 20, cars.year, cars.mileage_km, cars.power_hp,
        cars.make, cars.family, cars.fuel, cars.gearbox
    from listings as ads
    join normalized_listings as cars on cars.listing_id = ads.id
    join scores on scores.listing_id = ads.id
    where ads.id = %s"""


def bot_settings(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings with a bot of that Telegram."""
    return replace(settings, telegram_bot_token=Secret(TOKEN), telegram_api_url=telegram.url)


@dataclass(kw_only=True)
class Talk:
    """The two loops of the bot, turn by turn."""

    database: psycopg.Connection[Any]
    settings: Settings
    telegram: TelegramServer
    receiver: Receiver = field(init=False)
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        """Make both on one connection."""
        self.receiver = Receiver(self.database, self.settings, name="standin_bot")
        self.sender = Sender(self.database, self.settings)

    def join(self, chat_id: int = CHAT, language: str = "en", **about: Any) -> int:
        """Invite a chat, let it accept, and return the id of its person."""
        code = people.invite(self.database, language, **about)
        self.say(f"/start {code}", chat_id=chat_id)
        person = people.of_chat(self.database, chat_id)
        assert person is not None
        return person.id

    def say(self, *texts: str, chat_id: int = CHAT, **more: Any) -> list[Message]:
        """Write to the bot, and return the messages that came of it."""
        before = len(self.telegram.messages)
        for text in texts:
            self.telegram.updates.say(chat_id, text, **more)
        self.turn()
        return self.telegram.messages[before:]

    def press(self, data: str, *, message_id: int = 1, chat_id: int = CHAT) -> str:
        """Press a button of a message."""
        self.telegram.updates.press(chat_id, message_id, data)
        self.turn()
        return data

    def turn(self) -> None:
        """Let the bot read, and send what waits."""
        self.receiver.step(seconds=0)
        self.send()

    def send(self) -> None:
        """Let the bot queue and send what is due."""
        self.sender.queue()
        while self.sender.step():
            pass

    def shown(self, chat_id: int = CHAT) -> list[str]:
        """The texts in a chat, in their order."""
        return [each.text for each in self.telegram.chat(str(chat_id))]

    def watch(self, person_id: int, **filters: Any) -> int:
        """Write a watch for a person and return its id."""
        columns = {"typed": "x", "person_id": person_id, **filters}
        names, marks = ", ".join(columns), ", ".join("%s" for _ in columns)
        statement = f"insert into watches ({names}) values ({marks}) returning id"
        row = self.database.execute(statement.encode(), list(columns.values())).fetchone()
        assert row is not None
        return int(row[0])

    def hit(self, watch_id: int, listing_id: int, **more: Any) -> None:
        """Note an ad as found by a watch, as the stage `match` does; put it on the board if it is not there."""
        if self.database.execute("select 1 from board where listing_id = %s", [listing_id]).fetchone() is None:
            self.database.execute(BOARD.encode(), [listing_id])
        columns = {
            "watch_id": watch_id,
            "car": str(listing_id),
            "listing_id": listing_id,
            "version": self.one("select version from watches where id = %s", watch_id),
            "price_eur": self.one("select price_eur from normalized_listings where listing_id = %s", listing_id),
            "score": self.one("select score from scores where listing_id = %s", listing_id),
        } | more
        names, marks = ", ".join(columns), ", ".join("%s" for _ in columns)
        self.database.execute(f"insert into watch_hits ({names}) values ({marks})".encode(), list(columns.values()))

    def one(self, query: str, *values: Any) -> Any:
        """Return the first value of a query."""
        row = self.database.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]
