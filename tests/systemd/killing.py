"""SIGKILL to processes of units, with the proof that it landed, and what the units look like afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.systemd.installed import drop_in, sql

if TYPE_CHECKING:
    from tests.systemd.boot import Machine

#: Kill the main process of a unit, or its child if asked for the crawl; print each process of the unit before that, as
#: `pid:ticks`, the killed one first.
KILL: Final = r"""
below() {
    local child
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$child" && below "$child"; done
}
named() { local line; read -r line </proc/"$1"/stat || return 0; set -- "$1" ${line##*) }; echo "$1:${21}"; }
main=$(systemctl show --property=MainPID --value "$1")
[ "$main" -gt 0 ] || exit 3
all=$(below "$main")
victim=$main
[ "$2" != crawl ] || victim=${all%%$'\n'*}
[ -n "$victim" ] || exit 3
grep -q '^State:.Z' /proc/"$victim"/status && exit 3 # it has ended, and its parent has not noticed
for pid in $victim $main $all; do named "$pid"; done 2>/dev/null
kill -KILL "$victim" 2>/dev/null || exit 3
"""
NOT_THERE: Final = 3
#: Print those of these processes that still run.
LEFT: Final = r"""
for each; do
    read -r line </proc/"${each%:*}"/stat || continue
    set -- ${line##*) }
    [ "$1" = Z ] || [ "${20}" != "${each#*:}" ] || echo "$each"
done 2>/dev/null
"""
#: What systemd writes into the journal when the main process of a unit was killed, and when the loop of a worker ended
#: because its crawl was killed.
BY_SIGNAL, BY_CODE = "code=killed, status=9/KILL", "code=exited, status=137/"
SECONDS: Final = 120.0


@dataclass
class UnitKills:
    """Kills processes of units of a machine, and keeps what is wrong afterwards."""

    machine: Machine
    landed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    by_unit: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All that landed."""
        return self.landed.total()

    def restarts(self, unit: str) -> int:
        """Return how often systemd has restarted a unit since an operator started it."""
        return int(self.machine.show(unit, "NRestarts")["NRestarts"])

    def restarted(self, unit: str, process: str = "main") -> bool:
        """Kill a process of a unit that systemd restarts, and wait until it has. False if it had ended before."""
        before = self.restarts(unit)
        processes = self._kill(unit, process)
        if not processes:
            return False
        victim, main = (each.partition(":")[0] for each in processes[:2])
        is_crawl = process == "crawl"  # of which the loop may begin the next one
        self.machine.until(
            lambda: self.restarts(unit) > before or (is_crawl and {*self._crawls(main)} - {victim}),
            f"{unit} goes on",
            seconds=SECONDS,
        )
        if self.restarts(unit) == before:
            return False
        self.machine.until(lambda: self.machine.show(unit, "MainPID")["MainPID"] != "0", f"{unit} has begun again")
        self._look(unit, processes, BY_CODE if is_crawl else BY_SIGNAL)
        if (times := self.restarts(unit) - before) != 1:
            self.faults.append(f"{unit} was restarted {times} times after one kill")
        return True

    def failed(self, unit: str) -> bool:
        """Kill the main process of a unit that nothing restarts. False if it had ended before."""
        processes = self._kill(unit, "main")
        if not processes:
            return False
        over = ("failed", "inactive")
        self.machine.until(lambda: self.machine.show(unit, "ActiveState")["ActiveState"] in over, f"{unit} is over")
        if self.machine.show(unit, "Result")["Result"] == "success":
            return False
        assert self.machine.show(unit, "ActiveState", "Result") == {"ActiveState": "failed", "Result": "signal"}
        self._look(unit, processes, BY_SIGNAL)
        return True

    def in_journal(self, unit: str) -> dict[str, int]:
        """Return how many ends of main processes the journal has of a unit, by how they ended."""
        said = self.machine.shell(
            f"journalctl -b -u '{unit}' -o cat --no-pager | grep -F 'Main process exited' || true"
        )
        return {code: sum(code in line for line in said.splitlines()) for code in (BY_SIGNAL, BY_CODE)}

    def _kill(self, unit: str, process: str) -> list[str]:
        done = self.machine.run("bash", "-c", KILL, "kill", unit, process, check=False)
        assert done.returncode in (0, NOT_THERE), done.stderr
        return [] if done.returncode == NOT_THERE else done.stdout.split()

    def _crawls(self, loop: str) -> list[str]:
        return self.machine.shell(f"cat /proc/{loop}/task/*/children 2>/dev/null || true").split()

    def _look(self, unit: str, processes: list[str], code: str) -> None:
        """Look whether the kill landed, and what outlived it."""
        left = self.machine.run("bash", "-c", LEFT, "left", *processes).stdout.split()
        assert processes[0] not in left, f"the kill did not land: {unit}"
        if left:
            self.faults.append(f"{len(left)} processes of {unit} outlived its main process")
        kind = unit.partition("@")[0].removesuffix(".service").removeprefix("vinops-")
        self.landed[f"{kind}, {self._doing(processes)}"] += 1
        self.by_unit[unit, code] += 1

    def _doing(self, processes: list[str]) -> str:
        """Return what the unit was doing: a crawl that was at work has a run without an end."""
        pids = ",".join(each.partition(":")[0] for each in processes)
        query = (
            f"select count(*) from ops.crawl_runs where pid in ({pids}) and finished_at is null"
            " and heartbeat_at > now() - interval '1 minute'"
        )
        return "crawling" if sql(self.machine, query) != "0" else "not crawling"


def restart_soon(machine: Machine, unit: str, *more: str) -> None:
    """Have systemd restart a unit at once and without a limit: otherwise in five minutes, and ten times."""
    lines = ("[Unit]", "StartLimitIntervalSec=0", "[Service]", "RestartSec=200ms", *more)
    drop_in(machine, unit, "\n".join(lines))
