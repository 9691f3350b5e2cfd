"""`vinops stop`: stops everything of this data folder that starts or does work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.commands import celery
from ops.commands.workers import AsJson, Grace, errors_as_lines, load_settings, show_ends, tell_elsewhere, want_stopped
from ops.observe import site
from ops.workers import backends, control, registry, supervisor
from ops.workers.processes import Processes
from vinops.output import at_work, say

if TYPE_CHECKING:
    from vinops.config import Settings


def command(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop everything: the supervisor, the market workers, the photo crawl, the site, the bot, Celery, and what of
    these was started by hand. Timers of systemd and cron are not stopped."""
    settings = load_settings(quiet=as_json)
    program, crawls = registry.supervisor(settings), registry.workers(settings)
    seconds = settings.stop_grace if grace is None else grace
    want_stopped(settings, [*crawls, *registry.celery(settings)])  # before a supervisor that dies starts one more
    page, bot = registry.site(settings), registry.bot(settings)
    with errors_as_lines(), at_work("waiting for the supervisor, the crawls, the site and the bot to end"):
        stopped = supervisor.stop_running(settings)
        backend = backends.backend(settings, crawls)
        ended = [control.Ended(title=program.title, program=program, stopped=stopped)]
        ended += control.stop(settings, backend, crawls, grace=seconds, all_of_them=True)
        stopped = backends.stop_only(settings, page, lambda: site.pid(settings), grace=seconds)
        ended.append(control.Ended(title=page.title, program=page, stopped=stopped))
        stopped = backends.stop_only(settings, bot, lambda: _pid(settings, bot), grace=seconds)
        ended.append(control.Ended(title=bot.title, program=bot, stopped=stopped))
    want_stopped(settings, [program])  # its last pass may have recorded that it runs
    ended += celery.stop_all(settings, grace)
    show_ends(ended, as_json=as_json)
    tell_elsewhere(settings, crawls)
    if backend.owns_restarts:
        say("timers go on: `systemctl stop 'vinops-*.timer'` stops them too", err=True)


def _pid(settings: Settings, program: registry.Program) -> int | None:
    """Return the process that holds the lock of a program of which one runs on a data folder; None if none does."""
    held = Processes(registry.run_folder(settings)).holders(program.key)
    return held[0] if held else None
