"""The examples of CONTRIBUTING.md, "Adding things", each applied to a copy of this repository, work there."""

from __future__ import annotations

import pytest

from tools.adding_things import MOST_PLACES, made


@pytest.mark.slow
@pytest.mark.parametrize("name", MOST_PLACES)
def test_an_example_works_in_a_copy(name: str) -> None:
    assert [each for each, _ in made([name])] == [name]
