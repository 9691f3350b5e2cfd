"""The step of the alerts: a person is invited, watches, and gets messages, a lower price, and a lot of the auction."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from demo import world
from demo.text import say, typed
from demo.world import DemoFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demo.demo import Demo

CHAT: Final = 7_000_001
TYPED: Final = "BMW до 30000 €, 2008+"
MAKE: Final = "bmw"
LOTS: Final = "лотове 2016+ без удар, пали и се движи"
PATIENCE: Final = 90.0  # seconds for the bot to answer
LEAST: Final = 15.0  # seconds for the bot to tell a lower price, which it does within five
MOVES: Final = 5  # of the prices, at most
SHOWN: Final = 2  # messages about cars


def watch(demo: Demo) -> None:
    """Let a person talk to the bot at the stand-in, and the market bring new ads and lower prices."""
    say("The bot of the alerts, with the same stand-in for Telegram. A person is invited, and writes to it.")
    typed("vinops watch bot &")
    bot = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "watch", "bot"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=demo.folder,
        env=demo.environment,
    )
    demo.cleanup.callback(world.end, bot)
    typed("vinops watch invite")
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "watch", "invite", "--language", "bg", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=demo.folder,
        env=demo.environment,
    )
    if done.returncode:
        raise DemoFailed(f"`vinops watch invite` ended with {done.returncode}: {done.stderr.strip()}")
    code = done.stdout.partition('"code": "')[2].partition('"')[0]
    say(f"https://t.me/standin_bot?start={code[:4]}…")
    _say(demo, f"/start {code}", shown="/start …")
    _show(_answers(demo, 1)[-1:], lines=1)
    _say(demo, TYPED)
    proposal = _answers(demo, 2)[-1]
    _show([proposal])
    save = next(target for _, target in proposal["buttons"] if target.startswith("save:"))
    say("    > [💾 Запази]")
    _update(demo, callback_query={"id": "1", "message": _message(proposal["message_id"]), "data": save})
    _until(demo, lambda found: "Запазено" in found[-1]["text"], "the watch was not saved")
    say("New ads come, are crawled and go through the stages; the bot sends what the watch finds.")
    moved = _market(demo, world.NEW_ADS)
    say(f"{len(moved['new'])} new ads on the market, of twenty makes.")
    cars = _until(demo, lambda found: len(found) > 2, "no new car was told")[2:]
    _show(cars[:SHOWN])
    say("Prices come down:")
    drops = _lower_prices(demo)
    drop = next(each for each in drops if "📉" in each["text"])
    _show([drop])
    say(f"It answers message {drop['reply_to']}, with sound.")
    _watch_lots(demo)
    world.end(bot)


def _watch_lots(demo: Demo) -> None:
    """Let the person watch for lots of the auction too, and the feed bring new ones."""
    say("The same for lots of the auction:")
    before = len(_answers(demo, 1))
    _say(demo, LOTS)
    proposal = _answers(demo, before + 1)[-1]
    _show([proposal])
    save = next(target for _, target in proposal["buttons"] if target.startswith("save:"))
    say("    > [💾 Запази]")
    _update(demo, callback_query={"id": "2", "message": _message(proposal["message_id"]), "data": save})
    _until(demo, lambda found: "Запазено" in found[before]["text"], "the watch of lots was not saved")
    moved = world.advance(demo.world.feed, world.NEW_LOTS)
    say(f"{moved['new']:,} new lots in the next file; they are valued, quoted and matched.")
    typed("python -m etl run")
    demo.show("etl", "run", log="etl.log", indent="    ")
    typed("vinops landed run --no-post")
    demo.show("ops.cli", "landed", "run", "--no-post", log="deals.log", indent=" " * 10)
    found = _until(demo, lambda found: bool(_lots(found, before)), "no new lot was told")
    _show(_lots(found, before)[:1])


def _lots(found: list[dict[str, Any]], before: int) -> list[dict[str, Any]]:
    """Return the messages about lots, behind the proposal of the watch; prices that come down are told meanwhile."""
    return [each for each in found[before + 1 :] if "\nЛот " in each["text"]]


def _lower_prices(demo: Demo) -> list[dict[str, Any]]:
    """Move prices until one of the few cars that were told has a lower one: which ads change is drawn."""
    for _ in range(MOVES):
        _market(demo, world.OTHER_PRICES)
        try:
            return _until(demo, _is_lower, "no lower price was told", patience=LEAST)
        except DemoFailed:
            continue
    return _until(demo, _is_lower, "no lower price was told")


def _is_lower(found: list[dict[str, Any]]) -> bool:
    return any("📉" in each["text"] for each in found)


def _market(demo: Demo, how: dict[str, float]) -> dict[str, Any]:
    moved = world.advance(demo.world.market, how)
    typed(f"scrapy crawl mobile_bg -a makes={MAKE} -a mode=full")
    (crawled,) = demo.crawl(["mobile_bg", "-a", f"makes={MAKE}", "-a", "mode=full"])
    if crawled.exit_code:
        raise DemoFailed(f"the crawl of {MAKE} ended with {crawled.exit_code}: read {demo.folder}/logs")
    typed("vinops deals run --no-post")
    demo.show("ops.cli", "deals", "run", "--no-post", log="deals.log", indent=" " * 10)
    return moved


def _say(demo: Demo, text: str, *, shown: str = "") -> None:
    say(f"    > {shown or text}")
    _update(demo, message={**_message(1), "text": text})


def _message(number: int) -> dict[str, Any]:
    return {"message_id": number, "date": 1, "chat": {"id": CHAT, "type": "private"}}


def _update(demo: Demo, **content: Any) -> None:
    world.control(demo.world.settings["TELEGRAM_API_URL"], "POST", "updates", content)


def _answers(demo: Demo, count: int) -> list[dict[str, Any]]:
    return _until(demo, lambda found: len(found) >= count, "the bot did not answer")


def _until(
    demo: Demo, is_so: Callable[[list[dict[str, Any]]], bool], otherwise: str, patience: float = PATIENCE
) -> list[dict[str, Any]]:
    """Return the messages in the person's chat as soon as they are as expected. Raises DemoFailed."""
    until = time.monotonic() + patience
    while True:
        found = [
            each
            for each in world.control(demo.world.settings["TELEGRAM_API_URL"], "GET", "messages")
            if each["chat_id"] == str(CHAT)
        ]
        if found and is_so(found):
            return found
        if time.monotonic() > until:
            raise DemoFailed(f"{otherwise}: read {demo.folder}/logs/watch.log")
        time.sleep(0.2)


def _show(messages: Sequence[dict[str, Any]], *, lines: int = 12) -> None:
    for message in messages:
        for line in message["text"].splitlines()[:lines]:
            say(f"    | {line}", indent="    | ")
        if message["buttons"] and lines > 1:
            say(f"    | {' '.join(f'[{text}]' for text, _ in message['buttons'])}", indent="    | ")
        say("    |")
