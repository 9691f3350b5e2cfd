"""`vinops photos`: where photos are, copies from one place to another, and objects compared with what is recorded."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ops.photos import compare as comparing, places, sync as syncing
from vinops import config, logs
from vinops.db import database
from vinops.logs import pairs
from vinops.output import at_work, name_data_folder
from vinops.redaction import one_line
from vinops.storage.opening import FOLDER, photo_places, photos_place
from vinops.storage.store import StoreError
from vinops.text.figures import plural, size

if TYPE_CHECKING:
    from ops.photos.compare import Comparison
    from ops.photos.sync import Synced
    from vinops.config import Settings
    from vinops.storage.store import Store

log = logging.getLogger("photo-store")

app = typer.Typer(
    help="Photos: where they are, copies between folder and bucket, a comparison of both with the database.",
    no_args_is_help=True,
)


class Where(Enum):
    """A place of photos."""

    FOLDER = "folder"
    BUCKET = "bucket"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FAILED = {
    "missing": "the object is in none of the places that can be reached: `vinops photos check`",
    "damaged": "the object is not what was recorded: it was not copied",
    "out_of_reach": "in a bucket that R2_… do not name: set them to it, `photos sync --to folder`, set them back",
    "no_key": "the key does not have the form of vinops's keys",
}


@app.command("status")
def status_command(*, as_json: AsJson = False) -> None:
    """Say how many photos are where, and where new ones go."""
    settings = _settings(as_json=as_json)
    with (
        at_work("counting photos"),
        database.connect(settings, application="vinops photos", autocommit=True) as connection,
    ):
        found = places.read(connection, settings, most=sys.maxsize)
    if as_json:
        known = [{"place": name, "photos": count} for name, count in found.photos.items()]
        typer.echo(json.dumps({"wanted": found.wanted, "elsewhere": found.elsewhere, "places": known}))
        return
    typer.echo(found.text)
    typer.echo(f"new ones go {places.words(found.wanted).replace('in ', 'to ', 1)}")
    if found.elsewhere:
        typer.echo(f"vinops: {plural(found.elsewhere, 'photo')} elsewhere: vinops photos sync", err=True)


@app.command("sync")
def sync_command(
    *,
    to: Annotated[
        Where | None, typer.Option("--to", help="Where to; by default where new photos go: R2 if it is set.")
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Remove each photo where it was, once its copy is recorded.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and copy nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy all photos that are elsewhere to one place: read, checked against their sha256, stored, then recorded.

    Stop it at any time, kill -9 included: the next call carries on. Photos that an earlier version recorded are looked
    for first. Exit code 1 if a photo could not be copied, with the reason.
    """
    settings = _settings(as_json=as_json)
    place = _place(settings, to)
    with (
        ExitStack() as stack,
        database.connect(settings, application="vinops photos sync", autocommit=True) as connection,
    ):
        if dry_run:
            with at_work("counting photos"):
                left = syncing.waiting(connection, place)
            _say_waiting(left, place, as_json=as_json)
            return
        found = _opened(settings, stack)
        with at_work("copying photos") as work:
            result = syncing.sync(
                connection, found, place, move=move, progress=lambda done, whole: work(done, whole, "photos")
            )
    log.info("photos copied %s", pairs(to=place, copied=result.copied, there=result.there, bytes=result.bytes))
    if as_json:
        typer.echo(json.dumps({**asdict(result), "failed": dict(result.failed)}))
    else:
        _say_synced(result)
    if result.error or result.failed:
        raise typer.Exit(1)


@app.command("check")
def check_command(
    *,
    where: Annotated[
        Where | None, typer.Option("--in", help="Which place; by default where new photos go: R2 if it is set.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record photos as here whose objects are here, copied by other means.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove the rows of missing photos, so that crawls fetch them again.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many of each kind are listed.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Compare all objects in a place with what is recorded: what is missing, and what is not recorded.

    A list of a thousand objects is one request; no object is read. Exit code 1 if a recorded object is missing or has
    another size, or if there are objects that no crawl stores: of no lot, under another kind of name, or outside of the
    prefixes that vinops uses.
    """
    settings = _settings(as_json=as_json)
    place = _place(settings, where)
    with (
        ExitStack() as stack,
        database.connect(settings, application="vinops photos check", autocommit=True) as connection,
    ):
        store = _opened(settings, stack)[place]
        try:
            if forget and next(store.sizes(), None) is None:
                _fail(f"{store.describe()} holds no photo at all: is this the right machine, data folder and bucket?")
            with at_work("comparing photos") as work:
                result = comparing.compare(
                    connection,
                    store,
                    place,
                    record=record,
                    forget=forget,
                    examples=limit,
                    progress=lambda done, whole: work(done, whole, "objects"),
                )
        except StoreError as error:
            _fail(str(error))
    log.info("photos compared %s", pairs(place=place, objects=result.objects, **result.counts))
    if as_json:
        typer.echo(json.dumps({**asdict(result), "counts": dict(result.counts), "is_clean": result.is_clean}))
    else:
        _say_compared(result)
    if not result.is_clean:
        raise typer.Exit(1)


def _settings(*, as_json: bool) -> Settings:
    settings = config.load()
    logs.configure("photo-store", settings, console=False)
    if not as_json:
        name_data_folder(settings)
    return settings


def _place(settings: Settings, where: Where | None) -> str:
    """Return the name of a place."""
    if where is Where.FOLDER:
        return FOLDER
    if where is Where.BUCKET and settings.r2_endpoint is None:
        _fail("there is no bucket: set the four R2_ settings")
    return photos_place(settings)


def _opened(settings: Settings, stack: ExitStack) -> dict[str, Store]:
    try:
        found = photo_places(settings, threads=syncing.THREADS)
    except StoreError as error:
        _fail(str(error))
    for store in found.values():
        stack.enter_context(closing(store))
    return found


def _say_waiting(found: list[syncing.Waiting], place: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"to": place, "waiting": [asdict(each) for each in found]}))
        return
    for each in found:
        more = ", or less: those that are there already are only recorded" if each.place is None else ""
        typer.echo(f"{plural(each.photos, 'photo')} {places.words(each.place)}, {size(each.bytes)}{more}")
    if not found:
        typer.echo(f"all photos are {places.words(place)}")


def _say_synced(result: Synced) -> None:
    typer.echo(
        f"{plural(result.copied, 'photo')} copied, {size(result.bytes)}; {result.there:,} there already; "
        f"all recorded {places.words(result.place)}"
    )
    if result.removed:
        typer.echo(f"{plural(result.removed, 'photo')} removed where they were")
    for outcome, count in result.failed.items():
        typer.echo(f"vinops: {plural(count, 'photo')} {outcome}: {FAILED[outcome]}", err=True)
    for outcome, key in result.examples:
        typer.echo(f"vinops:   {outcome} {_shown(key)}", err=True)
    if result.error:
        typer.echo(f"vinops: stopped: {one_line(result.error)}; run it again to carry on", err=True)


def _say_compared(result: Comparison) -> None:
    typer.echo(
        f"{plural(result.objects, 'object')} {places.words(result.place)}, {size(result.object_bytes)}; "
        f"{plural(result.recorded, 'photo')} recorded there"
    )
    for count, what in (
        (result.found, "recorded as here now"),
        (result.forgotten, "removed from the database, to be fetched again"),
    ):
        if count:
            typer.echo(f"{plural(count, 'photo')} {what}")
    for kind, about in comparing.KINDS.items():
        if count := result.counts[kind]:
            typer.echo(f"{count:>10,} {kind}: {about}")
            for each in result.examples.get(kind, ()):
                typer.echo(f"{'':>11}{_shown(each.key)} ({each.bytes:,} bytes)")
    if result.outside:
        typer.echo(f"outside of photos/ and backups/: {', '.join(map(_shown, result.outside))}")
    if result.is_clean:
        typer.echo("nothing is missing, and nothing is there that vinops did not store")


def _shown(key: str) -> str:
    """Return a key, made printable: anybody who can write to the bucket chooses it."""
    return ascii(key)[1:-1]


def _fail(text: str) -> NoReturn:
    log.error("%s", text)
    typer.echo(f"vinops: {one_line(text)}", err=True)
    raise typer.Exit(1) from None
