"""Crawls and Celery processes of a data folder, found by their command lines, however they were started.

What this command line did not start has no state file and no unit: a crawl or a Celery that an operator typed. Those of
other accounts cannot be seen unless this is root.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.workers.processes import Stopped, arguments, identify, parent, pids, terminate
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ops.workers.registry import Program
    from vinops.config import Settings

SHOWN_ARGUMENTS = 6


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """A process that was started by hand. `program` is the one whose work it does, None for a crawl that no program is,
    as `-a makes=bmw`; `title` is for people."""

    pid: int
    title: str
    program: Program | None


def duplicates(settings: Settings, program: Program, managed: int | None) -> tuple[int, ...]:
    """Return the processes on this data folder that do the work of a program, beside the one that is `managed` here."""
    found = _of_folder(settings, lambda line: does(line, program))
    return tuple(pid for pid in found if managed is None or not _is_below(pid, managed))


def find(settings: Settings, programs: Sequence[Program], *, all_of_them: bool) -> list[ByHand]:
    """Return the processes on this data folder that do the work of these programs; with `all_of_them` also crawls of
    their spiders that belong to no program. What is managed here is among them while it runs."""
    spiders = {program.spider for program in programs}

    def is_one(line: Sequence[str]) -> bool:
        found = _crawl(line)
        return found is not None and found[0] in spiders

    chosen = _of_folder(settings, lambda line: any(does(line, program) for program in programs))
    others = _of_folder(settings, is_one) if all_of_them else []
    return [_by_hand(pid, programs) for pid in sorted({*chosen, *others})]


def end(found: Sequence[ByHand], *, grace: float) -> list[Stopped]:
    """Terminate processes, all at once, and return how each ended. Raises ProcessError."""

    def terminate_one(each: ByHand) -> Stopped:
        identity = identify(each.pid)
        return terminate(identity, grace=grace) if identity else Stopped(pid=each.pid)

    if not found:
        return []
    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        return list(pool.map(terminate_one, found))


def does(line: Sequence[str], program: Program) -> bool:
    """Tell by a command line whether a process is a program's: its own command, or one that an operator types."""
    own = program.command
    while own and (own[0] == "env" or "=" in own[0]):  # env becomes the command that it names
        own = own[1:]
    if tuple(line) == own:
        return True
    if program.spider is None:
        return _is_celery(line, program.name.removeprefix("celery_"))
    found = _crawl(line)
    return found is not None and program.has_run(found[0], found[1].get("worker"))


def _by_hand(pid: int, programs: Sequence[Program]) -> ByHand:
    line = arguments(pid)
    program = next((each for each in programs if does(line, each)), None)
    if program:
        return ByHand(pid=pid, title=program.title, program=program)
    spider, values = _crawl(line) or ("", {})
    said = " ".join(f"{name}={value}" for name, value in list(values.items())[:SHOWN_ARGUMENTS])
    return ByHand(pid=pid, title=f"Crawl {spider} {said}".rstrip(), program=None)


def _crawl(line: Sequence[str]) -> tuple[str, Mapping[str, str]] | None:
    """Return the spider and the arguments of a `scrapy crawl`, None for another command line, as one that only runs it:
    `timeout 1h scrapy crawl …`."""
    names = [Path(part).name for part in line[:6]]
    if not names or not names[0].startswith(("python", "scrapy")) or not {"scrapy", "crawl"} <= set(names):
        return None
    rest = line[line.index("crawl") + 1 :]
    values, spider = dict[str, str](), ""
    for before, part in pairwise(["", *rest]):
        if before == "-a" or (part.startswith("-a") and len(part) > 2):
            name, _, value = part.removeprefix("-a").partition("=")
            values[name.strip()] = value
        elif not part.startswith("-") and (not before.startswith("-") or "=" in before):
            spider = spider or part
    return (spider, values) if spider else None


def _is_celery(line: Sequence[str], kind: str) -> bool:
    """Tell whether a command line is `celery -A deals worker`, or beat, in any spelling."""
    if not any(Path(part).name == "celery" for part in line[:3]):
        return False
    has_beat = "worker" in line and not {"-B", "--beat"}.isdisjoint(line)  # a worker may run a beat of its own
    if kind not in line and not (kind == "beat" and has_beat):
        return False
    return any(part.startswith("--app=deals") for part in line) or any(
        name in ("-A", "--app") and value.split(".")[0] == "deals" for name, value in pairwise(line)
    )


def _of_folder(settings: Settings, is_one: Callable[[Sequence[str]], Any]) -> list[int]:
    """Return the processes with such a command line that use this data folder: of each family the first."""
    found = {pid for pid in pids() if is_one(arguments(pid))}
    first = [pid for pid in found if parent(pid) not in found]
    return sorted(pid for pid in first if _data_dir(pid) == settings.data_dir.resolve())


def _is_below(pid: int, above: int) -> bool:
    """Tell whether a process is another one, or a descendant of it: the crawl of a unit is a child of its loop."""
    each: int | None = pid
    while each and each != above:
        each = parent(each)
    return each == above


def _data_dir(pid: int) -> Path | None:
    """Return the data folder of a process, by its environment and the .env of its folder."""
    folder = Path(f"/proc/{pid}/cwd")
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
        environ = dict(part.partition("=")[::2] for part in text.split("\0") if part)
        here = folder.readlink()
        return (here / config.load(environ, folder=here).data_dir).resolve()
    except (OSError, config.ConfigError):
        return None
