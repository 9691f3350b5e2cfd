"""Commands by fork: a process that has imported what a command needs starts each, which spares it a second.

Each command is a process of its own, with its own environment, folder and output; `ps` shows it under this file's name.
A test that looks at command lines, reads along or kills starts its command the ordinary way.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import contain

ROOT = Path(__file__).resolve().parents[2]
ETL = str(ROOT / "etl" / "__main__.py")
MOST_SECONDS = 240
LIBRARIES = frozenset({"annotated_types", "boto3", "botocore", "pydantic", "redis", "rich", "sklearn", "typer", "yoyo"})
"""What commands import when they come to need it; it runs nothing when it is imported."""
WRITING = os.O_WRONLY | os.O_APPEND


class Ended(NamedTuple):
    """A crawl that ended."""

    pid: int
    exit_code: int
    log: str


def crawl(environment: Mapping[str, str], *arguments: str) -> Ended:
    """Run `scrapy crawl` with these arguments to its end."""
    pid, code, _, log = _run("scrapy", ["scrapy", "crawl", *arguments], environment, ROOT)
    return Ended(pid, code, log)


def scrapy(environment: Mapping[str, str], script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script that crawls in a way of its own, with these arguments, to its end."""
    command = [script, *arguments]
    _, code, output, errors = _run("scrapy", command, environment, ROOT)
    return subprocess.CompletedProcess(command, code, output, errors)


def vinops(
    environment: Mapping[str, str], *arguments: str, program: str = "vinops", cwd: Path | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `vinops` with these arguments to its end, with what is `given` on standard input. `program` may be a script
    that is the command line instead."""
    command = [program, *arguments]
    _, code, output, errors = _run("vinops", command, environment, cwd or Path.cwd(), given)
    return subprocess.CompletedProcess(command, code, output, errors)


def by_hand(program: str) -> list[str]:
    """Return the command that starts such a program the ordinary way."""
    return [sys.executable, *(["-m", "ops.cli"] if program == "vinops" else [program])]


def _run(
    kind: str, command: list[str], environment: Mapping[str, str], cwd: Path, given: str = ""
) -> tuple[int, int, str, str]:
    """Return process id, exit code, standard output and standard error."""
    with _file() as asked, _file() as output, _file() as errors:
        asked.write(given)
        asked.flush()
        files = [each.name for each in (asked, output, errors)]
        job = {"command": command, "environment": dict(environment), "cwd": str(cwd), "files": files}
        server = _server(kind)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        pid, status = server.stdout.readline().split()
        return int(pid), os.waitstatus_to_exitcode(int(status)), output.read(), errors.read()


def _file() -> Any:
    return tempfile.NamedTemporaryFile("w+", encoding="utf-8", errors="replace")


@cache
def _server(kind: str) -> subprocess.Popen[str]:
    """It ends with the tests: when its input ends."""
    command = [sys.executable, "-m", "tests.support.forks", kind]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.__exit__, None, None, None)
    contain.STAYING.add(server.pid)
    return server


def import_scrapy() -> None:
    """Import what a crawl needs, but for the settings, which are read from its environment, and for the reactor."""
    from scrapy.settings import default_settings
    from scrapy.utils.misc import load_object

    for name in (*_modules("vinops_scrapy"), *_modules("scrapy.commands")):
        if name != "vinops_scrapy.settings":
            import_module(name)
    for value in vars(default_settings).values():
        for path in [*value, *value.values()] if isinstance(value, Mapping) else [value]:
            if isinstance(path, str) and path.startswith("scrapy."):
                load_object(path)
    assert "twisted.internet.reactor" not in sys.modules


def import_vinops() -> None:
    """Import what any command of `vinops` needs."""
    for package in ("vinops", "ops", "etl", "deals"):
        for name in _modules(package):
            if not name.endswith("__main__"):
                import_module(name)


def _modules(package: str) -> Iterator[str]:
    return (found.name for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."))


def _be(job: Mapping[str, Any]) -> None:
    """Be a command, in a process that was forked for it."""
    signal.alarm(MOST_SECONDS)  # nothing is left of a command that does not end
    for number, (name, mode) in enumerate(zip(job["files"], (os.O_RDONLY, WRITING, WRITING), strict=True)):
        file = os.open(name, mode)
        os.dup2(file, number)
        os.close(file)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    time.tzset()
    sys.argv = job["command"]
    if sys.argv[0] == "scrapy":
        import_module("scrapy.cmdline").execute(sys.argv)
    elif sys.argv[0] == "vinops":
        import_module("ops.cli").main()
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _end(job: Mapping[str, Any], told: int) -> None:
    """Be a command to its end. Taking a thousand modules apart would take longer than most of them."""
    before, code = set(sys.modules), 1
    try:
        _be(job)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 # as the interpreter does
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(told, " ".join(set(sys.modules) - before).encode())
    os._exit(code)


def _import(names: list[str]) -> None:
    """What a command had to import for itself, the next one finds there."""
    for name in names:
        if name.partition(".")[0] in LIBRARIES:
            import_module(name)


def main(kind: str) -> None:
    """Fork a command for each line, wait for its end, and say what it was."""
    {"scrapy": import_scrapy, "vinops": import_vinops}[kind]()
    gc.freeze()  # or each child copies what its collector looks at
    for line in sys.stdin:
        told = os.memfd_create("imports")
        if not (pid := os.fork()):
            _end(json.loads(line), told)
        print(pid, os.waitpid(pid, 0)[1], flush=True)
        _import(os.pread(told, 1 << 20, 0).decode().split())
        os.close(told)


if __name__ == "__main__":
    main(sys.argv[1])
