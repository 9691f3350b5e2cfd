"""The stages that an ad goes through, in order, and what each of them is to the runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is done to a batch of ads: read what is needed, work it out, write it down.

    `read` asks with statements over the whole batch, `work` is a pure function of what was read, and `write` is called
    in the runner's transaction with those results alone whose ads are still in this worker's hands. All three may be
    done twice, or twice at once: what is written depends on the ad alone, and replaces what stood there.
    """

    name: str
    read: Callable[[Connection[Any], Sequence[int], Settings], Any]
    work: Callable[[Any], Sequence[Any]]
    write: Callable[[Connection[Any], Sequence[Any]], None]
