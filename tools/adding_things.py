"""Applies the examples of CONTRIBUTING.md, "Adding things", to a copy of the repository, and runs what must then work.

python -m tools.adding_things [check] [site] [stage] [metric] …   without names: all of them

A fenced block of CONTRIBUTING.md that begins with a comment that is a path is a file:

    # vinops_scrapy/pages/kola.py                the whole of a new file
    # ops/checks/machine.py: add                 lines that are added to an existing file
    # after: <line>                              behind this line; without it at the end

Several `after` lines are looked for one behind the other: the first may name the place, the last the line. SQL has `--`
in place of `#`, HTML and Markdown `<!-- … -->`, JSON `//`. These comments are not written to the file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vinops.config import without_settings
from vinops.db import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
MOST_PLACES: Final = {
    "check": 3,
    "site": 5,
    "page": 3,
    "column": 5,
    "alarm": 2,
    "metric": 4,
    "stage": 5,
    "setting": 3,
    "line": 1,
}
"""How many places each change may touch; what a command writes, as sql/schema.sql, is not counted."""

RECORDED: Final = re.compile(r"^(tests/pages/\w+)/.*")
SHOWN: Final = 4000  # characters of the output of a command that fails
FENCE: Final = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT: Final = re.compile(r"^(?:#|--|//|<!--) (.+?)(?: -->)?$")
PATH: Final = re.compile(r"(?P<path>(?:[\w.-]+/)*[\w-]*\.[\w.-]+)(?P<add>: add)?")


class AddingError(Exception):
    """A block does not fit the file it names, or a command in the copy did not do what it must."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of CONTRIBUTING.md: the whole text of a new file, or lines that are added to one behind `after`."""

    path: str
    text: str
    is_new: bool
    after: tuple[str, ...] = ()

    def apply(self, root: Path) -> None:
        """Write the block into a copy. Raises AddingError if the file is there already, or the line is not."""
        file = root / self.path
        if self.is_new:
            if file.exists():
                raise AddingError(f"{self.path}: exists; a block that adds to it says `: add`")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text, encoding="utf-8")
            return
        if not file.exists():
            raise AddingError(f"{self.path}: there is no such file to add to")
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        place = 0 if self.after else len(lines)
        for line in self.after:
            found = next((n for n in range(place, len(lines)) if lines[n].strip() == line.strip()), None)
            if found is None:
                raise AddingError(f"{self.path}: has no line `{line.strip()}`")
            place = found + 1
        lines.insert(place, self.text)
        file.write_text("".join(lines), encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """Return the parts of "Adding things" by the last word of their titles: `### A health check` is `check`."""
    adding = re.split(r"^## ", text.split("\n## Adding things\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    parts = re.split(r"^### (.+)$", adding, flags=re.MULTILINE)[1:]
    return {title.split()[-1]: part for title, part in zip(parts[::2], parts[1::2], strict=True)}


def blocks(section: str) -> list[Block]:
    """Return the blocks of a section that name a file, in order."""
    return [block for text in FENCE.findall(section) if (block := read_block(text))]


def read_block(text: str) -> Block | None:
    """Return what a fenced block is, or None if it does not begin with a path."""
    lines = text.splitlines(keepends=True)
    named = _comment(lines[0]) if lines else None
    path = PATH.fullmatch(named) if named else None
    if path is None:
        return None
    after = []
    for line in lines[1:]:
        found = _comment(line)
        if found is None or not found.startswith("after: "):
            break
        after.append(found.removeprefix("after: "))
    body = "".join(lines[1 + len(after) :])
    return Block(path=path["path"], text=body, is_new=not path["add"], after=tuple(after))


def _comment(line: str) -> str | None:
    found = COMMENT.match(line.rstrip("\n"))
    return found[1] if found else None


def places(found: Sequence[Block]) -> list[str]:
    """Return the places that blocks touch: files, and of recorded pages the folder of their site."""
    return list(dict.fromkeys(RECORDED.sub(r"\1", block.path) for block in found))


def copy_repository(target: Path) -> None:
    """Copy the files of this checkout that git knows, and new ones that it does not ignore, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of the repository that the blocks were applied to, and the environment that commands run there with."""

    root: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, codes: Sequence[int] = (0,), **settings: str) -> str:
        """Run a Python module, or -c and code, in the copy; return its output, with errors if other codes are allowed.

        Raises AddingError for another exit code.
        """
        done = subprocess.run(
            [sys.executable, *(arguments if arguments[0] == "-c" else ("-m", *arguments))],
            cwd=self.root,
            env={**self.environment, "PYTHONPATH": str(self.root), **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise AddingError(
                f"{' '.join(arguments)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-SHOWN:]}"
            )
        return done.stdout if codes == (0,) else done.stdout + done.stderr

    def vinops(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command of vinops."""
        return self.run("ops.cli", *arguments, codes=codes)

    def test(self, *names: str) -> None:
        """Run tests of the copy in one process. Raises AddingError with their report."""
        self.run("pytest", "-q", "--tb=short", "--maxfail=3", "-p", "no:cacheprovider", "-p", "no:xdist", *names)

    def expect(self, text: str, *, contains: str) -> None:
        """Raise AddingError unless a text has a part."""
        if contains not in text:
            raise AddingError(f"expected {contains!r} in:\n{text}")


PROOFS: dict[str, Callable[[Copy], None]] = {}
"""What must work once the blocks of a section are applied."""


def proves(name: str) -> Callable[[Callable[[Copy], None]], Callable[[Copy], None]]:
    """Register the proof of a section."""

    def register(proof: Callable[[Copy], None]) -> Callable[[Copy], None]:
        PROOFS[name] = proof
        return proof

    return register


@proves("check")
def check_is_shown(copy: Copy) -> None:
    """`vinops health` has the line, with a level of its own, and its cases and its row in the runbook are complete."""
    copy.vinops("migrate")
    lines = json.loads(copy.vinops("health", "--json", codes=(0, 1, 2)))["lines"]
    copy.expect({line["name"]: line["level"] for line in lines}.get("room", "no line"), contains="OK")
    copy.test("tests/unit/ops/test_health.py", "tests/unit/ops/test_alarms.py")


@proves("site")
def site_is_crawled(copy: Copy) -> None:
    """The contract of sites is kept, and a crawl of two pages on loopback ends with the ads in `listings`."""
    copy.run("tests.pages.rewrite", "kola/two_ads", "kola/empty")
    copy.test("tests/unit/vinops_scrapy/test_pages_contract.py", "tests/pages/test_recorded_pages.py")
    copy.vinops("migrate")
    page = (copy.root / "tests/pages/kola/two_ads/response.html").read_text(encoding="utf-8")
    with served({"/ads": page, "/ads?page=2": page.partition("<a rel=")[0]}) as address:
        copy.run("scrapy", "crawl", "kola", "-s", f"VINOPS_STANDIN={address}", VINOPS_PACE="none")
    found = copy.vinops("sql", "--csv", "select ad_id, title, price_eur from listings where source = 'kola' order by 1")
    copy.expect(found, contains="1,Opel Astra,4500.00\n2,VW Golf,7900.00\n")


@contextmanager
def served(pages: Mapping[str, str]) -> Iterator[str]:
    """Serve these pages by their paths on loopback; yield the address."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # as http.server calls it
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@proves("column")
def column_arrives(copy: Copy) -> None:
    """A file with the column is loaded to `lots`, and the rest of the feed is as before."""
    copy.run("ops.schema")
    copy.test("tests/unit/etl/test_columns.py", "tests/integration/etl/test_operators_queries.py")


@proves("line")
def line_is_counted(copy: Copy) -> None:
    """A lot in the state is quoted with a total, and the line is listed."""
    lot = ("--title", "clean", "--rate", "1.1", "--year", "2019", "--fuel", "gasoline", "--state", "KS")
    found = json.loads(copy.vinops("landed", "quote", "--bid", "5000", *lot, "--json"))
    copy.expect(str(found["is_complete"]), contains="True")
    copy.expect(copy.vinops("landed", "tariffs", "--csv"), contains="road from KS")


@proves("alarm")
def alarm_is_raised_and_cleared(copy: Copy) -> None:
    """The alert is raised while so many ads wait, and cleared when they do not."""
    copy.vinops("migrate")
    copy.vinops("sql", "--write", WAITING_ADS)
    copy.expect(copy.run("-c", WATCH), contains="deals_crowded")
    copy.vinops("sql", "--write", "delete from ops.deal_outbox")
    copy.run("-c", WATCH)
    found = copy.vinops("sql", "--csv", "select kind, cleared_at is not null as cleared from ops.alerts")
    copy.expect(found, contains="deals_crowded,true")
    copy.test("tests/unit/ops/test_alarms.py")


@proves("metric")
def metric_is_served(copy: Copy) -> None:
    """`vinops metrics` has the metric with a value; the runbook and the dashboard have it."""
    copy.test("tests/integration/ops/test_metrics.py", "tests/unit/ops/test_alarms.py")
    copy.vinops("migrate")
    copy.vinops("backup")
    copy.expect(copy.vinops("metrics", "--once"), contains="\nvinops_backup_bytes ")


@proves("stage")
def stage_is_done(copy: Copy) -> None:
    """An ad goes through the stage, on to the next one, and to its score."""
    copy.run("ops.schema")
    copy.test("tests/unit/deals/test_deal_stages.py")
    copy.vinops("migrate")
    copy.vinops("sql", "--write", AD)
    copy.expect(copy.vinops("deals", "run", "--no-post"), contains="mileage")
    query = "select km_a_year = 200000 / (extract(year from now())::int - 2015), score is not null from scores"
    copy.expect(
        copy.vinops("sql", "--csv", f"{query} join normalized_listings using (listing_id)"), contains="true,true"
    )


@proves("page")
def page_is_served(copy: Copy) -> None:
    """The route has its roles, and who may use it gets an answer."""
    copy.test("tests/integration/web/test_roles.py", "tests/unit/web")


@proves("setting")
def setting_is_read(copy: Copy) -> None:
    """The setting is documented, has a default, and is refused where it makes no sense."""
    copy.test("tests/unit/vinops/test_config.py")
    copy.expect(
        copy.run("ops.cli", "sql", "select 1", codes=(1,), VINOPS_ALERTS_PAUSED="perhaps"), contains="on or off"
    )


INSERT: Final = """
with ads as (
    insert into listings (
        source, ad_id, make_slug, url, title, make_text, model_text, year, mileage_km, price, currency, price_eur,
        posted_at, list_hash
    )
    select
        'mobile.bg', number, 'bmw', 'https://www.mobile.bg/' || number, 'BMW 320', 'BMW', '320', 2015, 200000, 9900,
        'EUR', 9900, now(), '1'
    from generate_series(1, {}) as number
    returning id
)
insert into ops.deal_outbox (listing_id, change) select id, 'new' from ads
"""
AD: Final = INSERT.format(1)
WAITING_ADS: Final = INSERT.format(20_000)
WATCH: Final = """
from deals import alarms
from vinops import config
from vinops.db import database

with database.connect(config.load(), application="adding", autocommit=True) as connection:
    print([alarm.kind for alarm in alarms.watch(connection, config.load())])
"""


def do(name: str, copy: Copy) -> list[str]:
    """Apply the blocks of a section to a copy, prove that they work, and return the places that they touch.

    Raises AddingError.
    """
    section = sections((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))[name]
    found = blocks(section)
    for block in found:
        block.apply(copy.root)
    python = sorted({block.path for block in found if block.path.endswith(".py")})
    sql = sorted({block.path for block in found if block.path.endswith(".sql")})
    copy.run("ruff", "check", "--quiet", "--no-cache", *python)
    copy.run("ruff", "format", "--check", "--quiet", "--no-cache", *python)
    if sql:
        copy.run("sqlfluff", "lint", *sql)
    PROOFS[name](copy)
    return places(found)


def made(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Do these sections, each on a copy of its own with an embedded database; yield the places that each touched."""
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="vinops-adding-"))
        folder.chmod(0o711)  # the embedded server may run as another user
        data = folder / "data"
        environment = {**without_settings(), "VINOPS_DATA_DIR": str(data), "VINOPS_EMBEDDED_LINGER": "1"}
        try:
            copy_repository(folder / "vinops")
            yield name, do(name, Copy(root=folder / "vinops", environment=environment))
        finally:
            embedded.stop(embedded.folder(data))
            while folder.exists():  # the server's keeper may be writing its last files
                shutil.rmtree(folder, ignore_errors=True)
            embedded.release(data)


def main(arguments: Sequence[str]) -> int:
    """Do what is named, or everything; exit with 1 for what fails."""
    failed = False
    for name in arguments or PROOFS:
        try:
            for _, touched in made([name]):
                sys.stdout.write(f"{name}: works, {len(touched)} places: {', '.join(touched)}\n")
        except AddingError as error:
            failed = True
            sys.stdout.write(f"{name}: {error}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
