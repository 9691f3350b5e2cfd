"""The egg that scrapyd runs crawls from: all that is read at run time is in it, and works from inside of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.nodes import egg
from tests.support.scrapyd_nodes import ROOT, environment_of_nodes, plain_environment

if TYPE_CHECKING:
    from vinops.config import Settings

pytestmark = pytest.mark.machines  # a node has a virtual environment of its own

PACKAGES = ("vinops", "vinops_scrapy", "etl", "deals", "ops", "web", "demo")
SUFFIXES = (".py", ".sql", ".toml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The egg of `vinops nodes deploy`."""
    path = tmp_path_factory.mktemp("egg") / "vinops.egg"
    path.write_bytes(egg.build())
    return path


def expected() -> set[str]:
    """All files of the packages that are code or data."""
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in SUFFIXES
    }
    return found | {str(path.relative_to(ROOT)) for path in (ROOT / "sql").rglob("*.sql")}


def run_inside(egg: Path, code: str, environment: dict[str, str], cwd: Path) -> str:
    """Run code that finds vinops in the egg and nowhere else; what it depends on is where a node has it."""
    done = subprocess.run(
        [str(environment_of_nodes() / "bin/python"), "-W", "error", "-c", code],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(egg)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_and_data_are_in_the_egg_and_nothing_foreign(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    assert expected() - names == set()
    assert {
        "sql/migrations/0001_feed_tables.sql",
        "sql/queries/photos.sql",
        "vinops_scrapy/mobile_bg/makes.toml",
    } <= names
    roots = {name.partition("/")[0] for name in names}
    assert roots == {*PACKAGES, "standin", "sql", "EGG-INFO"}, (
        "what it depends on, as the backport of typing, stays out"
    )


def test_the_egg_says_where_the_settings_are_and_may_stay_zipped(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        assert "[scrapy]\nsettings = vinops_scrapy.settings\n" in archive.read("EGG-INFO/entry_points.txt").decode()
        assert "EGG-INFO/zip-safe" in archive.namelist()


def test_scrapyd_deploy_builds_the_same(built: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in (*PACKAGES, "standin", "sql"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "scrapy.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, checkout)
    stale = checkout / "build" / "lib" / "vinops" / "long_gone.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    subprocess.run(
        [str(environment_of_nodes() / "bin/scrapyd-deploy"), "--build-egg", str(tmp_path / "theirs.egg")],
        cwd=checkout,
        env=plain_environment({}),
        capture_output=True,
        check=True,
    )
    with zipfile.ZipFile(tmp_path / "theirs.egg") as theirs, zipfile.ZipFile(built) as ours:
        contents = [
            {name: each.read(name) for name in each.namelist() if name.endswith(SUFFIXES)} for each in (theirs, ours)
        ]
    assert contents[0] == contents[1]


def test_queries_migrations_and_makes_are_read_from_inside(built: Path, tmp_path: Path) -> None:
    code = """
import json, vinops
from vinops.db import database
from vinops_scrapy.mobile_bg.makes import read_makes
names = [path.name[:-4] for path in database.sql_folder("queries").iterdir() if path.name.endswith(".sql")]
print(json.dumps({
    "from": vinops.__file__,
    "queries": {name: sorted(database.queries(name)) for name in names},
    "makes": [make.slug for make in read_makes().all],
}))
"""
    found = json.loads(run_inside(built, code, plain_environment({}), tmp_path))
    from vinops.db.database import SQL, queries
    from vinops_scrapy.mobile_bg.makes import read_makes

    assert found["from"] == f"{built}/vinops/__init__.py"
    assert found["queries"] == {path.stem: sorted(queries(path.stem)) for path in (SQL / "queries").glob("*.sql")}
    assert found["makes"] == [make.slug for make in read_makes().all]


def test_the_embedded_database_is_made_migrated_and_kept_from_inside(built: Path, open_folder: Path) -> None:
    code = """
from vinops import config
from vinops.db import database
settings = config.load()
with database.connect(settings, application="egg") as connection:
    print(connection.execute("select count(*) from public._yoyo_migration").fetchone()[0])
"""
    environment = plain_environment({"VINOPS_DATA_DIR": str(open_folder), "VINOPS_EMBEDDED_LINGER": "1"})
    from vinops.db.database import SQL

    assert int(run_inside(built, code, environment, open_folder)) == len(list((SQL / "migrations").glob("*.sql")))


def test_scrapy_finds_spiders_commands_and_components_inside(built: Path, settings: Settings, tmp_path: Path) -> None:
    code = """
from scrapy.utils.project import get_project_settings
from scrapy.utils.misc import load_object, walk_modules_iter
from scrapy.spiderloader import SpiderLoader
settings = get_project_settings()
for name in ("DOWNLOADER_MIDDLEWARES", "EXTENSIONS", "ADDONS"):
    for component in settings.getdict(name):
        load_object(component)
for module in walk_modules_iter("vinops_scrapy"):
    assert "vinops.egg" in module.__file__
print(*sorted(SpiderLoader.from_settings(settings).list()))
"""
    environment = plain_environment({"SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings"})
    assert run_inside(built, code, environment, tmp_path).split() == ["lot_photos", "mobile_bg"]
