"""Which command lines are crawls and Celery processes that an operator typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.workers import by_hand, registry
from vinops.config import Settings

SETTINGS = Settings(data_dir=Path("/nowhere"))
PROGRAMS = {
    each.name: each for each in (*registry.workers(SETTINGS), *registry.celery(SETTINGS), registry.supervisor(SETTINGS))
}
PYTHON = "/opt/vinops/.venv/bin/python"


@pytest.mark.parametrize(
    ("line", "does"),
    [
        (f"{PYTHON} /opt/vinops/.venv/bin/scrapy crawl mobile_bg -a worker=4", {"4"}),
        (f"{PYTHON} -m scrapy crawl mobile_bg -a worker=4 -a mode=fresh", {"4"}),
        ("python3 -W error -m scrapy crawl -a worker=2 mobile_bg", {"2"}),
        ("scrapy crawl mobile_bg -aworker=1", {"1"}),
        ("scrapy crawl -s LOG_LEVEL=DEBUG --logfile=x lot_photos -a batch=5", {"photos"}),
        ("scrapy crawl mobile_bg -a makes=bmw", set()),
        ("scrapy list", set()),
        ("timeout 1h scrapy crawl mobile_bg -a worker=4", set()),
        ("vim scrapy crawl mobile_bg", set()),
        (f"{PYTHON} -m scrapyd.runner crawl mobile_bg -a worker=4", set()),
        (f"{PYTHON} -m celery -A deals worker", {"celery_worker"}),
        ("celery --app=deals.app:app worker -B", {"celery_worker", "celery_beat"}),
        ("celery -A other worker", set()),
        (f"{PYTHON} /opt/vinops/.venv/bin/vinops supervise", set()),
        ("", set()),
    ],
)
def test_which_program_a_command_line_is(line: str, does: set[str]) -> None:
    assert {name for name, program in PROGRAMS.items() if by_hand.does(line.split(), program)} == does


def test_each_program_is_known_by_its_own_command() -> None:
    for name, program in PROGRAMS.items():
        line = [part for part in program.command if part != "env" and not part.startswith("SCRAPY_SETTINGS_MODULE=")]
        assert by_hand.does(line, program), name
