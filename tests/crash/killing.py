"""Kill a load, prove that the kill landed, go on, and say what differs from a life without it."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.crash.world import World, faults_of_rerun, state_after_kill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.crash.world import SharedServer, Uninterrupted

SIGKILLED = -9


@dataclass
class Kills:
    """How many kills landed, by what they hit."""

    wanted: int
    landed: Counter[str] = field(default_factory=Counter)
    every: ClassVar[list[Kills]] = []

    def __post_init__(self) -> None:
        """Count for the run, too."""
        self.every.append(self)

    @property
    def total(self) -> int:
        """All of them."""
        return self.landed.total()


@dataclass
class Killing:
    """Kills loads of a story, and keeps what is wrong afterwards."""

    shared: SharedServer
    told: Uninterrupted
    kills: Kills
    broken: str | None = None
    faults: list[str] = field(default_factory=list)

    def at(self, *events: str, again: bool = True) -> None:
        """Kill a load at an event, and each next try of it at the next event; prove it, and go on."""
        world = self.shared.clone(self.told.template, self.told.story.settings)
        for event in events:
            ended = world.load(self.told.story.killed, plan=event, broken=self.broken)
            assert (ended.code, ended.killed_at, ended.status) == (SIGKILLED, event, ""), ended
            self.kills.landed[event.split()[0]] += 1
            world.quiet()
        where = "after" if events[0] in self._after_commit() else "before"
        self._follow(world, " then ".join(events), where, again=again)

    def at_moment(self, seconds: float, *, again: bool = True) -> bool:
        """Kill a load so long after its start, and go on. Return False if it was faster."""
        world = self.shared.clone(self.told.template, self.told.story.settings)
        job = world.loader.start(world.environment, self.told.story.killed, broken=self.broken)
        time.sleep(seconds)
        job.kill()
        ended = job.wait()
        landed = ended.code == SIGKILLED
        if landed:
            self.kills.landed["at random"] += 1
            world.quiet()
            self._follow(world, f"{seconds:.3f} s, {(*ended.events, 'start')[-1]}", None, again=again)
        else:
            assert ended.status.startswith(self.told.story.status), ended
            self.shared.drop(world)
        return landed

    def _follow(self, world: World, event: str, wanted: str | None, *, again: bool) -> None:
        """Look at what the kill left, then go on. `wanted` is where the tables have to be, if that is certain."""
        where, faults = state_after_kill(world, self.told)
        if self.told.story.status == "loaded" and where != (wanted or where):
            faults.append(f"the tables are as {where} the load, not {wanted}")
        self._rerun(world, event, again=again, where=where, faults=faults)

    def _rerun(self, world: World, event: str, *, again: bool, where: str, faults: Sequence[str] = ()) -> None:
        found = [*faults, *faults_of_rerun(world, self.told, again=again, where=where, broken=self.broken)]
        if found:
            self.faults.append("\n  ".join([f"{self.told.story.name}, killed at {event}:", *found]))
        self.shared.drop(world)

    def _after_commit(self) -> set[str]:
        events = list(self.told.events)
        if "point commit 1 before" not in events:
            return set()
        rest = events[events.index("point commit 1 before") :]
        answered = next(number for number, event in enumerate(rest) if event.startswith("commit ") and "after" in event)
        return set(rest[answered:])


def named(told: Uninterrupted, *names: str) -> list[str]:
    """The events of these names, in their order."""
    return [event for event in told.events if event.split()[0] in names]


def spread(events: list[str], count: int, seed: int) -> list[str]:
    """So many of the events, the first and the last among them."""
    if len(events) <= count:
        return events
    return [events[0], *sorted(random.Random(seed).sample(events[1:-1], count - 2), key=events.index), events[-1]]
