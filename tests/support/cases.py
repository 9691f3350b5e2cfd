"""Which cases of a parametrised test stay in `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable


def few_quick(cases: Iterable[Any], *quick: int) -> list[Any]:
    """Return the cases with all but those at the positions `quick` marked as slow, for `pytest.mark.parametrize`.

    For cases that run the same lines with other data: the quick ones fail when these lines break.
    """
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=[] if at in quick else [pytest.mark.slow])
        for at, case in enumerate(cases)
    ]
