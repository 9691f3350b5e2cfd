"""Kills at any moment, as many as are asked for: VINOPS_CRASH_KILLS=500 python -m pytest tests/crash.

The named ones come first (test_kills.py, test_server_kills.py), fifty at least; whatever is missing to the number that
was asked for, and a dozen in any case, is done here: at random, in random stories, with a new market for each round.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.conftest import LEAST, STORIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.killing import Killing, Kills

pytestmark = pytest.mark.slow

AT_RANDOM = 12
ROUND = 40  # kills before the markets change


@pytest.mark.quick
def test_one_load_killed_at_random_is_made_good_by_the_next(killing: Callable[..., Killing]) -> None:
    begun = killing("delta")
    while not begun.at_moment(random.uniform(0, begun.told.seconds)):
        pass
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.timeout(3600)
def test_a_load_killed_at_any_moment_is_made_good_by_the_next(killing: Callable[..., Killing], kills: Kills) -> None:
    dice = random.Random(1)
    landed = tried = 0
    while landed < AT_RANDOM or LEAST < kills.wanted > kills.total:
        begun = killing(dice.choice(STORIES if kills.wanted > LEAST else ("delta", "fetched")), 1 + landed // ROUND)
        again = dice.random() < 0.7
        tried += 1
        if dice.random() < 0.7:
            landed += begun.at_moment(dice.uniform(0, begun.told.seconds), again=again)
        else:
            begun.at(dice.choice(begun.told.events), again=again)
            landed += 1
        assert not begun.faults, "\n".join(begun.faults)
        assert tried < 100 + 10 * landed, "the loads end before they can be killed"
