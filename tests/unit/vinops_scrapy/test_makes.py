"""The file of makes: ours, and what is said of one that makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from vinops.config import ConfigError
from vinops_scrapy.mobile_bg.makes import OURS, Make, read_makes

GOOD = 'region = ""\nsort = 6\npage_limit = 150\npage_size = 20\n[worker.1]\nbmw = { name = "BMW" }\n'


def test_the_makes_of_imports_are_off_and_can_be_named() -> None:
    makes = read_makes()
    assert "jeep" not in {make.slug for make in makes.all}
    assert "jeep" in {make.slug for make in makes.of_worker(5)}
    assert makes.named(["jeep"])[0].expected == 1722


@pytest.mark.parametrize("off", ["[7]", '"5"', "[true]"])
def test_what_is_off_has_to_be_a_worker(tmp_path: Path, off: str) -> None:
    path = tmp_path / "makes.toml"
    path.write_text(f"off = {off}\n{GOOD}")
    with pytest.raises(ConfigError, match="off is not a list of numbers of its workers"):
        read_makes(path)


def test_ours_has_twenty_makes_and_four_workers() -> None:
    makes = read_makes()
    assert list(makes.workers) == [1, 2, 3, 4, 5]
    assert makes.off == {5}
    assert [len(makes.of_worker(worker)) for worker in (1, 2, 3, 4)] == [2, 3, 5, 10]
    assert len({make.slug for make in makes.all}) == 20
    assert sum(make.expected for make in makes.all) == 129_431, "as the site counted in October 2025"
    assert (makes.page_limit, makes.page_size) == (150, 20)
    assert "oblast-sofiya" in makes.regions
    assert makes.more_sorts == (3, 5)


def test_a_copy_made_before_regions_were_in_the_file_has_ours(tmp_path: Path) -> None:
    path = tmp_path / "makes.toml"
    path.write_text(GOOD)
    assert read_makes(path).regions == read_makes().regions
    path.write_text('regions = ["oblast-x"]\nmore_sorts = []\n' + GOOD)
    assert (read_makes(path).regions, read_makes(path).more_sorts) == (("oblast-x",), ())


def test_makes_are_named_by_slug_known_or_not() -> None:
    makes = read_makes()
    assert makes.named(["bmw", "lada", "bmw"])[1] == Make(slug="lada", name="lada")
    assert [make.name for make in makes.named(["alfa-romeo"])] == ["Alfa Romeo"]
    with pytest.raises(ConfigError, match="-a makes=BMW is not a name in the site's addresses"):
        makes.named(["BMW"])


def test_a_worker_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="-a worker=9 is none of 1, 2, 3, 4, 5"):
        read_makes().of_worker(9)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sort = 6", "", "sort is not a whole number from 0 to 99"),
        ("page_limit = 150", "page_limit = 0", "page_limit is not a whole number from 1 to 10000"),
        ("page_size = 20", "page_size = true", "page_size is not a whole number from 1 to 1000"),
        ('region = ""', 'region = "a/b"', "region is not a name in the site's addresses"),
        ('region = ""', "speed = 3", "speed is not one of its keys"),
        ("[worker.1]", "[worker.one]", "worker.one is not a numbered group of makes"),
        ('[worker.1]\nbmw = { name = "BMW" }', "", "it names no worker"),
        ("bmw =", '"b w" =', "b w is not a name in the site's addresses"),
        ('{ name = "BMW" }', '{ nam = "BMW" }', "bmw needs a name, and may have an expected count of ads"),
        ('{ name = "BMW" }', '{ name = "BMW", expected = -1 }', "bmw: expected is not a count"),
        ('{ name = "BMW" }', '{ name = "BMW" }\n[worker.2]\nbmw = { name = "BMW" }', "bmw is there twice"),
        ("sort = 6", "sort = 6\nmore_sorts = [0]", "more_sorts is not a list of whole numbers from 1 to 99"),
        ("sort = 6", "sort = 6\nregions = 'x'", "regions is not a list of names in the site's addresses"),
        ("sort = 6", "sort = ", "is not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_said_to(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    path = tmp_path / "makes.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_makes(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert OURS.name in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(ConfigError, match="VINOPS_MAKES_FILE cannot be read"):
        read_makes(Path("/nonexistent/makes.toml"))
