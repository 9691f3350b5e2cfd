"""vinops on a machine: what the deploy script is told, the outside world as stand-ins, and how a test looks in."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.systemd import boot
from tests.systemd.boot import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MISSING = boot.missing()
MARKS = [
    pytest.mark.machines,
    pytest.mark.skipif(MISSING is not None, reason=f"no machine can be booted here: {MISSING}"),
    pytest.mark.timeout(900),
]
CHECKOUT = "/usr/src/vinops"
PYTHON = f"{CHECKOUT}/.venv/bin/python"
SCRIPT = f"{CHECKOUT}/deploy/deploy-automation.sh"
VENV = ("--venv-from", f"{CHECKOUT}/.venv")
CANARY = "canary-4e7b"
SECRETS = {
    "COPART_CSV_URL": f"http://127.0.0.1:8801/FTPLSTDM/salesdata.cgi?authKey={CANARY}-feed",
    "COPART_USERNAME": f"{CANARY}-user",
    "COPART_PASSWORD": f"{CANARY}-password",
    "TELEGRAM_BOT_TOKEN": f"123:{CANARY}-token",
}
SETTINGS = {
    "MOBILE_BG_URL": "http://127.0.0.1:8802",
    "TELEGRAM_API_URL": "http://127.0.0.1:9",
    "TELEGRAM_ALERT_CHAT_ID": "1",
    "VINOPS_PACE": "none",
    "VINOPS_CYCLE_PAUSE": "1",
}
TIMERS = tuple(path.name for path in sorted((boot.CHECKOUT / "deploy/systemd").glob("*.timer")))
NEVER = "[Timer]\nOnCalendar=\nOnCalendar=2100-01-01\n"


@contextmanager
def booted(prepare: Callable[[Machine], None] = lambda _: None) -> Iterator[Machine]:
    """Boot a machine that never had vinops, after what is to be prepared on its disk."""
    machine = Machine()
    try:
        prepare(machine)
        machine.boot()
        forget_vinops(machine)
        for timer in TIMERS:
            machine.run("install", "-D", "-m", "644", "/dev/stdin", quiet(timer), text=NEVER)
        yield machine
    finally:
        machine.close()


def quiet(timer: str) -> str:
    """Return the drop-in by which a timer does not fire while the tests run, whatever time of day it is."""
    return f"/etc/systemd/system/{timer}.d/50-quiet.conf"


def forget_vinops(machine: Machine) -> None:
    """Have the machine be one that never had vinops, whatever lends its root has."""
    machine.shell("userdel vinops; rm -rf /opt/vinops* /etc/vinops /etc/scrapyd /var/data /var/log/vinops", check=False)


def start_standin(machine: Machine, name: str, *command: str) -> None:
    """Start a part of the outside world, from the checkout."""
    machine.run(
        *("systemd-run", "--quiet", f"--unit=standin-{name}", f"--description=stand-in {name}"),
        "--setenv=PYTHONDONTWRITEBYTECODE=1",
        "--property=StandardOutput=null",  # it tells its address, and the key with it
        *(f"--working-directory={CHECKOUT}", PYTHON, *command),
    )


def start_feed(machine: Machine, *, rows: int, photo_url: str = "") -> None:
    """Start the source of the member feed."""
    photos = ("--photo-url", photo_url) if photo_url else ()
    arguments = ("--port", "8801", "--rows", str(rows), "--key", f"{CANARY}-feed", *photos)
    start_standin(machine, "feed", "-m", "standin.feed", "serve", *arguments)


def start_market(machine: Machine, *, ads: int = 120, options: Sequence[str] = ()) -> None:
    """Start the site of the ads."""
    start_standin(machine, "market", "-m", "standin.market", "serve", "--port", "8802", "--ads", str(ads), *options)


def ask(machine: Machine, port: int, method: str, what: str, order: object = None) -> Any:
    """Tell a stand-in to do something, or ask it, and return its answer."""
    program = (
        "import sys, urllib.request as r; url, method, order = sys.argv[1:];"
        "print(r.urlopen(r.Request(url, order.encode() or None, method=method)).read().decode())"
    )
    text = "" if order is None else json.dumps(order)
    return json.loads(
        machine.run(PYTHON, "-c", program, f"http://127.0.0.1:{port}/control/{what}", method, text).stdout
    )


def write_secrets(machine: Machine, lines: dict[str, str]) -> tuple[str, str]:
    """Write the file of --credentials; return the options that name it."""
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    machine.run("install", "-m", "600", "/dev/stdin", "/root/secrets", text=text)
    return "--credentials", "/root/secrets"


def deploy(
    machine: Machine,
    *options: str,
    venv: tuple[str, ...] = VENV,
    environment: tuple[str, ...] = (),
    seconds: float = 300,
) -> str:
    """Run the deploy script; what it says holds no secret."""
    done = machine.run("env", *environment, SCRIPT, *venv, *options, seconds=seconds)
    assert CANARY not in done.stdout + done.stderr
    return done.stdout


def was_fed(machine: Machine, unit: str, *, seconds: float) -> bool:
    """Tell whether a unit still fed its watchdog so many seconds after its start."""
    shown = machine.show(unit, "WatchdogTimestampMonotonic", "ExecMainStartTimestampMonotonic")
    lasted = int(shown["WatchdogTimestampMonotonic"]) - int(shown["ExecMainStartTimestampMonotonic"])  # microseconds
    return lasted > seconds * 1e6


def sql(machine: Machine, statement: str) -> str:
    """Return what the database says, unaligned."""
    return machine.run("runuser", "-u", "postgres", "--", "psql", "-XtAd", "vinops", "-c", statement).stdout.strip()


def drop_in(machine: Machine, unit: str, text: str) -> None:
    """Write a drop-in for this test."""
    path = f"/etc/systemd/system/{unit}.d/99-test.conf"
    machine.run("install", "-D", "-m", "644", "/dev/stdin", path, text=f"{text}\n")
    machine.run("systemctl", "daemon-reload")


def is_active(machine: Machine, unit: str) -> bool:
    """Tell whether a unit is up."""
    return machine.show(unit, "ActiveState")["ActiveState"] == "active"


def wait_until_up(machine: Machine, *units: str) -> None:
    """Wait until units are up; if one is not, say what it has said."""
    try:
        machine.until(lambda: all(is_active(machine, unit) for unit in units), "all are up")
    except AssertionError as error:
        said = "\n".join(f"{unit}:\n{journal(machine, unit)[-3000:]}" for unit in units if not is_active(machine, unit))
        raise AssertionError(f"{error}\n{said}") from None


def running(machine: Machine, pattern: str = "vinops-*") -> str:
    """Return the units that run, start or stop, one a line."""
    states = "--state=active,activating,reloading,deactivating"
    return machine.run("systemctl", "list-units", "--no-legend", "--plain", states, pattern).stdout


def journal(machine: Machine, unit: str) -> str:
    """Return what a unit has said since the machine booted."""
    return machine.run("journalctl", "-b", "-u", unit, "-o", "cat", "--no-pager").stdout
