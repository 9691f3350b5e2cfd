"""The registry of the checks of `vinops health`, and how they are run on a snapshot.

A check is a function of the snapshot and of the parts that it reads, registered with its name:

    @CHECKS.add("memory", "machine")
    def memory(snapshot: Snapshot, machine: Machine) -> Finding: ...

Parts that the snapshot lacks make the finding UNKNOWN; the function is not called then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vinops.checks import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.observe.snapshot import Snapshot

    Judge = Callable[..., Finding]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check: its name, the parts of the snapshot that it needs, and those that it reads where they are there."""

    name: str
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    judge: Judge

    def __call__(self, snapshot: Snapshot) -> Finding:
        """Check a snapshot. Pure: the same snapshot gives the same finding."""
        parts = {part: getattr(snapshot, part) for part in self.needs}
        lacking = next((part for part, value in parts.items() if value is None), None)
        found = self.judge(snapshot, *parts.values()) if lacking is None else unknown(snapshot, lacking)
        return replace(found, name=self.name)


class Checks(dict[str, Check]):
    """Checks by their names, in the order of their lines."""

    def add(self, name: str, *needs: str, reads: tuple[str, ...] = ()) -> Callable[[Judge], Judge]:
        """Register the function below under a name; it is called with the snapshot and the parts in `needs`."""

        def register(judge: Judge) -> Judge:
            self[name] = Check(name=name, needs=needs, reads=(*needs, *reads), judge=judge)
            return judge

        return register


def unknown(snapshot: Snapshot, part: str) -> Finding:
    """Return the finding about a part that could not be examined; what the database knows fails with it."""
    if part in snapshot.faults:
        return Finding(level=Level.UNKNOWN, text=snapshot.faults[part], fix="vinops doctor")
    if snapshot.database.is_new:
        return ok("nothing yet: there is no database")
    return Finding(level=Level.UNKNOWN, text="the database does not answer", fix=snapshot.database.fix or "")
