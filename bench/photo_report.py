"""The tables of what photos cost: what was measured beside what was wanted, in the form of the other tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.photo_passes import ARRIVALS, most_a_day
from bench.photos import LONG_START, SPEED, Asked, Gaps, Memory, Photos, Race
from bench.report import Row, reached, table

LEAST: Mapping[str, float | None] = {"ImagesPipeline": 1.2, "FilesPipeline s3://": 1.5, "FilesPipeline": None}
"""How many times the images per second of each stock pipeline the crawl is to reach."""
TITLES: Mapping[str, str] = {
    "ImagesPipeline": "ImagesPipeline, to a folder",
    "FilesPipeline s3://": "FilesPipeline, to a bucket",
    "FilesPipeline": "FilesPipeline, to a folder (neither decodes nor forces to disk)",
}
STEPS: Mapping[str, str] = {
    "request": "asking for it: Scrapy alone, lists included",
    "decode": "decode",
    "hash": "sha256",
    "store, folder": "store in the folder",
    "store, bucket": "store in the bucket",
    "budget": "a place in the host's budget",
    "record": "record in the database, lot by lot",
    "start": "start and end of the crawl, spread over the photos of a run",
    "whole crawl, folder": "whole crawl to the folder",
    "whole crawl, bucket": "whole crawl to the bucket",
}
EARLY_SECONDS = 0.010
"""How much below its target a gap may seem: the two requests of it were not equally long on their way."""
MEAN_SHARE = 0.05
MEMORY_SHARE = 0.10
LEAST_PHOTO = 0.999


@dataclass(frozen=True, kw_only=True)
class Result:
    """One thing that was wanted, as it was found. `name` is for the list of what was missed."""

    name: str
    title: str
    target: str
    measured: str
    is_reached: bool

    @property
    def row(self) -> Row:
        """Return it for a table."""
        return (self.title, self.target, self.measured, reached(self.is_reached))


def tables(found: Photos) -> str:
    """Return all tables, one below the other."""
    parts: list[str] = []
    if found.races:
        parts.append(races(found.races))
    if found.steps:
        rows = [(title, f"{found.steps[name]:.2f} ms") for name, title in STEPS.items() if name in found.steps]
        parts.append(table(("processor time of the crawl's process for one photo", "measured"), rows))
    if results := [*counted(found), *paced(found), *remembered(found), *passed(found)]:
        parts.append(table(("", "target", "measured", "reached"), [result.row for result in results]))
    return "\n\n".join(parts)


def missed(found: Photos) -> list[str]:
    """Return the names of what was not reached."""
    slow = [f"photos beside {name}" for name, race in found.races.items() if not _is_fast(name, race)]
    results = [*counted(found), *paced(found), *remembered(found), *passed(found)]
    return [*slow, *(result.name for result in results if not result.is_reached)]


def races(found: Mapping[str, Race]) -> str:
    """Return the table of the crawl beside the stock pipelines."""
    header = (
        "the crawl beside Scrapy's",
        "target",
        "images a second (lowest to highest)",
        "pairs",
        "a second: stock, crawl",
        "processor, ms a photo: stock, crawl",
        "peak: stock, crawl",
        "reached",
    )
    return table(header, [_race(name, race) for name, race in found.items()])


def counted(found: Photos) -> Iterator[Result]:
    """Yield what the runs over the same lots asked."""
    asked = found.asked
    if asked is None:
        return
    lots, photos = asked.lots, asked.photos
    runs = (
        ("first", (lots, photos, photos), (asked.first_lists, asked.first_photos, asked.first_puts)),
        ("second", (0, 0, 0), (asked.second_lists, asked.second_photos, asked.second_puts)),
        ("due again", (lots, 0, 0), (asked.due_again_lists, asked.due_again_photos, asked.due_again_puts)),
    )
    for name, wanted, seen in runs:
        yield Result(
            name=f"requests of the {name} run",
            title=_run(name, asked),
            target=_requests(wanted),
            measured=_requests(seen),
            is_reached=seen == wanted,
        )


def paced(found: Photos) -> Iterator[Result]:
    """Yield the gaps in the careful pace."""
    for gaps in found.gaps:
        about = f"between {gaps.name}, {_crawls(gaps.processes)}"
        title = f"{about}, careful pace, clock {SPEED:g} times as fast ({gaps.count} gaps)"
        least = gaps.target - EARLY_SECONDS
        yield Result(
            name=f"smallest gap {about}",
            title=f"smallest gap {title}",
            target=f"≥ {_ms(gaps.target)} - {_ms(EARLY_SECONDS)}",
            measured=_ms(gaps.smallest),
            is_reached=gaps.smallest >= least,
        )
        yield Result(
            name=f"mean gap {about}",
            title=f"mean gap {about}",
            target=f"{_ms(gaps.target)} ± {MEAN_SHARE:.0%}",
            measured=f"{_ms(gaps.mean)} ({gaps.mean / gaps.target - 1:+.1%})",
            is_reached=_is_mean(gaps),
        )


def remembered(found: Photos) -> Iterator[Result]:
    """Yield the memory of the long crawl."""
    memory = found.memory
    if memory is None:
        return
    after = memory.after(LONG_START)
    first = after[0]
    yield Result(
        name="memory of the long crawl",
        title=f"memory from {LONG_START} lots on, of {memory.lots} ({len(after)} samples)",
        target=f"{first:.0f} MB ± {MEMORY_SHARE:.0%}",
        measured=f"{min(after):.0f} to {max(after):.0f} MB, median {statistics.median(after):.0f} MB",
        is_reached=_is_flat(memory),
    )


def passed(found: Photos) -> Iterator[Result]:
    """Yield what became of the lots of a feed of its real size."""
    passes = found.passes
    if passes is None:
        return
    size = passes.size
    about = f"{ARRIVALS:,} new lots a day, steady pace, {size.days} days"
    yield Result(
        name="lots with a photo before they leave",
        title=f"lots with a photo before they leave, of those that live longer than an hour ({about})",
        target=f"≥ {LEAST_PHOTO:.1%}",
        measured=f"{passes.photo_share:.2%} ({passes.left - passes.with_photo} of {passes.left:,} without)",
        is_reached=passes.photo_share >= LEAST_PHOTO,
    )
    lists, photos = most_a_day()
    yield Result(
        name="lots with all photos",
        title=f"lots with all photos before they leave, of those that left in the last {size.last} days",
        target="as the gaps allow",
        measured=f"{passes.all_share:.0%} of {passes.lately:,}",
        is_reached=True,
    )
    yield Result(
        name="requests a day",
        title="requests a day, at the real size: lists, photos",
        target=f"≤ {lists:,.0f}, {photos:,.0f}",
        measured=f"{passes.lists_a_day:,.0f}, {passes.photos_a_day:,.0f}",
        is_reached=passes.lists_a_day <= lists and passes.photos_a_day <= photos,
    )


def _race(name: str, race: Race) -> Row:
    least = LEAST[name]
    stock, ours = race.rates
    stock_ms, ours_ms = race.cpu_ms
    peaks = [max(getattr(pair, side).peak_mb for pair in race.pairs) for side in ("unit", "command")]
    return (
        TITLES[name],
        "" if least is None else f"≥ {least:g}×",
        f"{race.ratio:.2f}× ({min(race.ratios):.2f} to {max(race.ratios):.2f})",
        str(len(race.pairs)),
        f"{stock:.0f}, {ours:.0f}",
        f"{stock_ms:.2f}, {ours_ms:.2f}",
        f"{peaks[0]:.0f}, {peaks[1]:.0f} MB",
        "" if least is None else reached(_is_fast(name, race)),
    )


def _is_fast(name: str, race: Race) -> bool:
    least = LEAST[name]
    return least is None or race.ratio >= least


def _is_mean(gaps: Gaps) -> bool:
    return abs(gaps.mean / gaps.target - 1) <= MEAN_SHARE


def _is_flat(memory: Memory) -> bool:
    first, *later = memory.after(LONG_START)
    return all(abs(mb / first - 1) <= MEMORY_SHARE for mb in later)


def _run(name: str, asked: Asked) -> str:
    about = {
        "first": f"first run over {asked.lots} lots with {asked.photos} photos: photos + 1 for each lot",
        "second": "second run at once",
        "due again": "run when all are due again and nothing has changed",
    }
    return about[name]


def _requests(counts: tuple[int, int, int]) -> str:
    lists, photos, puts = counts
    return f"{lists} lists, {photos} photos, {puts} PUTs"


def _crawls(processes: int) -> str:
    return "1 crawl" if processes == 1 else f"{processes} crawls at once"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
