"""A machine with systemd for the tests: namespaces of this one, on an overlay of its root. Nothing outside changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SCRIPT = Path(__file__).with_name("become_machine.sh")
CHECKOUT = SCRIPT.parents[2]
LEFT_OUT = (".git", ".venv", "var", "__pycache__", "*_cache", ".hypothesis", ".env")
SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = (f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8")
NAMESPACES = ("-m", "-u", "-i", "-n", "-p", "-C")
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--net", "--cgroup")
#: Limits are for hangs: ten times what a busy machine needs.
BOOT_SECONDS = 180
UNTIL_SECONDS = 180
SIZE = "6G"

Done = subprocess.CompletedProcess[str]


def missing() -> str | None:
    """Return why no machine can be booted here, None if one can."""
    if os.geteuid() != 0:
        return "booting systemd needs root"
    for program in ("unshare", "nsenter", "ip", "pivot_root"):
        if shutil.which(program, path=PATH) is None:
            return f"booting systemd needs {program}"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay filesystem"
    if shutil.disk_usage("/dev/shm").total == 0 or _free_memory() < 4_000_000_000:
        return "booting systemd needs 4 GB of free memory"
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount", "--net", "--cgroup", "true"], capture_output=True)
    return None if tried.returncode == 0 else f"unshare does not work here: {tried.stderr.decode().strip()}"


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


class Machine:
    """Boots, runs commands in it, loses power, boots again. What it wrote to its disk is there after a power cut."""

    def __init__(self) -> None:
        """Make its disk, in memory."""
        # Not where TMPDIR says: that may be below /dev, which is the machine's own once it has booted.
        self.disk = Path(tempfile.mkdtemp(prefix="vinops-machine-", dir="/var/tmp"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", self.disk], check=True)
        for name in ("changed", "work", "root"):
            (self.disk / name).mkdir()
        # A copy: one that is edited meanwhile would be another version each time it is deployed.
        shutil.copytree(CHECKOUT, self.disk / "checkout", ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        (self.disk / "checkout/.venv").mkdir()
        self.log = self.disk / "console.log"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._groups: list[Path] = []

    @property
    def changed(self) -> Path:
        """What differs from this machine's root, as in `changed / "etc/hostname"`."""
        return self.disk / "changed"

    def boot(self) -> None:
        """Boot, and wait until services can be started."""
        self._groups = [group / self.disk.name for group in _own_groups()]
        for group in self._groups:
            group.mkdir(exist_ok=True)
        with self.log.open("ab") as console:
            self._unshare = subprocess.Popen(
                [*UNSHARE, "bash", str(SCRIPT), str(self.disk), str(CHECKOUT / ".venv")],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                preexec_fn=self._join,
            )
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.until(lambda: children.read_text().split(), "a process below unshare", seconds=BOOT_SECONDS)
        self._pid = int(children.read_text().split()[0])
        # Not until all has started: a service that takes minutes to say that it is up would be waited for.
        ready = ("systemctl", "is-active", "--quiet", "basic.target", "dbus.socket")
        self.until(lambda: self.run(*ready, check=False).returncode == 0, "systemd is up", seconds=BOOT_SECONDS)

    def _join(self) -> None:
        for group in self._groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def run(self, *command: str, text: str = "", check: bool = True, seconds: float = 300) -> Done:
        """Run a command in it, as root."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), *NAMESPACES, "--", "env", "-i", *ENVIRONMENT, *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd="/",
        )
        said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{said}"
        return done

    def shell(self, script: str, *, check: bool = True, seconds: float = 300) -> str:
        """Run lines of a shell in it, and return what they print."""
        return self.run("bash", "-c", script, check=check, seconds=seconds).stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        said = self.run("systemctl", "show", unit, f"--property={','.join(properties)}").stdout
        return dict(line.partition("=")[::2] for line in said.splitlines())

    def until(self, is_so: Callable[[], object], what: str, *, seconds: float = UNTIL_SECONDS) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if is_so():
                    return
            if self._unshare is not None and self._unshare.poll() is not None:
                raise AssertionError(f"the machine is off: {self.console()}")
            assert time.monotonic() < deadline, f"never happened: {what}\n{self.console()}"
            time.sleep(0.2)

    def console(self) -> str:
        """Return the end of what it said while it booted."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def cut_power(self) -> None:
        """End everything in it at once."""
        if self._unshare is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # the first process of a namespace takes all others with it
        self._unshare.kill()
        self._unshare.wait()
        self._unshare = None
        for group in self._groups:
            _remove_group(group)

    def close(self) -> None:
        """Cut the power, and throw the disk away."""
        self.cut_power()
        subprocess.run(["umount", "-l", self.disk], check=False)
        shutil.rmtree(self.disk, ignore_errors=True)


def _own_groups() -> Iterator[Path]:
    """Yield the cgroups of this process, in the hierarchies that systemd is to have."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd", "memory", "pids"):
            name = {"": "unified", "name=systemd": "systemd"}.get(controllers, controllers)
            top = CGROUPS / name
            yield (top if top.is_dir() else CGROUPS) / path.lstrip("/")


def _remove_group(group: Path) -> None:
    """Remove a cgroup and those below it, as soon as their processes are gone."""
    deadline = time.monotonic() + 10
    while group.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.05)
