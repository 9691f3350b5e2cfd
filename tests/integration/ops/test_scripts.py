"""The scripts in bin/, and their links at the root: they act on their checkout, wherever they are called from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fleets import ROOT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = {
    "start_all_workers.sh": ["workers", "start"],
    "stop_all_workers.sh": ["workers", "stop"],
    "status_workers.sh": ["workers", "status"],
    "monitor.sh": ["monitor"],
    "supervisor.sh": ["supervise"],
    "celery.sh": ["celery"],
    "health_check.sh": ["health"],
}
SAYS = """#!{python}
import os, sys
print(os.getcwd(), *sys.argv[1:], sep="\\n")
sys.exit(3)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout with the scripts, and a `vinops` that prints its folder and its arguments."""
    folder = tmp_path / "a folder"
    shutil.copytree(ROOT / "bin", folder / "bin")
    for name in SCRIPTS:
        (folder / name).symlink_to((ROOT / name).readlink())
    command = folder / ".venv" / "bin" / "vinops"
    command.parent.mkdir(parents=True)
    command.write_text(SAYS.format(python=sys.executable))
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    return folder


def run(script: Path, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **variables},  # as cron's
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_each_script_acts_on_its_checkout(script: str, command: list[str], home: Path, tmp_path: Path) -> None:
    (tmp_path / "link.sh").symlink_to(home / script)
    said = [str(home), *command, "2", "two words"]
    for called in (home / "bin" / script, home / script, tmp_path / "link.sh"):
        assert os.access(called, os.X_OK)
        for cwd in (Path("/"), home, home / "bin"):
            done = run(called, "2", "two words", cwd=cwd)
            assert (done.stdout.splitlines(), done.returncode) == (said, 3), done.stderr


def test_a_script_reads_the_env_file_of_its_checkout(home: Path, tmp_path: Path) -> None:
    """The real command: relative paths start at the checkout, and an exported folder wins."""
    real = home / ".venv" / "bin" / "vinops"
    real.write_text(f"#!{sys.executable}\nimport sys\nfrom ops.cli import main\nsys.exit(main())\n")
    (home / ".env").write_text("VINOPS_DATA_DIR=data\nDATABASE_URL=postgresql://vinops@127.0.0.1:9/none\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    for variables, folder in (({}, home / "data"), ({"VINOPS_DATA_DIR": str(outside)}, outside)):
        done = run(home / "health_check.sh", cwd=outside, PYTHONPATH=str(ROOT), **variables)
        missing = "" if folder.is_dir() else " (not there yet)"
        assert done.stderr.splitlines()[0] == f"vinops: data folder {folder}{missing}"
        assert done.returncode == 2, "the database does not answer"
    assert list(outside.iterdir()) == []


def test_a_checkout_that_is_not_set_up_says_so(home: Path) -> None:
    if Path("/usr/local/bin/vinops").exists():
        pytest.skip("vinops is installed on this machine: the scripts use it then")
    shutil.rmtree(home / ".venv")
    done = run(home / "bin" / "health_check.sh", cwd=Path("/"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{home} is not set up: run `make setup` there" in done.stderr
    (home / "path").mkdir()
    (home / "path" / "vinops").write_text(SAYS.format(python=sys.executable))
    (home / "path" / "vinops").chmod(0o755)
    found = run(home / "bin" / "health_check.sh", cwd=Path("/"), PATH=f"{home}/path:/usr/bin:/bin")
    assert found.stdout.splitlines() == [str(home), "health"], "the one on PATH, as in an image without a .venv"


def test_an_installed_copy_uses_the_operators_command(home: Path, tmp_path: Path) -> None:
    """Which has the secrets of the services; so does a checkout without .venv, as the one that was installed from."""
    operators = tmp_path / "operators" / "vinops"
    operators.parent.mkdir()
    operators.write_text("#!/bin/sh\necho operators $PWD $*\n")
    operators.chmod(0o755)
    shared = home / "bin" / "checkout.sh"
    text = shared.read_text().replace("/usr/local/bin/vinops", str(operators))
    said = ["operators", *str(home).split()]
    shared.write_text(text.replace("!= /opt/vinops", f"!= '{home}'"))
    for name, command in SCRIPTS.items():
        assert run(home / name, cwd=Path("/")).stdout.split() == [*said, *command]
    shared.write_text(text)
    assert run(home / "health_check.sh", cwd=Path("/")).stdout.splitlines() == [str(home), "health"]
    shutil.rmtree(home / ".venv")
    assert run(home / "health_check.sh", cwd=Path("/")).stdout.split() == [*said, "health"]


def test_setup_leads_from_logs_to_the_logs(home: Path) -> None:
    """Also where .venv is up to date; a link that an operator made stays."""
    parts = ["requirements.txt", "bin/setup-requirements.txt", "pyproject.toml", "bin/setup"]
    for name in (*parts, "requirements-dev.txt"):
        shutil.copy(ROOT / name, home / name)
    stamp = hashlib.sha256(f"{home}\n".encode() + b"".join((home / name).read_bytes() for name in parts)).hexdigest()
    (home / ".venv" / ".vinops-stamp").write_text(f"{stamp}\n")
    done = run(home / "bin" / "setup", cwd=Path("/"))
    assert (done.returncode, done.stderr) == (0, "")
    (home / "logs" / "supervisor.log").write_text("as by `nohup ./supervisor.sh > logs/supervisor.log`\n")
    assert (home / "var" / "logs" / "supervisor.log").exists()
    (home / "logs").unlink()
    (home / "logs").symlink_to("elsewhere")
    assert run(home / "bin" / "setup", cwd=Path("/")).returncode == 0
    assert (home / "logs").readlink() == Path("elsewhere")


@pytest.fixture
def supervisor(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor that was started by its script, and that ends at SIGTERM."""
    stand_in = home / ".venv" / "bin" / "vinops"
    stand_in.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    process = subprocess.Popen(["./supervisor.sh"], cwd=home)
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(shutil.which("pkill") is None, reason="there is no pkill")
def test_pkill_of_its_script_ends_the_supervisor(supervisor: subprocess.Popen[bytes]) -> None:
    line = Path(f"/proc/{supervisor.pid}/cmdline")
    until(lambda: b"vinops\0supervise" in line.read_bytes(), "the script has become the supervisor")
    # Only this one: others may run on the machine.
    subprocess.run(["pkill", "--parent", str(os.getpid()), "-f", "supervisor.sh"], check=True)
    assert supervisor.wait(20) == -15
