"""What runs on a machine: an entry for each market crawl, for the photo crawl, for Celery's worker and beat, for the
supervisor, for the site, and for the bot of the alerts.

`vinops workers`, `vinops celery`, the supervisor, the monitor, health, the nodes and the systemd units all read it from
here. The crawl of another site is one more entry of `workers`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vinops_scrapy.hosts import hosts_of, netloc
from vinops_scrapy.mobile_bg.makes import read_makes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vinops.config import Settings

PHOTOS: Final = "photos"
CELERY_WORKER: Final = "celery_worker"
CELERY_BEAT: Final = "celery_beat"
SITE: Final = "web"
BOT: Final = "watch"
SUPERVISOR: Final = "supervisor"
"""The name of the supervisor, of its lock, and of its row in `ops.workers`."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What runs under a name. `name` is what the command line, the logs and `ops.workers` call it, `key` its files in
    the run folder, `title` what people read.

    The run of a crawl is found in `ops.crawl_runs` by its spider and worker, the processes of Celery by their command
    lines. Of a program that `is_shared` any number may run, on any number of machines: leases share out its work. Such
    a one, and one that `is_optional`, is started only where it is named.
    """

    name: str
    key: str
    title: str
    command: tuple[str, ...]
    log: Path
    unit: str
    spider: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    makes: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    is_shared: bool = False
    is_optional: bool = False

    @property
    def errors(self) -> Path:
        """The file for standard output and standard error of a plain process."""
        return self.log.with_suffix(".err")

    @property
    def crawl(self) -> str:
        """The crawl as an operator types it."""
        return " ".join(self.command[self.command.index("scrapy") :])

    @property
    def worker(self) -> str | None:
        """The worker that its runs name in `ops.crawl_runs`, None if they name none."""
        return self.arguments.get("worker")

    def has_run(self, spider: str, worker: str | None) -> bool:
        """Tell whether a row of `ops.crawl_runs` with this spider and worker is a run of it."""
        return spider == self.spider and (self.worker is None or worker == self.worker)


def workers(settings: Settings) -> tuple[Program, ...]:
    """Return the crawls: the market workers of the makes file, then the photo crawl. Raises ConfigError."""
    makes = read_makes(settings.makes_file)
    return (
        *(
            _crawl(
                settings,
                worker,
                spider="mobile_bg",
                arguments={"worker": worker},
                makes=tuple(make.name for make in makes.workers[int(worker)]),
                hosts=frozenset({netloc(settings.mobile_bg_url)}),
                is_optional=int(worker) in makes.off,
            )
            for worker in map(str, makes.workers)
        ),
        _crawl(
            settings,
            PHOTOS,
            title="Photo crawl",
            spider="lot_photos",
            hosts=hosts_of(settings),
            log="photo-scraper",
            unit="vinops-photo-scraper.service",
            is_shared=True,
        ),
    )


def celery(settings: Settings) -> tuple[Program, Program]:
    """Return Celery's worker and its beat."""
    # Beat would keep a PID file of its own in the current folder, and refuses to start when the id is used again.
    return (
        _celery(settings, CELERY_WORKER, "worker", unit="vinops-celery.service"),
        _celery(settings, CELERY_BEAT, "beat", "--pidfile=", unit="vinops-celery-beat.service"),
    )


def supervisor(settings: Settings) -> Program:
    """Return the supervisor."""
    return Program(
        name=SUPERVISOR,
        key=SUPERVISOR,
        title="Supervisor",
        command=(sys.executable, "-m", "ops.cli", "supervise"),
        log=settings.log_dir / "supervisor.log",
        unit="vinops-supervisor.service",
    )


def site(settings: Settings) -> Program:
    """Return the site of `vinops web`, which nothing restarts but its unit."""
    return Program(
        name=SITE,
        key=SITE,
        title="Site",
        command=(sys.executable, "-m", "ops.cli", "web"),
        log=settings.log_dir / "web.log",
        unit="vinops-web.service",
    )


def bot(settings: Settings) -> Program:
    """Return the bot of `vinops watch bot`, which nothing restarts but its unit."""
    return Program(
        name=BOT,
        key=BOT,
        title="Bot",
        command=(sys.executable, "-m", "ops.cli", "watch", "bot"),
        log=settings.log_dir / "watch.log",
        unit="vinops-watch.service",
    )


def chosen(settings: Settings, names: Sequence[str] | None) -> list[Program]:
    """Return the workers of these names, without names those that are not off. Raises LookupError for one unknown."""
    known = {program.name: program for program in workers(settings)}
    if unknown := [name for name in names or () if name not in known]:
        raise LookupError(f"{unknown[0]} is not a worker: use {', '.join(known)}")
    if not names:
        return [program for program in known.values() if not (program.is_shared or program.is_optional)]
    return [known[name] for name in dict.fromkeys(names)]


def run_folder(settings: Settings) -> Path:
    """Return the folder of the locks and state files of what runs."""
    return settings.data_dir / "run"


def _crawl(
    settings: Settings,
    name: str,
    *,
    spider: str,
    hosts: frozenset[str],
    arguments: Mapping[str, str] | None = None,
    makes: tuple[str, ...] = (),
    title: str = "",
    log: str = "",
    unit: str = "",
    is_shared: bool = False,
    is_optional: bool = False,
) -> Program:
    """Return a crawl. `env` names the settings of Scrapy, so that it runs from any folder, without a scrapy.cfg."""
    options = [part for each in (arguments or {}).items() for part in ("-a", "=".join(each))]
    return Program(
        name=name,
        key=f"worker_{name}",
        title=title or (f"Worker {name} ({', '.join(makes)})" if makes else f"Worker {name}"),
        command=(
            *("env", "SCRAPY_SETTINGS_MODULE=vinops_scrapy.settings"),
            *(sys.executable, "-m", "scrapy", "crawl", spider, *options),
        ),
        log=settings.log_dir / f"{log or f'worker_{name}'}.log",
        unit=unit or f"vinops-worker@{name}.service",
        spider=spider,
        arguments=arguments or {},
        makes=makes,
        hosts=hosts,
        is_shared=is_shared,
        is_optional=is_optional,
    )


def _celery(settings: Settings, name: str, *arguments: str, unit: str) -> Program:
    return Program(
        name=name,
        key=name,
        title=name.replace("_", " ").capitalize(),
        command=(sys.executable, "-m", "celery", "-A", "deals", *arguments),
        log=settings.log_dir / f"{name}.log",
        unit=unit,
    )
