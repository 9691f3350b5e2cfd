"""`vinops watch …`: personal alerts, and the bot that they are set with."""

from __future__ import annotations

import json
import logging
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vinops import config, logs
from vinops.db import database
from vinops.output import data_folder, name_data_folder
from vinops.redaction import remember, without_ids

if TYPE_CHECKING:
    from vinops.config import Settings

app = typer.Typer(help="Personal alerts: the bot, and who may use it.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def bot() -> None:
    """Run the bot: read what people write, and send them what their watches find. One for each bot of Telegram."""
    from deals.watches.bot.run import Bot
    from ops.workers import registry
    from ops.workers.processes import held

    settings = config.load()
    if settings.telegram_bot_token is None:
        raise config.ConfigError("TELEGRAM_BOT_TOKEN is not set: @BotFather on Telegram makes a bot and its token")
    logs.configure("watch", settings, console=True)
    log = logging.getLogger("watch")
    log.info("the data folder is %s", data_folder(settings))
    folder = registry.run_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    running = Bot(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stopped.set())
    try:
        with database.connect(settings, application="vinops watch", autocommit=True):
            pass  # the schema has to fit
        with held(folder / f"{registry.BOT}.lock", wait=False):
            running.run()
    except BlockingIOError:
        typer.echo("vinops: a bot runs on this data folder already: `vinops stop` ends it", err=True)
        raise typer.Exit(1) from None
    except (config.ConfigError, database.DatabaseError):
        raise
    except Exception as error:  # noqa: BLE001 # whatever ended a loop
        # Without its traceback: an error of the database may quote a row, and with it the id of a chat.
        log.error("the bot ended: %s", without_ids(f"{type(error).__name__}: {error}"))
        raise typer.Exit(1) from None


@app.command()
def parse(
    text: Annotated[str, typer.Argument(help="What somebody looks for, or the link of a search on mobile.bg.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show which filter a text stands for, what of it was not understood, and what can be two things.

    «BMW X5 дизел до 25000, 2016+, без удар», «лотове RAV4 палещ NJ, до 12000 на място». It needs no database.
    """
    from deals.watches.in_words import in_words
    from vinops.filter_text import parse
    from vinops.filter_words import describe
    from vinops.text.printable import printable

    found = parse(text)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    language: Literal["bg", "en"] = "en" if text.isascii() else "bg"
    is_ad = found.kind == "ad"
    said = describe(found.filter, language) if is_ad else in_words(language, found.filter, found.kind, found.lots)
    typer.echo(printable(said))
    if found.leftovers:
        typer.echo(" ".join(_shown(printable(each.text), each.is_understood) for each in found.pieces))
        typer.echo(f"not understood: {printable(', '.join(found.leftovers))}")
    for each in found.ambiguous:
        choices = " / ".join(choice.says(language) for choice in each.choices)
        typer.echo(printable(f"«{each.text}» can be: {choices}"))


def _shown(text: str, is_understood: bool) -> str:
    """Return a part of a text, struck out if it was not understood; plain output has ~~ around it."""
    if is_understood:
        return text
    return typer.style(text, strikethrough=True) if sys.stdout.isatty() else f"~~{text}~~"


@app.command()
def invite(
    name: Annotated[str | None, typer.Argument(help="A person of the site, whose watches the chat gets.")] = None,
    *,
    language: Annotated[str, typer.Option(help="bg or en.")] = "bg",
    as_json: AsJson = False,
) -> None:
    """Make an invitation to the bot: a link for one chat, to be used once, within a day."""
    from deals.watches import people, texts
    from deals.watches.bot.receive import bot_name

    settings = _settings()
    if language not in texts.LANGUAGES:
        raise typer.BadParameter(f"{language} is none of {', '.join(texts.LANGUAGES)}", param_hint="--language")
    if not as_json:
        name_data_folder(settings)
    user = bot_name(settings) if settings.telegram_bot_token is not None else ""
    with database.connect(settings, application="vinops watch", autocommit=True) as connection:
        user_id = None if name is None else people.user_id_of(connection, name)
        if name is not None and user_id is None:
            typer.echo(f"vinops watch: there is no {name}: `vinops users list` shows who is there", err=True)
            raise typer.Exit(1)
        code = people.invite(connection, language, user_id=user_id)
    link = f"https://t.me/{user}?start={code}" if user else None
    if as_json:
        typer.echo(json.dumps({"code": code, "link": link}))
        return
    typer.echo(link or f"/start {code}")
    typer.echo("It lets one chat in, once, within 24 hours: send it to one person.", err=True)
    if link is None:
        typer.echo("The bot's name is not known: write it to the bot as it is.", err=True)


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List who has watches: names of the site, how many watches, what waits. No chat is named."""
    from ops.show import tables
    from vinops.db.database import queries

    settings = _settings()
    with database.connect(settings, application="vinops watch", autocommit=True) as connection:
        rows = _rows(connection, queries("watch_people")["people"])
    if not rows:
        typer.echo("[]") if as_json else typer.echo("nobody yet: vinops watch invite", err=True)
        return
    tables.write_objects(rows, as_json=as_json, zone=settings.time_zone)


def _rows(connection: Any, statement: str) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return [*cursor.execute(statement).fetchall()]


def _settings() -> Settings:
    settings = config.load()
    remember(settings)
    return settings
