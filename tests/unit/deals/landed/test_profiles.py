"""Profiles: ours, the owner's, and what is not understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deals.landed import profiles
from deals.landed.lines import TariffError

if TYPE_CHECKING:
    from pathlib import Path

OWN = """
default = true
account = "high-volume"
payment = "unsecured"
bid_kind = "live"
vat_registered = true
destination = "Varna"
margin_percent = 12.5
repair_factor = 0.4
customs_rate = 1.0912
"""


def written(folder: Path, text: str, name: str = "own") -> Path:
    """Write a profile into a data folder, and return that."""
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_ours_have_one_default() -> None:
    found = profiles.load()
    assert set(found.by_name) == {"private", "company"}
    assert found.default.name == "private"
    assert found.named("company").is_vat_registered


def test_the_owners_default_wins_and_his_profile_replaces_ours_of_its_name(tmp_path: Path) -> None:
    found = profiles.load(written(tmp_path, OWN))
    assert (found.default.name, found.default.account) == ("own", "high-volume")
    assert found.named("private").is_default is False
    assert str(found.default.customs_rate) == "1.0912"
    found = profiles.load(written(tmp_path, OWN.replace("true\nacc", "false\nacc"), "company"))
    assert found.named("company").destination == "Varna"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OWN.replace("high-volume", "dealer"), "account is 'dealer': use one of: non-licensed, high-volume"),
        (OWN.replace("payment", "paymant"), "the key paymant is unknown"),
        (OWN.replace('bid_kind = "live"', ""), "bid_kind is missing"),
        (OWN.replace("vat_registered = true", "vat_registered = 1"), "vat_registered is 1: use true or false"),
        (OWN.replace("0.4", "40"), "repair_factor is 40: use a number from 0 to 10"),
        (OWN.replace("1.0912", "11"), "customs_rate: a rate is dollars for one euro"),
        (OWN.replace("12.5", "-1"), "margin_percent"),
        (OWN.replace('"Varna"', '""'), "destination is '': give it as text"),
        ("default = ", "is no TOML"),
        (OWN.replace("1.0912", "9" * 5_000), "is no TOML"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_the_file(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TariffError) as raised:
        profiles.load(written(tmp_path, text))
    assert "own.toml" in str(raised.value)
    assert says in str(raised.value)


def test_two_defaults_and_a_name_that_is_none_are_errors(tmp_path: Path) -> None:
    written(tmp_path, OWN)
    with pytest.raises(TariffError, match=r"several profiles are the default \(other, own\)"):
        profiles.load(written(tmp_path, OWN, "other"))
    with pytest.raises(TariffError, match="a profile is named with small letters"):
        profiles.load(written(tmp_path, OWN, "My Own"))


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(TariffError, match="there is no profile dealer: use one of company, private"):
        profiles.load().named("dealer")
