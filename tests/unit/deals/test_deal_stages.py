"""What a stage of the deals needs beside its line in the registry: each failure names the file that is missing."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from deals.app import QUEUES
from deals.stages.registry import STAGES, next_stage

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_module_its_queue_and_its_places(name: str) -> None:
    assert importlib.util.find_spec(f"deals.stages.{name}"), f"deals/stages/{name}.py is missing"
    for function, parameters in (("read", 3), ("work", 1), ("write", 2)):
        found = getattr(STAGES[name].module, function, None)
        assert found, f"deals/stages/{name}.py has no function {function}"
        assert len(inspect.signature(found).parameters) == parameters, f"{name}.{function}"
    assert name in QUEUES
    allowed = re.search(r"deal_outbox_stage_check CHECK \(\(stage = ANY \(ARRAY\[(.+?)\]", _text("sql/schema.sql"))
    assert allowed
    assert f"'{name}'" in allowed[1], f"no migration lets ops.deal_outbox.stage be '{name}'"
    assert f"`{name}`" in _text("docs/runbook.md"), f"docs/runbook.md says nothing of the stage `{name}`"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_waits_for_an_earlier_one(name: str) -> None:
    order = list(STAGES)
    awaited = STAGES[name].waits_for
    assert awaited is None or order.index(awaited) < order.index(name)


def test_the_stages_follow_one_another() -> None:
    assert [next_stage(name) for name in STAGES] == [*list(STAGES)[1:], None]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
