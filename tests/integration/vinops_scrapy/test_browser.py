"""The browser on the stand-in's site: how a member signs in, what lot pages give, and what every failure leaves."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from standin.core import html
from standin.photos.pages import LAYOUTS
from standin.photos.server import PhotoServer
from standin.photos.site import STATIC
from tests.support.browser_crawls import look
from vinops.config import ConfigError, Settings, variables
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from standin.photos.pages import Consent
    from tests.support.browser_crawls import Looked


def has_chromium() -> bool:
    """Tell whether there is a browser."""
    try:
        find_chromium(Settings())
    except ConfigError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(not has_chromium(), reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.slow,
]

LOT = 45_000_001
MIRROR = 44_999_999
RESTLESS = 44_999_998
USERNAME = "canary-member-5d0c"
PASSWORD = "canary-password-91ef"

MIRROR_PAGE = """<!DOCTYPE html><html><body><h1 class="title">Lot</h1><script>
const said = {
  webdriver: navigator.webdriver, languages: navigator.languages, agent: navigator.userAgent,
  zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  screen: `${screen.width}x${screen.height}`, window: `${innerWidth}x${innerHeight}`,
};
fetch("/said?" + new URLSearchParams(said)).finally(() => {
  const place = document.createElement("div");
  place.className = "image-galleria_wrap";
  place.innerHTML = '<img class="thumbnailImg" full-url="CDN/a_ful.jpg">';
  document.body.append(place);
});
</script></body></html>"""
"""A lot whose page tells the server what a page can learn of the browser that shows it."""

RESTLESS_PAGE = """<!DOCTYPE html><html><body><h1 class="title">Lot</h1><div class="image-galleria_wrap">
<img class="thumbnailImg" full-url="CDN/a_ful.jpg"></div><script>setTimeout(() => { for (;;); }, 100)</script>
</body></html>"""
"""A lot whose page answers nothing any more once it is shown."""


class Site(PhotoServer):
    """The stand-in for this member, with the mirror among its lots."""

    def __init__(self, consent: Consent) -> None:
        """Show the popup there."""
        super().__init__(
            seed=5,
            empty_every=0,
            none_every=0,
            consent=consent,
            username=USERNAME,
            password=PASSWORD,
            script_delay=0.1,
        )

    def applications(self) -> Mapping[str, web.Application]:
        """Put the mirror before the site's own pages."""

        @web.middleware
        async def mirror(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            for lot, page in ((MIRROR, MIRROR_PAGE), (RESTLESS, RESTLESS_PAGE)):
                if request.path == f"/lot/{lot}":
                    return html(page.replace("CDN", self.cdn_url))
            return await handler(request)

        found = super().applications()
        found["site"].middlewares.append(mirror)
        return found

    def look(self, folder: Path, lots: list[int], *, password: str = PASSWORD, **order: Any) -> Looked:
        """Look at these lots; the variables in upper case are settings of vinops, the others the order's."""
        named = {name: order.pop(name) for name in list(order) if name.isupper()}
        environment = {
            **dict.fromkeys(variables(), ""),  # as if not set
            "COPART_SITE_URL": self.site_url,
            "COPART_IMAGE_HOSTS": self.image_hosts,
            "COPART_USERNAME": USERNAME,
            "VINOPS_DATA_DIR": str(folder),
            "VINOPS_LOG_LEVEL": "DEBUG",
            "VINOPS_PACE": "none",
            "VINOPS_SESSION_PAUSE": "0",
            "COPART_PASSWORD": password,
            **named,
        }
        return look([self.lot_url(lot) for lot in lots], folder=folder, environment=environment, **order)

    def asked(self, kind: str) -> list[Any]:
        """Return the requests of that kind."""
        return [each for each in self.requests if each.kind == kind]

    def names(self, lot: int) -> list[str]:
        """Return the photos of a lot without their size, of which many pages tell nothing."""
        return [url.rpartition("_")[0] for _, _, url in self.photos(lot)]


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Looked]]:
    """Five lots of a member, each gallery of another layout, in sessions of three lots; all as it usually is."""
    with Site(consent="before") as site:
        lots = [MIRROR, *(LOT + each for each in range(len(LAYOUTS)))]
        yield site, site.look(tmp_path_factory.mktemp("visited"), lots, VINOPS_SESSION_LOTS="3")


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Looked]]:
    """Four lots at once, with Chromium as it is, and the popup on all pages but the login. One of them never rests."""
    with Site(consent="after") as site:
        folder = tmp_path_factory.mktemp("plainly")
        yield (
            site,
            site.look(
                folder,
                [MIRROR, LOT, LOT + 1, RESTLESS],
                VINOPS_STEALTH="off",
                at_once=True,
                patch={"LOT_SECONDS": 8.0, "OPEN_SECONDS": 8.0},
                settings={"PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": 8000},
            ),
        )


FAULTY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # fault: how often and its options; what comes of its lot
    "expired_login": ({"times": 1}, {"status": 200}),
    "redirect_login": ({}, {"error": "Refused", "reason": "login_wall"}),
    "server_error_500": ({}, {"status": 500, "reason": "not_a_lot"}),
    "reset": ({"at": 0}, {"error": "PageFailed", "reason": "no_connection"}),
    "tarpit": ({"every": 0.2, "seconds": 60}, {"error": "PageFailed", "reason": "timeout"}),
    "redirect_private": ({}, {"error": "PageFailed", "reason": "no_connection"}),
    "redirect_host": ({}, {"error": "PageFailed", "reason": "no_connection"}),
    "gone_404": ({}, {"status": 404, "reason": "not_a_lot"}),
    "no gallery": ({}, {"status": 200, "reason": "no_gallery"}),
}
LAST = LOT + len(FAULTY)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Looked]]:
    """A lot for each fault, then one where all is well; no popup."""
    with Site(consent="none") as site:
        for lot, (name, (options, _)) in enumerate(FAULTY.items(), LOT):
            if name == "no gallery":
                site.set_lot(lot, "none_yet")
            else:
                site.fault(name, host="site", lots=[lot], **options)
        yield (
            site,
            site.look(
                tmp_path_factory.mktemp("troubled"),
                list(range(LOT, LAST + 1)),
                patch={"GALLERY_SECONDS": 3.0},
                settings={"PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": 4000, "RETRY_ENABLED": True, "RETRY_TIMES": 1},
            ),
        )


@pytest.fixture(scope="module")
def shut_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Looked]]:
    """Four lots, and each time the login fails for another reason, lastly for a wrong password."""
    with Site(consent="both") as site:
        site.fault("captcha_login", 1, host="site")
        site.fault("forbidden_403", 1, host="site")
        site.fault("login_broken", 2, host="site")
        folder = tmp_path_factory.mktemp("shut-out")
        yield site, site.look(folder, [LOT] * 4, password=f"{PASSWORD}-wrong", patch={"FORM_SECONDS": 3.0})


def outcomes(looked: Looked) -> list[tuple[Any, Any]]:
    """Return kind and reason of each result."""
    return [(each.get("error"), each.get("reason")) for each in looked.results]


def size(picture: Path) -> tuple[int, int]:
    """Return width and height of a PNG."""
    found: tuple[int, int] = struct.unpack(">II", picture.read_bytes()[16:24])
    return found


def test_a_member_signs_in_with_the_popup_before_the_login_and_sees_each_layout(visited: tuple[Site, Looked]) -> None:
    site, looked = visited
    assert {site.site.layout(LOT + each) for each in range(len(LAYOUTS))} == set(LAYOUTS)
    for lot, found in enumerate(looked.results[1:], LOT):
        assert (found["status"], found["url"]) == (200, site.lot_url(lot))
        assert [url.rpartition("_")[0] for url in found["photos"]] == site.names(lot), site.site.layout(lot)
    assert "consent-before" in site.asked("dashboard")[0].cookies
    assert looked.screenshots == []


def test_after_its_lots_a_session_ends_and_the_next_signs_in_anew(visited: tuple[Site, Looked]) -> None:
    site, looked = visited
    assert (site.site.attempts, site.site.logins) == (2, 2)
    cookies = [each.cookies for each in site.asked("lot")]  # without the mirror, the first of three
    assert [each["member_session"] for each in cookies] == [site.site.sessions_seen[place] for place in (0, 0, 1, 1)], (
        "a session of its own"
    )
    first, second = site.asked("login")
    assert (first.cookies, second.cookies) == ({}, {}), "nothing is left of the session before"
    assert (looked.stats["session/started"], looked.stats["session/login"]) == (2, 2)
    assert "session 2 begins" in looked.log
    assert set(looked.open) == {"session-2-2"}, "the context before is closed"


def test_lots_at_once_sign_in_once_with_the_popup_after_the_login(plainly: tuple[Site, Looked]) -> None:
    site, looked = plainly
    assert (site.site.attempts, site.site.logins) == (1, 1)
    for lot, found in enumerate(looked.results[1:3], LOT):
        assert [url.rpartition("_")[0] for url in found["photos"]] == site.names(lot)
    assert "the popup cannot be closed" not in looked.log


def test_a_page_whose_scripts_never_rest_costs_itself_alone(plainly: tuple[Site, Looked]) -> None:
    _, looked = plainly
    assert outcomes(looked)[-1] == ("PageFailed", "timeout")
    assert "browser/hung" not in looked.stats
    assert looked.stats["playwright/browser_count"] == 1


def test_a_member_signs_in_without_a_popup(troubled: tuple[Site, Looked]) -> None:
    site, looked = troubled
    found = looked.results[-1]
    assert [url.rpartition("_")[0] for url in found["photos"]] == site.names(LAST), "after all faults"


def test_the_browser_passes_for_an_ordinary_one(visited: tuple[Site, Looked]) -> None:
    site, _ = visited
    (said,) = (each for each in site.requests if each.path == "/said")
    agent = said.query.pop("agent")
    assert said.query == {
        "webdriver": "false",
        "languages": "en-US",
        "zone": "America/New_York",
        "screen": "1920x1080",
        "window": "1920x1080",
    }
    assert agent.startswith("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/")
    for each in site.requests:
        assert each.headers["user-agent"] == agent
        assert "Headless" not in str(each.headers)
        assert each.headers["accept-language"].startswith("en-US")


def test_with_stealth_off_chromium_is_as_it_is(plainly: tuple[Site, Looked]) -> None:
    site, _ = plainly
    (said,) = (each for each in site.requests if each.path == "/said")
    assert said.query["webdriver"] == "true"
    assert "HeadlessChrome" in said.query["agent"]
    assert (said.query["screen"], said.query["window"]) == ("1280x720", "1280x720")
    assert {each.headers["user-agent"] for each in site.requests} == {said.query["agent"]}


@pytest.mark.parametrize("run", ["visited", "plainly", "troubled", "shut_out"])
def test_pictures_fonts_and_films_are_never_asked_for(run: str, request: pytest.FixtureRequest) -> None:
    site, looked = request.getfixturevalue(run)
    kinds = {each.kind for each in site.requests}
    assert kinds <= {"login", "login_post", "dashboard", "lot", "other"}
    assert {each.path for each in site.asked("other")} <= {"/said"}
    for path in STATIC:
        assert f"{site.site_url}{path}" in looked.log, "the pages name them"


@pytest.mark.parametrize("run", ["visited", "plainly", "troubled", "shut_out"])
def test_every_page_is_closed(run: str, request: pytest.FixtureRequest) -> None:
    site, looked = request.getfixturevalue(run)
    assert looked.stats["playwright/page_count"] >= len(site.asked("login"))
    assert set(looked.open.values()) <= {0}
    assert len(looked.open) == (0 if run == "shut_out" else 1), "a context whose login failed is closed as well"


def test_each_fault_of_a_page_has_its_name_and_costs_its_lot_alone(troubled: tuple[Site, Looked]) -> None:
    _, looked = troubled
    for (name, (_, expected)), found in zip(FAULTY.items(), looked.results, strict=False):
        assert expected.items() <= found.items(), name


def test_a_redirect_leads_the_browser_into_no_network_of_ours(troubled: tuple[Site, Looked]) -> None:
    site, looked = troubled
    lot = LOT + list(FAULTY).index("redirect_host")
    assert [each.status for each in site.asked("lot") if each.lot == lot] == [302], (
        "it would have answered as localhost"
    )
    assert "Response: <403 http://169.254" not in looked.log


def test_an_expired_login_is_made_once_more(troubled: tuple[Site, Looked]) -> None:
    site, looked = troubled
    expired, wall = (
        [each.status for each in site.asked("lot") if each.lot == LOT + place]
        for place, name in enumerate(FAULTY)
        if name in ("expired_login", "redirect_login")
    )
    assert expired == [302, 200]
    assert wall == [302, 302], "twice is enough"
    assert looked.results[0]["photos"]
    assert looked.stats["session/bounced"] == 3
    assert site.site.logins == looked.stats["session/login"] == 4


def test_a_page_without_gallery_leaves_a_picture(troubled: tuple[Site, Looked]) -> None:
    _, looked = troubled
    place = list(FAULTY).index("no gallery")
    (shot,) = (shot for shot in looked.screenshots if shot.stem.endswith(str(LOT + place)))
    assert shot.name.startswith("lot-")
    assert shot.parent.name == "screenshots"
    assert size(shot) == (1920, 1080)
    assert looked.stats["page/no_gallery"] == len(looked.screenshots)


def test_a_refusal_at_the_login_is_no_reason_to_try_again(shut_out: tuple[Site, Looked]) -> None:
    site, looked = shut_out
    assert outcomes(looked)[:2] == [("LoginFailed", "captcha"), ("LoginFailed", "status_403")]
    assert [each.fault for each in site.asked("login")][:3] == ["captcha_login", "forbidden_403", None]
    assert "reason=captcha attempt=2" not in looked.log


def test_what_is_no_refusal_is_tried_once_more(shut_out: tuple[Site, Looked]) -> None:
    site, looked = shut_out
    assert outcomes(looked)[2:] == [("LoginFailed", "site_error"), ("LoginFailed", "wrong_credentials")]
    assert "check COPART_USERNAME and COPART_PASSWORD" in looked.results[3]["text"]
    assert [each.fault for each in site.asked("login_post")] == ["login_broken", "login_broken", None, None]
    assert (site.site.attempts, site.site.logins) == (4, 0)
    assert looked.stats["session/login_failed"] == 6


def test_a_login_that_fails_leaves_a_picture(shut_out: tuple[Site, Looked]) -> None:
    _, looked = shut_out
    assert len(looked.screenshots) == 6
    for shot in looked.screenshots:
        assert shot.name.startswith("login-")
        assert shot.parent.name == "screenshots"
        assert size(shot) == (1920, 1080)


@pytest.mark.parametrize("run", ["visited", "plainly", "troubled", "shut_out"])
def test_what_was_typed_is_written_nowhere(run: str, request: pytest.FixtureRequest) -> None:
    _, looked = request.getfixturevalue(run)
    assert "[Context=session-1-1]" in looked.log, "at DEBUG, the browser's requests too"
    assert any("chrom" in line for line in looked.processes)
    for text in (looked.everything, *looked.processes):
        assert "canary" not in text
