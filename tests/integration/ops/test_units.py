"""The units: valid, shut in as tightly as was decided, and true to what they promise. Without a running systemd."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.credentials import LOADED
from ops.workers import registry
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
TIMERS = sorted(path.name for path in UNITS.glob("*.timer"))
INTERNET = {
    "vinops-alert@.service",
    "vinops-backup.service",
    "vinops-celery.service",
    "vinops-etl.service",
    "vinops-photo-scraper.service",
    "vinops-retention.service",
    "vinops-scrapyd.service",
    "vinops-supervisor.service",
    "vinops-web.service",
    "vinops-watch.service",
    "vinops-worker@.service",
}
"""What talks to the internet: it has a token of Telegram, or the keys of a site or a store."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that holds the units, the programs that they name, and systemd's own targets."""
    shutil.copytree(UNITS, tmp_path / "etc/systemd/system")
    for name in (".venv/bin/python", ".venv/bin/vinops", "deploy/scrapyd/start"):
        program = tmp_path / "opt/vinops" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    theirs = tmp_path / "usr/lib/systemd/system"
    theirs.mkdir(parents=True)
    for path in (*Path("/lib/systemd/system").glob("*.target"), Path("/lib/systemd/system/system.slice")):
        if path.is_file():
            shutil.copy(path, theirs)
    return tmp_path


def analyze(root: Path, verb: str, *arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", verb, f"--root={root}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    return done.stdout + done.stderr


def instances() -> list[str]:
    """All units, templates with an instance."""
    names = [path.name for path in UNITS.iterdir() if path.is_file()]
    about = "vinops-etl.service"  # what alert, recovered and up are instances of
    return [name.replace("@.", "@1." if "worker" in name else f"@{about}.") for name in sorted(names)]


def settings_of(name: str) -> dict[str, list[str]]:
    """What a unit says itself, by key."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    """Return a time span of systemd in seconds."""
    units = {"": 1, "s": 1, "sec": 1, "min": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)\s*([a-z]*)", text))


@needs_systemd
def test_systemd_has_nothing_to_say_about_the_units(root: Path) -> None:
    assert analyze(root, "verify", *instances()) == ""


@needs_systemd
@pytest.mark.parametrize("wrong", ["TasksMx=64", "WatchdogSec=soon", "SystemCallFilter=@no-such-group"])
def test_and_would_say_what_is_wrong(root: Path, wrong: str) -> None:
    unit = root / "etc/systemd/system/vinops-etl.service"
    unit.write_text(unit.read_text() + f"{wrong}\n")
    assert "vinops-etl.service" in analyze(root, "verify", *instances())


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_shut_in(root: Path, name: str) -> None:
    assert exposure(root, name) <= (1.2 if name in INTERNET else 1.5)


@needs_systemd
def test_the_hardening_is_what_shuts_it_in(root: Path) -> None:
    shutil.rmtree(root / "etc/systemd/system/vinops-.service.d")
    assert exposure(root, "vinops-etl.service") > 5


def exposure(root: Path, name: str) -> float:
    said = analyze(root, "security", "--offline=yes", "--no-pager", name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def test_every_service_is_known_to_talk_to_the_internet_or_not_to() -> None:
    tell = {"TELEGRAM_BOT_TOKEN", "COPART_CSV_URL", "COPART_PASSWORD", "R2_SECRET_ACCESS_KEY", "PROXY_LIST"}
    assert {name for name in SERVICES if tell & {variable for variable, _ in loaded(name)}} == INTERNET


def loaded(name: str) -> Iterator[tuple[str, Path]]:
    for found in LOADED.finditer((UNITS / name).read_text()):
        yield found["id"], Path(found["path"])


@pytest.mark.parametrize("name", SERVICES)
def test_credentials_are_variables_and_only_the_database_is_a_must(name: str) -> None:
    said = settings_of(name)
    defaults = {value.partition(":")[0] for value in said.get("SetCredential", [])}
    assert len(said["LoadCredential"]) == len(list(loaded(name)))
    for variable, path in loaded(name):
        assert variable in config.variables()
        assert path.parent == Path("/etc/vinops/credentials")
        assert path.name.partition(".")[0] == variable
        # One that is missing must not stop the unit, but without its database it would start an embedded one.
        assert (variable in defaults) == (variable != "DATABASE_URL")
    assert [value for value in said.get("SetCredential", []) if not value.endswith(":\\n")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_and_no_second_exec_line_stands_in_a_unit(name: str) -> None:
    said = settings_of(name)
    assert [key for key in said if key.startswith("Exec")] == ["ExecStart"]
    assert len(said["ExecStart"]) == 1
    for value in (*said.get("Environment", []), *said["ExecStart"]):
        assert not re.search(r"PASSWORD|TOKEN|SECRET|://", value)


@pytest.mark.parametrize("name", [name for name in SERVICES if "Restart=on-failure" in (UNITS / name).read_text()])
def test_start_limits_trip(name: str) -> None:
    said = settings_of(name)
    burst, pause = int(said["StartLimitBurst"][0]), seconds(said["RestartSec"][0])
    runtime = seconds(said["TimeoutStartSec"][0])
    assert seconds(said["StartLimitIntervalSec"][0]) > burst * (pause + runtime)
    if name not in ("vinops-database.service", "vinops-web.service"):  # whose start asks no other host
        assert (burst, pause) == (10, 300)


@pytest.mark.parametrize("name", SERVICES)
def test_long_runners_have_a_watchdog_and_short_ones_an_end(name: str) -> None:
    said = settings_of(name)
    if said["Type"] == ["notify"]:
        assert seconds(said["WatchdogSec"][0]) >= 60
        assert said["NotifyAccess"] == ["main"]
        assert said["Restart"] == ["on-failure"]
    else:
        assert said["Type"] == ["oneshot"]
        assert seconds(said["TimeoutStartSec"][0]) > 0
    assert "MemoryMax" in said
    assert "TasksMax" in said


@pytest.mark.parametrize("name", ["vinops-worker@.service", "vinops-photo-scraper.service", "vinops-celery.service"])
def test_who_has_leases_has_time_to_give_them_back(name: str) -> None:
    said = settings_of(name)
    assert said["KillMode"] == ["mixed"]
    assert seconds(said["TimeoutStopSec"][0]) >= 120


def test_each_program_has_its_unit_and_a_worker_is_watched_by_the_limit_of_silence() -> None:
    settings = config.Settings()
    programs = (*registry.workers(settings), *registry.celery(settings))
    units = {re.sub(r"@.*\.", "@.", program.unit) for program in programs}
    assert [unit for unit in units if not (UNITS / unit).is_file()] == []
    assert settings_of("vinops-worker@.service")["ExecStart"] == ["/opt/vinops/.venv/bin/vinops workers run %i"]
    assert seconds(settings_of("vinops-worker@.service")["WatchdogSec"][0]) == settings.worker_silence


def test_the_photo_crawl_runs_all_day() -> None:
    """The paces of `vinops forecast` count on it. Its timer starts it, and whoever stops the timer stops it."""
    said, timer = settings_of("vinops-photo-scraper.service"), settings_of("vinops-photo-scraper.timer")
    assert said["ExecStart"] == [f"/opt/vinops/.venv/bin/vinops workers run {registry.PHOTOS}"]
    assert "RuntimeMaxSec" not in said
    assert said["PartOf"] == ["vinops-photo-scraper.timer"]
    assert timer["OnActiveSec"] == ["5min"]


def test_no_job_outlives_its_node_and_one_without_password_is_not_tried_again() -> None:
    said = settings_of("vinops-scrapyd.service")
    assert said["KillMode"] == ["control-group"]
    assert seconds(said["TimeoutStopSec"][0]) >= 120
    assert said["RestartPreventExitStatus"] == ["78"]
    assert "exit 78" in (ROOT / "deploy/scrapyd/start").read_text()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SERVICES
        if not name.startswith(("vinops-alert", "vinops-up", "vinops-rec", "vinops-mig", "vinops-database"))
    ],
)
def test_a_failure_is_told_and_a_recovery_ends_it(name: str) -> None:
    said = settings_of(name)
    assert said["OnFailure"] == ["vinops-alert@%n.service"]
    if "Restart" in said:
        assert "vinops-up@%n.service" in said["Wants"]
    else:
        assert said["OnSuccess"] == ["vinops-recovered@%n.service"]


@pytest.mark.parametrize("name", TIMERS)
def test_timers_catch_up_and_do_not_fire_all_at_once(name: str) -> None:
    said = settings_of(name)
    assert said["Persistent"] == ["yes"]
    assert seconds(said["RandomizedDelaySec"][0]) >= 10
    assert said["WantedBy"] == ["timers.target"]
    assert (UNITS / name.replace(".timer", ".service")).is_file()


def test_the_feed_ends_before_it_is_due_again() -> None:
    assert settings_of("vinops-etl.timer")["OnCalendar"] == ["*:0/15"]
    assert seconds(settings_of("vinops-etl.service")["TimeoutStartSec"][0]) < 15 * 60


def test_what_a_unit_needs_more_stands_where_it_counts() -> None:
    """A drop-in is read after the unit: the same key in the unit itself would be overruled by the hardening."""
    hardening = settings_of("vinops-.service.d/10-hardening.conf")
    for name in SERVICES:
        assert sorted(set(settings_of(name)) & set(hardening) - {"Environment"}) == []


@pytest.mark.parametrize("name", SERVICES)
def test_the_object_store_is_configured_completely_or_not_at_all(name: str) -> None:
    """Who has its keys has its address too: vinops refuses one without the other, and does not start."""
    has_keys = "LoadCredential=R2_ACCESS_KEY_ID" in (UNITS / name).read_text(encoding="utf-8")
    needs = UNITS / f"{name}.d" / "20-needs.conf"
    has_address = needs.exists() and "UnsetEnvironment=\n" in needs.read_text(encoding="utf-8")
    assert has_keys == has_address


@pytest.mark.parametrize(
    "path",
    sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("deploy/*.sh"), *ROOT.glob("tests/systemd/*.sh"))),
)
def test_scripts_are_sound(path: str) -> None:
    subprocess.run(["bash", "-n", path], check=True, cwd=ROOT)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.stdout == ""


def test_a_dry_run_says_each_step_and_changes_nothing(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("COPART_PASSWORD=canary-7d1\nMOBILE_BG_URL=https://example.com\n")
    secrets.chmod(0o600)
    done = subprocess.run(
        [ROOT / "deploy/deploy-automation.sh", "--dry-run", "--credentials", secrets],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^== (.+)$", done.stdout, re.MULTILINE)
    assert steps == [
        "packages", "user", "folders", "virtual environment", "program", "units", "credentials", "database", "broker",
        "migrations", "start", "doctor", "health", "done",
    ]  # fmt: skip
    assert "would set the credential COPART_PASSWORD" in done.stdout
    assert "link logs to /var/log/vinops" in done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert not Path("/opt/vinops.new").exists()


def dry_run(secrets: Path, content: bytes) -> subprocess.CompletedProcess[str]:
    """Have the deploy script say what it would do with such a file of --credentials."""
    secrets.touch(mode=0o600)
    secrets.write_bytes(content)
    command = [ROOT / "deploy/deploy-automation.sh", "--dry-run", "--credentials", secrets]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("TELEGRAM_TOKEN=canary-7d1", "TELEGRAM_TOKEN is no name of .env.example; the nearest is TELEGRAM_BOT_TOKEN"),
        ("COPART_PASWORD=canary-7d1", "COPART_PASWORD is no name of .env.example; the nearest is COPART_PASSWORD"),
        ("BOT_TOKEN=canary-7d1", "the nearest is TELEGRAM_BOT_TOKEN"),
        ("R2_BUCKET=canary-7d1", "the nearest is R2_BUCKET_NAME"),
        ("DATABASE_URL.etl2=canary-7d1", "is not NAME=value"),
        ("DATABASE_URL.elt=canary-7d1", "the nearest is DATABASE_URL.etl"),
        ("COPART_PASSWORD.etl=canary-7d1", "the nearest is COPART_PASSWORD"),
        ("LD_PRELOAD=/tmp/canary-7d1.so", "LD_PRELOAD is no name of .env.example"),
        ("PATH=/tmp/canary-7d1", "PATH is no name of .env.example"),
        ("PYTHONPATH=/tmp/canary-7d1", "PYTHONPATH is no name of .env.example"),
        ("PGSERVICE=canary-7d1", "PGSERVICE is no name of .env.example"),
        ("export COPART_PASSWORD=canary-7d1", "is not NAME=value"),
        ("CANARY7D1", "is not NAME=value"),
        ("canary-7d1", "is not NAME=value"),
    ],
)
def test_a_name_that_is_none_is_refused_before_anything_is_done(tmp_path: Path, line: str, said: str) -> None:
    done = dry_run(tmp_path / "secrets", f"MOBILE_BG_URL=https://example.com\n{line}\n".encode())
    assert done.returncode == 1
    assert f"line 2{': ' if 'name' in said or 'nearest' in said else ' '}" in done.stderr
    assert said in done.stderr
    assert "==" not in done.stdout, "a step was begun"
    assert "canary" not in (done.stdout + done.stderr).lower()


def test_every_name_of_env_example_is_taken_as_editors_of_any_system_write_it(tmp_path: Path) -> None:
    names = re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    lines = ["# a comment", "", *(f"{name}=x-{name}" for name in names), "", "DATABASE_URL.owner=x"]
    done = dry_run(tmp_path / "secrets", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert done.returncode == 0, done.stderr
    taken = re.findall(r"would set (?:the credential )?([A-Z0-9_.a-z]+)", done.stdout)
    assert {*names, "DATABASE_URL.owner"} <= set(taken)
    secret = {
        name
        for name in names
        if re.search(rf"^{name}=.*, secret[;,]", (ROOT / ".env.example").read_text(), re.MULTILINE)
    }
    for name in names:
        assert (f"would set the credential {name}\n" in done.stdout) == (name in secret), name


def test_a_copy_of_env_example_sets_nothing(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "secrets", (ROOT / ".env.example").read_bytes())
    assert done.returncode == 0, done.stderr
    assert re.findall(r"would set (?!the credential CELERY|up)\S+ in|would set the credential [A-Z]", done.stdout) == []


def deploy_function(tmp_path: Path, script: str) -> str:
    """Run a part of the deploy script, on folders of a test: its functions and settings are there, no step is taken."""
    text = (ROOT / "deploy/deploy-automation.sh").read_text(encoding="utf-8")
    main = text.index("# --- Main ---")
    assert main > 0
    body = text[:main].replace('$(dirname "${BASH_SOURCE[0]}")/..', str(ROOT))
    body = body.replace('[ "$(id -u)" -eq 0 ]', "true").replace("[ -d /run/systemd/system ]", "true")
    (tmp_path / "script").write_text(
        f"{body}\netc={tmp_path}/etc\nstore=$etc/credentials\n{script}\n", encoding="utf-8"
    )
    command = ["bash", tmp_path / "script"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_upgrade_waits_for_alerts_in_progress(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.write_text("vinops-alert@a.service loaded activating start\nvinops-up@b.service loaded deactivating\n\n")
    listed = f"sed -n 1p {answers}; sed -i 1d {answers}"
    said = deploy_function(
        tmp_path,
        f"systemctl() {{ [ $1 = list-units ] || echo systemctl $*; {listed}; }}\nsleep() {{ :; }}\nwait_for_alerts",
    )
    assert said == "   waiting for the alerts in progress\n"
    assert answers.read_text() == ""


def test_uninstalled_nothing_runs_that_a_stop_has_started(tmp_path: Path) -> None:
    stub = """
        systemctl() {
            if [ "$1" = list-units ]; then
                [ ! -e alert ] || echo "vinops-alert@a.service loaded activating start"
                return 0
            fi
            echo "$*"
            rm -f alert
            [ "$2" != 'vinops-*' ] || touch alert
        }
    """
    said = deploy_function(tmp_path, f"cd {tmp_path}\n{stub}\nstop_rest")
    assert said.splitlines() == ["stop vinops-*", "stop vinops-alert@a.service"]


def test_settings_are_for_root_and_its_group_and_free_of_other_systems_line_ends(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    settings, secrets = tmp_path / "etc/vinops.env", tmp_path / "secrets"
    settings.write_text("MOBILE_BG_URL=https://old.example\nCHROMIUM_PATH=/usr/bin/chromium\n")
    settings.chmod(0o644)
    secrets.touch(mode=0o600)
    secrets.write_bytes(b"\xef\xbb\xbfMOBILE_BG_URL=https://new.example\r\nVINOPS_PACE= steady \t# as agreed\r\n")
    deploy_function(
        tmp_path,
        f"credentials_file={secrets}\nread_credentials_file\nread_credentials",
    )
    assert settings.read_bytes() == (
        b"CHROMIUM_PATH=/usr/bin/chromium\nMOBILE_BG_URL=https://new.example\nVINOPS_PACE=steady\n"
    )
    assert settings.stat().st_mode & 0o777 == 0o640
    settings.chmod(0o644)
    deploy_function(tmp_path, f"data={tmp_path}/data\nlogs={tmp_path}/logs\ninstall() {{ :; }}\nmake_folders")
    assert settings.stat().st_mode & 0o777 == 0o640, "one of an earlier version"


def test_variables_of_libpq_do_not_lead_it_to_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGSERVICE", "PGOPTIONS"):
        monkeypatch.setenv(name, "elsewhere")
    assert "PG" not in deploy_function(tmp_path, "env | grep ^PG || true")


SYSTEMD_OF_REDIS = """
systemctl() {
    case $1 in
    restart) kill "$(cat "$redis/pid")" && while [ -e "$redis/pid" ]; do sleep 0.05; done && start_redis ;;
    enable) [ -e "$redis/pid" ] || start_redis ;;
    esac
}
start_redis() {
    redis-server "$redis/redis.conf" >/dev/null
    until redis-cli -p "$redis_port" ping >/dev/null 2>&1; do sleep 0.05; done
}
install() { command install -m 640 "${@: -2}"; }
is_set() { [ -e "$redis/credential" ]; }
is_open_broker() { [ "$(cat "$redis/credential")" = "redis://127.0.0.1:$redis_port/0" ]; }
set_credential() { cat >"$redis/credential"; }
"""
"""systemd and the store of credentials, for a Redis in the folder of a test."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The folder of a Redis as Debian has it, without a password, and its port. It is started by what is tested."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    folder = tmp_path / "redis"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "redis.conf").write_text(
        f"bind 127.0.0.1\nport {port}\ndir {folder}\ndaemonize yes\npidfile {folder}/pid\nsave 1 1\n"
    )
    yield folder, port
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


def redis_says(port: int, *command: str, password: str = "") -> str:
    """Return what redis-cli prints."""
    environment = {**os.environ, "REDISCLI_AUTH": password} if password else dict(os.environ)
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *command], capture_output=True, text=True, check=False, env=environment
    )
    return done.stdout.strip() + done.stderr.strip()


def test_the_redis_of_this_machine_gets_a_password_and_keeps_it(tmp_path: Path, redis: tuple[Path, int]) -> None:
    folder, port = redis
    begun = f"redis={folder} redis_port={port}\n{SYSTEMD_OF_REDIS}"
    deploy_function(tmp_path, f"{begun}prepare_broker")
    address = (folder / "credential").read_text()
    password = address.removeprefix("redis://:").partition("@")[0]
    assert re.fullmatch(rf"redis://:[0-9a-f]{{48}}@127\.0\.0\.1:{port}/0", address)
    assert "NOAUTH" in redis_says(port, "lpush", "celery", "x"), "another account can hand out work"
    assert redis_says(port, "ping", password=password) == "PONG"
    assert (folder / "vinops.conf").stat().st_mode & 0o777 == 0o640
    # Again, and after a run that was cut short before the credential was written.
    said = deploy_function(tmp_path, f"{begun}prepare_broker")
    assert "CELERY_BROKER_URL is set" in said
    (folder / "credential").unlink()
    assert password not in deploy_function(tmp_path, f"{begun}prepare_broker")
    assert (folder / "credential").read_text() == address
    assert (folder / "redis.conf").read_text().count("include") == 1


def test_an_installation_whose_redis_had_no_password_gets_one_and_keeps_its_messages(
    tmp_path: Path, redis: tuple[Path, int]
) -> None:
    folder, port = redis
    begun = f"redis={folder} redis_port={port}\n{SYSTEMD_OF_REDIS}"
    deploy_function(tmp_path, f"{begun}systemctl enable")
    redis_says(port, "lpush", "celery", "a message")
    (folder / "credential").write_text(f"redis://127.0.0.1:{port}/0")
    deploy_function(tmp_path, f"open_broker=redis://127.0.0.1:{port}/0\n{begun}prepare_broker")
    password = (folder / "credential").read_text().removeprefix("redis://:").partition("@")[0]
    assert redis_says(port, "llen", "celery", password=password) == "1"
    assert "NOAUTH" in redis_says(port, "llen", "celery")


def test_a_redis_that_others_use_is_not_shut_to_them(tmp_path: Path, redis: tuple[Path, int]) -> None:
    folder, port = redis
    begun = f"redis={folder} redis_port={port}\n{SYSTEMD_OF_REDIS}"
    deploy_function(tmp_path, f"{begun}systemctl enable")
    redis_says(port, "set", "theirs", "1")
    with pytest.raises(AssertionError, match="used by others"):
        deploy_function(tmp_path, f"{begun}prepare_broker")
    assert redis_says(port, "get", "theirs") == "1"
    assert not (folder / "credential").exists()


def test_a_node_alone_gets_no_database_and_no_timers() -> None:
    if Path("/opt/vinops").exists() or Path("/etc/vinops").exists():
        pytest.skip("vinops is installed on this machine")
    done = subprocess.run(
        [ROOT / "deploy/deploy-automation.sh", "--dry-run", "--node"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^== (.+)$", done.stdout, re.MULTILINE)
    assert steps == [
        "packages", "user", "folders", "virtual environment", "program", "node", "units", "credentials", "database",
        "start", "doctor", "done",
    ]  # fmt: skip
    started = [line for line in done.stdout.splitlines() if "systemctl enable" in line or "systemctl start" in line]
    assert [line.split()[-1] for line in started] == ["vinops-scrapyd.service"] * 2
    assert re.findall(r"not set: (\w+)", done.stdout) == [
        "COPART_PASSWORD", "COPART_USERNAME", "PROXY_LIST", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY",
        "TELEGRAM_BOT_TOKEN", "VINOPS_SCRAPYD_PASSWORD",
    ]  # fmt: skip


def test_cron_lines_run_what_the_timers_run() -> None:
    lines = (ROOT / "deploy/cron/vinops.cron").read_text()
    for command in (
        "-m etl run",
        "workers start 1 2 3 4 photos",
        "vinops supervise",
        "vinops health",
        "vinops backup",
        "vinops retention",
    ):
        assert command in lines
