"""`vinops credentials`: secrets are read from a pipe, stored encrypted or for root only, passed to services only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import forks

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
CANARY = "canary-90c1f"
UNIT = """\
[Service]
ExecStart=/bin/true
LoadCredential=DATABASE_URL:{folder}/DATABASE_URL.etl
LoadCredential=COPART_PASSWORD:{folder}/COPART_PASSWORD
SetCredential=COPART_PASSWORD:\\n
"""


class Secrets:
    """The command, with folders of credentials and units of its own."""

    def __init__(self, folder: Path, *, can_encrypt: bool) -> None:
        self.folder = folder / "credentials"
        self.encrypted = folder / "credentials.encrypted"
        self.units = folder / "units"
        self.units.mkdir()
        (self.units / "vinops-etl.service").write_text(UNIT.format(folder=self.folder))
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        if can_encrypt:
            (bin_folder / "systemd-creds").symlink_to(str(shutil.which("systemd-creds")))
        self.environment = {
            "PATH": str(bin_folder),
            "SYSTEMD_CREDENTIAL_SECRET": str(folder / "secret"),
            "LANG": "C.UTF-8",
        }

        self.options = ("--folder", str(self.folder), "--units", str(self.units))

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        done = forks.vinops(self.environment, "credentials", *arguments, *self.options, cwd=ROOT, given=text)
        assert CANARY not in done.stdout + done.stderr
        return done

    @property
    def drop_in(self) -> Path:
        return self.units / "vinops-etl.service.d" / "50-credentials.conf"


def _can_encrypt() -> str | None:
    if shutil.which("systemd-creds") is None:
        return "systemd-creds is not installed"
    if os.geteuid() != 0:
        return "systemd-creds encrypts for root"
    return None


needs_systemd_creds = pytest.mark.skipif(_can_encrypt() is not None, reason=_can_encrypt() or "")


@pytest.fixture
def plain(tmp_path: Path) -> Secrets:
    """Without systemd-creds."""
    return Secrets(tmp_path, can_encrypt=False)


@pytest.fixture
def sealed() -> Iterator[Secrets]:
    """With systemd-creds, on a disk: it does not encrypt with a key that lies in memory."""
    with tempfile.TemporaryDirectory(prefix="vinops-test-", dir="/var/tmp") as folder:
        yield Secrets(Path(folder), can_encrypt=True)


def test_without_systemd_creds_it_is_a_file_for_its_owner_and_a_warning(plain: Secrets) -> None:
    done = plain.run("set", "COPART_PASSWORD", text=f"{CANARY}\n")
    assert done.returncode == 0, done.stderr
    path = plain.folder / "COPART_PASSWORD"
    assert path.read_text().strip() == CANARY
    assert path.stat().st_mode & 0o777 == 0o600
    assert plain.folder.stat().st_mode & 0o777 == 0o700
    assert "systemd-creds cannot encrypt here" in done.stderr
    assert "used from the next start of: vinops-etl.service" in done.stderr
    assert not plain.drop_in.exists()


@needs_systemd_creds
def test_encrypted_it_is_nowhere_as_it_is_and_the_unit_loads_it(sealed: Secrets) -> None:
    assert sealed.run("set", "DATABASE_URL.etl", text=f"postgresql://vinops:{CANARY}@db/vinops").returncode == 0
    for path in sealed.folder.parent.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
    target = sealed.encrypted / "DATABASE_URL.etl"
    assert f"LoadCredentialEncrypted=DATABASE_URL:{target}\n" in sealed.drop_in.read_text()
    assert sealed.run("check").stdout == "DATABASE_URL.etl: ok\n"


@needs_systemd_creds
def test_plain_after_encrypted_leaves_one_of_them(sealed: Secrets) -> None:
    sealed.run("set", "COPART_PASSWORD", text=CANARY)
    assert sealed.drop_in.exists()
    assert sealed.run("set", "COPART_PASSWORD", "--plain", text=f"other-{CANARY}").returncode == 0
    assert [path.name for path in sealed.encrypted.iterdir()] == []
    assert not sealed.drop_in.exists()
    sealed.run("set", "COPART_PASSWORD", text=CANARY)
    assert [path.name for path in sealed.folder.iterdir()] == []


@needs_systemd_creds
def test_what_another_machine_encrypted_is_found_out(sealed: Secrets) -> None:
    sealed.run("set", "COPART_PASSWORD", text=CANARY)
    (sealed.folder.parent / "secret").unlink()
    sealed.run("set", "TELEGRAM_BOT_TOKEN", text=CANARY)  # makes a new key
    done = sealed.run("check", "COPART_PASSWORD", "--json")
    assert done.returncode == 1
    assert "cannot be decrypted" in json.loads(done.stdout)[0]["problem"]


@needs_systemd_creds
def test_one_cannot_be_passed_off_as_another(sealed: Secrets) -> None:
    sealed.run("set", "COPART_PASSWORD", text=CANARY)
    (sealed.encrypted / "COPART_PASSWORD").rename(sealed.encrypted / "TELEGRAM_BOT_TOKEN")
    assert sealed.run("check", "TELEGRAM_BOT_TOKEN").returncode == 1


@pytest.mark.parametrize(
    ("name", "value", "code", "says"),
    [
        ("DATABASE_URL.etl", f"mysql://{CANARY}", 1, "DATABASE_URL does not start with postgresql://"),
        ("COPART_PASSWORD", "  \n", 1, "is empty"),
        ("COPART_PASSWORD", f"{CANARY}\0", 1, "holds a NUL"),
        ("NO_SUCH_VARIABLE", CANARY, 2, "is not a variable"),
        ("../../etc/passwd", CANARY, 2, "is not a variable"),
        ("DATABASE_URL.", CANARY, 2, "is not a variable"),
    ],
)
def test_what_makes_no_sense_is_not_set(plain: Secrets, name: str, value: str, code: int, says: str) -> None:
    done = plain.run("set", name, text=value)
    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert not plain.folder.exists() or list(plain.folder.iterdir()) == []


def test_a_key_of_the_object_store_may_be_set_before_the_rest_of_it(plain: Secrets) -> None:
    assert plain.run("set", "R2_SECRET_ACCESS_KEY", text=CANARY).returncode == 0


def test_the_list_names_what_is_set_what_is_not_and_who_loads_it(plain: Secrets) -> None:
    plain.run("set", "COPART_PASSWORD", text=CANARY)
    plain.run("set", "PROXY_LIST", text=f"http://u:{CANARY}@proxy:1")
    rows = {row["name"]: row for row in json.loads(plain.run("list", "--json").stdout)}
    assert rows["COPART_PASSWORD"]["units"] == ["vinops-etl.service"]
    assert rows["COPART_PASSWORD"]["problem"] is None
    assert rows["PROXY_LIST"]["units"] == []
    assert rows["DATABASE_URL.etl"]["problem"] == "not set"
    assert "COPART_PASSWORD" in plain.run("list").stdout


def test_one_that_was_not_changed_for_a_year_is_told(plain: Secrets) -> None:
    plain.run("set", "COPART_PASSWORD", text=CANARY)
    plain.run("set", "COPART_USERNAME", text=CANARY)
    year_ago = time.time() - 400 * 86_400
    os.utime(plain.folder / "COPART_PASSWORD", (year_ago, year_ago))
    for verb in ("list", "check"):
        done = plain.run(verb)
        assert done.returncode == 0
        assert "vinops: COPART_PASSWORD was last changed 400 days ago: change the keys" in done.stderr
        assert "COPART_USERNAME" not in done.stderr


def test_a_file_that_others_may_read_is_found(plain: Secrets) -> None:
    plain.run("set", "COPART_PASSWORD", text=CANARY)
    (plain.folder / "COPART_PASSWORD").chmod(0o644)
    done = plain.run("check")
    assert done.returncode == 1
    assert "others may read it: chmod 600" in done.stdout


def test_one_that_is_not_set_is_a_problem(plain: Secrets) -> None:
    done = plain.run("check", "COPART_PASSWORD")
    assert done.returncode == 1
    assert "is not set: vinops credentials set COPART_PASSWORD" in done.stdout
