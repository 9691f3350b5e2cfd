"""The stand-in of the photo side over real HTTP and in a real Chromium: it answers as the real one, faults included."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest
from PIL import Image, UnidentifiedImageError

from standin.feed import command as feed
from standin.feed.command import HEADERS, Market
from standin.photos import command as photos
from standin.photos.faults import FAULT_NAMES
from standin.photos.lots import SOUND, VIDEO, PhotoLots
from standin.photos.pages import LAYOUTS, LOGIN_BROKEN, WRONG_CREDENTIALS
from standin.photos.server import VISITOR, PhotoServer
from standin.photos.site import SESSION, STATIC
from standin.refusals import REFUSALS
from tests.support.children import child

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LOT = 45_000_003
USERNAME = "canary-member"
PASSWORD = "canary-7b21"
CHROMIUM = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium")
SIZES = {"hrs": (200_000, 250_000), "ful": (100_000, 180_000), "thb": (4_000, 9_000)}


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, *, method: str = "GET", body: str | None = None, timeout: float = 20, **headers: str) -> Answer:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, named)
        response = connection.getresponse()
        content = response.read()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=fields, body=content)
    finally:
        connection.close()


def decoded(body: bytes) -> Image.Image:
    """The picture, decoded to its last pixel."""
    picture = Image.open(io.BytesIO(body))
    picture.load()
    return picture


def listed(server: PhotoServer, lot: int = LOT) -> dict[str, Any]:
    """The photo list of a lot, over HTTP."""
    answer = ask(server.list_url(lot))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    content: dict[str, Any] = json.loads(answer.body)
    return content


def log_in(server: PhotoServer, username: str = USERNAME, password: str = PASSWORD) -> Answer:
    """Post the form as a browser does."""
    form = urlencode({"username": username, "password": password})
    return ask(server.login_url, method="POST", body=form, Content_Type="application/x-www-form-urlencoded")


def session(server: PhotoServer) -> str:
    """A member's cookie."""
    return log_in(server).headers["set-cookie"].split(";")[0]


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with PhotoServer(username=USERNAME, password=PASSWORD, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def photo(server: PhotoServer) -> str:
    """The URL of a photo of the lot."""
    return server.photos(LOT)[1][2]


class TestTheList:
    def test_it_has_the_real_shape(self, server: PhotoServer) -> None:
        content = listed(server)
        assert content.keys() == {"imgCount", "lotImages"}
        assert content["imgCount"] == len(content["lotImages"])
        for image in content["lotImages"]:
            assert image.keys() == {"sequence", "link"}
            for link in image["link"]:
                required = {"url", "isThumbNail", "isHdImage", "isEngineSound"}
                assert required <= link.keys() <= required | {"isBlurred"}
                assert link["isThumbNail"] == ("_thb." in link["url"])
                assert link["isHdImage"] == ("_hrs." in link["url"])
                assert link["url"].startswith(f"{server.cdn_url}/v1/AUTH_svc.pdoc00001/lpp/0726/")

    def test_what_should_be_stored_is_the_best_of_what_is_listed(self, server: PhotoServer) -> None:
        for lot in range(LOT, LOT + 40):
            found = {}
            for image in listed(server, lot)["lotImages"]:
                if image["sequence"] >= SOUND:
                    continue
                links = [link for link in image["link"] if not link.get("isBlurred")]
                urls = {link["url"].strip().rpartition("_")[2].removesuffix(".jpg"): link["url"] for link in links}
                best = "hrs" if "hrs" in urls else "ful"
                found[image["sequence"]] = (image["sequence"], best, urls[best].strip())
            assert [found[seq] for seq in sorted(found)] == server.photos(lot)

    def test_the_quirks_are_spread_over_the_lots(self) -> None:
        lots = PhotoLots(seed=3)
        seen = {"unsorted": 0, "blank": 0, "no hd": 0, "sound": 0, "video": 0, "blurred": 0, "no isBlurred": 0}
        counts = []
        for lot in range(LOT, LOT + 1000):
            if lots.state(lot) != "listed":
                continue
            images = lots.listing(lot, cdn="")["lotImages"]
            links = [link for image in images for link in image["link"]]
            numbers = [image["sequence"] for image in images]
            counts.append(len([number for number in numbers if number < SOUND]))
            seen["unsorted"] += numbers != sorted(numbers)
            seen["blank"] += any(link["url"].endswith(" ") for link in links)
            seen["no hd"] += len(lots.photos(lot, cdn="")) > sum(link["isHdImage"] for link in links)
            seen["sound"] += SOUND in numbers
            seen["video"] += VIDEO in numbers
            seen["blurred"] += any(link.get("isBlurred") for link in links)
            seen["no isBlurred"] += any("isBlurred" not in link for link in links)
        assert all(50 < count < 950 for count in seen.values()), seen
        assert (min(counts), max(counts)) == (7, 15)
        assert 11.5 < sum(counts) / len(counts) < 12.7

    def test_some_lots_have_no_list_and_some_no_photos_yet(self) -> None:
        lots = PhotoLots(seed=3, empty_every=50, none_every=97)
        states = [lots.state(lot) for lot in range(LOT, LOT + 5000)]
        assert 60 < states.count("empty_list") < 150
        assert 25 < states.count("none_yet") < 90

    def test_a_lot_can_be_put_into_any_state(self, server: PhotoServer) -> None:
        count = len(server.photos(LOT))
        server.set_lot(LOT, "empty_list")
        content = listed(server)
        assert content["lotImages"] == []
        assert content["imgCount"] >= count == len(server.photos(LOT)), "its page still shows them"
        server.set_lot(LOT, "none_yet")
        assert (listed(server), server.photos(LOT)) == ({"imgCount": 0, "lotImages": []}, [])
        server.set_lot(LOT, "gone")
        assert (ask(server.list_url(LOT)).status, server.photos(LOT)) == (404, [])
        server.set_lot(LOT, "listed")
        assert len(server.photos(LOT)) == count
        with pytest.raises(ValueError, match="unknown state 'sold'"):
            server.set_lot(LOT, "sold")  # type: ignore[arg-type]

    @pytest.mark.parametrize("known", [{LOT}, lambda lot: lot == LOT])
    def test_an_unknown_lot_has_no_list(self, known: Any) -> None:
        with PhotoServer(known=known) as server:
            assert [ask(server.list_url(lot)).status for lot in (LOT, LOT + 1)] == [200, 404]
            stranger = PhotoLots(empty_every=0, none_every=0).photos(LOT + 1, cdn=server.cdn_url)[0][2]
            assert ask(stranger).status == 404

    def test_a_shift_moves_the_numbers_and_keeps_the_urls(self, server: PhotoServer) -> None:
        before = server.photos(LOT)
        server.shift(LOT)
        after = server.photos(LOT)
        assert [(seq - 1, variant, url) for seq, variant, url in after[1:]] == before
        assert ask(after[0][2]).status == 200
        server.add_photo(LOT)
        assert server.photos(LOT)[:-1] == after
        assert ask(server.photos(LOT)[-1][2]).status == 200

    def test_every_client_without_a_cookie_gets_one(self, server: PhotoServer) -> None:
        cookie = ask(server.list_url(LOT)).headers["set-cookie"].split(";")[0]
        assert cookie.startswith(f"{VISITOR}=")
        assert "set-cookie" not in ask(server.list_url(LOT), Cookie=cookie).headers
        assert [request.cookies.get(VISITOR) for request in server.requests] == [None, cookie.partition("=")[2]]


class TestThePhotos:
    def test_they_are_whole_jpegs_of_the_right_weight(self, server: PhotoServer) -> None:
        for lot in range(LOT, LOT + 8):
            for image in listed(server, lot)["lotImages"]:
                if image["sequence"] >= SOUND:
                    continue
                for link in image["link"]:
                    answer = ask(link["url"].strip())
                    least, most = SIZES[link["url"].strip()[-7:-4]]
                    assert least <= len(answer.body) <= most
                    assert answer.headers["content-type"] == "image/jpeg"
                    assert decoded(answer.body).format == "JPEG"
                    assert answer.body == server.photo(link["url"])

    def test_no_two_are_the_same_and_each_stays_the_same(self, server: PhotoServer) -> None:
        urls = [url for lot in range(LOT, LOT + 20) for _, _, url in server.photos(lot)]
        hashes = {hashlib.sha256(server.photo(url)).digest() for url in urls}
        assert len(hashes) == len(urls) == len(set(urls))
        with PhotoServer(empty_every=0, none_every=0) as other:
            assert all(other.photo(url) == server.photo(url) for url in urls)

    def test_a_client_that_has_it_gets_304(self, server: PhotoServer, photo: str) -> None:
        known = ask(photo).headers
        assert "max-age" in known["cache-control"]
        assert ask(photo, If_None_Match=known["etag"]).status == 304
        assert ask(photo, If_Modified_Since=known["last-modified"]).status == 304

    def test_what_there_is_not_is_404(self, server: PhotoServer, photo: str) -> None:
        assert ask(photo.replace("_hrs", "_xxl")).status == 404
        assert ask(f"{server.cdn_url}/v1/AUTH_svc.pdoc00001/lpp/0726/{'0' * 32}_hrs.jpg").status == 404
        without_hd = next(
            url for lot in range(LOT, LOT + 40) for _, variant, url in server.photos(lot) if variant == "ful"
        )
        assert ask(without_hd).status == 200
        assert ask(without_hd.replace("_ful", "_hrs")).status == 404
        with pytest.raises(KeyError):
            server.photo(without_hd.replace("_ful", "_hrs"))

    def test_a_vehicle_that_is_back_has_the_same_photos_under_other_urls(self) -> None:
        with PhotoServer(alias={LOT + 1: LOT}, empty_every=0, none_every=0) as server:
            first, second = server.photos(LOT), server.photos(LOT + 1)
            assert not {url for _, _, url in first} & {url for _, _, url in second}
            assert [ask(url).body for _, _, url in first] == [ask(url).body for _, _, url in second]
            server.add_photo(LOT + 1)
            assert ask(server.photos(LOT + 1)[-1][2]).body not in [ask(url).body for _, _, url in first]

    def test_sounds_and_videos_are_there_for_whoever_asks(self, server: PhotoServer) -> None:
        for ending, content_type in ((".mp3", "audio/mpeg"), ("_vful.mp4", "video/mp4")):
            urls = (
                link["url"].strip()
                for lot in range(LOT, LOT + 200)
                for image in server.lots.listing(lot, cdn=server.cdn_url)["lotImages"]
                for link in image["link"]
            )
            answer = ask(next(url for url in urls if url.endswith(ending)))
            assert (answer.status, answer.headers["content-type"]) == (200, content_type)
            assert server.requests[-1].kind == "recording"


class TestTheSite:
    def test_a_member_logs_in_and_sees_a_lot(self, server: PhotoServer) -> None:
        answer = log_in(server)
        assert (answer.status, answer.headers["location"]) == (302, "/dashboard")
        cookie = answer.headers["set-cookie"].split(";")[0]
        assert ask(f"{server.site_url}/dashboard", Cookie=cookie).status == 200
        page = ask(server.lot_url(LOT), Cookie=cookie)
        assert page.status == 200
        assert b"_thb.jpg" not in page.body, "a script builds the gallery"
        assert (server.site.attempts, server.site.logins) == (1, 1)
        assert server.site.sessions_seen == [cookie.partition("=")[2]]

    @pytest.mark.parametrize(("username", "password"), [(USERNAME, "wrong"), ("nobody", PASSWORD), ("", "")])
    def test_nobody_else_does(self, server: PhotoServer, username: str, password: str) -> None:
        answer = log_in(server, username, password)
        assert (answer.status, "set-cookie" in answer.headers) == (200, False)
        assert WRONG_CREDENTIALS.encode() in answer.body
        assert (server.site.attempts, server.site.logins) == (1, 0)

    @pytest.mark.parametrize("cookie", ["", f"{SESSION}=invented"])
    def test_strangers_are_sent_to_the_login(self, server: PhotoServer, cookie: str) -> None:
        for path in ("/dashboard", f"/lot/{LOT}"):
            answer = ask(server.site_url + path, Cookie=cookie)
            assert (answer.status, answer.headers["location"]) == (302, "/login")

    def test_sessions_end_on_demand(self, server: PhotoServer) -> None:
        cookie = session(server)
        server.site.expire_sessions()
        assert ask(server.lot_url(LOT), Cookie=cookie).status == 302

    def test_a_lot_that_left_has_no_page(self, server: PhotoServer) -> None:
        server.set_lot(LOT, "gone")
        assert ask(server.lot_url(LOT), Cookie=session(server)).status == 404

    def test_robots_and_what_a_browser_need_not_load(self, server: PhotoServer) -> None:
        robots = ask(f"{server.site_url}/robots.txt").body.decode()
        assert {"Disallow: /public/data/", "Disallow: /downloadSalesData", "Disallow: /lotSearchResults/"} < set(
            robots.splitlines()
        )
        page = ask(server.login_url).body.decode()
        assert all(path in page and ask(server.site_url + path).status == 200 for path in STATIC)

    def test_neither_password_nor_form_is_kept(self, server: PhotoServer) -> None:
        log_in(server)
        assert PASSWORD not in repr(server.requests)
        assert PASSWORD not in ask(f"{server.api_url}/control/requests").body.decode()

    def test_unknown_choices_are_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown consent"):
            PhotoServer(consent="sideways")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="unknown layout"):
            PhotoServer(layout="mosaic")  # type: ignore[arg-type]


class TestWhatIsRecorded:
    def test_every_request_with_its_host_time_and_connection(self, server: PhotoServer, photo: str) -> None:
        before = time.monotonic()
        for url in (server.list_url(LOT, country="ca", yard=42), photo, server.login_url):
            ask(url, User_Agent="test")
        asked = server.requests
        assert [(r.host, r.kind, r.lot, r.status) for r in asked] == [
            ("api", "list", LOT, 200),
            ("cdn", "photo", LOT, 200),
            ("site", "login", None, 200),
        ]
        assert asked[0].query == {"country": "ca", "brand": "cprt", "yardNumber": "42"}
        assert asked[0].headers["user-agent"] == "test"
        assert before <= asked[0].at <= asked[1].at <= asked[2].at <= time.monotonic()
        assert len({r.peer_port for r in asked}) == 3
        server.clear_requests()
        assert server.requests == []

    def test_also_what_is_not_there(self, server: PhotoServer) -> None:
        for url in (server.api_url, server.cdn_url, server.site_url):
            assert ask(f"{url}/public/data/x").status == 404
        assert [(r.host, r.kind, r.path, r.status) for r in server.requests] == [
            (host, "other", "/public/data/x", 404) for host in ("api", "cdn", "site")
        ]

    def test_the_hosts_are_three(self, server: PhotoServer) -> None:
        hosts = {urlsplit(url).netloc for url in (server.api_url, server.cdn_url, server.site_url)}
        assert len(hosts) == 3
        assert set(server.image_hosts.split(",")) < hosts
        assert urlsplit(server.site_url).netloc not in server.image_hosts

    def test_only_loopback_is_served(self) -> None:
        with pytest.raises(ValueError, match="loopback only"):
            PhotoServer(host="0.0.0.0")

    def test_a_taken_port_is_an_error_of_the_caller(self, server: PhotoServer) -> None:
        with pytest.raises(OSError, match="address already in use"):
            PhotoServer(site_port=server.ports["site"]).start()


class TestControl:
    def test_faults_over_http(self, server: PhotoServer, photo: str) -> None:
        control = f"{server.api_url}/control/fault"
        order = {"name": "forbidden_403", "times": 1, "host": "cdn", "lots": [LOT]}
        assert ask(control, method="POST", body=json.dumps(order)).status == 200
        assert [ask(server.list_url(LOT)).status, ask(photo).status, ask(photo).status] == [200, 403, 200]
        ask(control, method="POST", body=json.dumps({"name": "photo_404"}))
        assert ask(photo).status == 404
        ask(control, method="DELETE")
        assert ask(photo).status == 200
        asked = json.loads(ask(f"{server.api_url}/control/requests").body)
        assert [request["fault"] for request in asked] == [None, "forbidden_403", None, "photo_404", None]
        ask(f"{server.api_url}/control/requests", method="DELETE")
        assert server.requests == []

    def test_lots_over_http(self, server: PhotoServer) -> None:
        control, before = f"{server.api_url}/control/lot", len(server.photos(LOT))
        for change in ("shift", "add_photo"):
            ask(control, method="POST", body=json.dumps({"lot": LOT, "change": change}))
        assert len(server.photos(LOT)) == before + 2
        answer = ask(control, method="POST", body=json.dumps({"lot": LOT, "state": "none_yet"}))
        assert json.loads(answer.body) == {"lot": LOT, "photos": 0}
        for wrong in ("[]", "{}", '{"lot": 1, "state": "sold"}', '{"lot": 1, "change": "paint"}', "x"):
            assert ask(control, method="POST", body=wrong).status == 400

    @pytest.mark.parametrize(
        "order",
        [
            {},
            {"name": "nonsense"},
            {"name": "tarpit", "options": {"speed": 3}},
            {"name": "reset", "times": 0},
            {"name": "reset", "host": "ftp"},
            {"name": "bad_json", "host": "cdn"},
        ],
    )
    def test_a_wrong_order_is_refused_and_changes_nothing(self, server: PhotoServer, order: object) -> None:
        assert ask(f"{server.api_url}/control/fault", method="POST", body=json.dumps(order)).status == 400
        assert listed(server)["imgCount"] > 0


@dataclass
class Case:
    """A fault of a plain HTTP answer: what it is asked for, and what must be seen."""

    name: str
    target: str
    status: int
    contains: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


ANYWHERE = ("list", "photo", "lot", "login", "dashboard")
CASES = [
    *(Case("forbidden_403", target, 403, b"Access denied") for target in ANYWHERE),
    *(Case("rate_limited_429", target, 429, headers={"retry-after": "30"}) for target in ANYWHERE),
    Case("rate_limited_429", "list", 429, headers={"retry-after": "7"}, options={"retry_after": 7}),
    *(
        Case("challenge_200", target, 200, REFUSALS[kind].encode(), options={"kind": kind})
        for target in ANYWHERE
        for kind in ("incapsula", "interruption", "captcha")
    ),
    *(Case("server_error_500", target, 500) for target in ANYWHERE),
    *(Case("server_error_503", target, 503) for target in ANYWHERE),
    Case("html_for_json", "list", 200, b"<!DOCTYPE html>", {"content-type": "text/html; charset=utf-8"}),
    Case("redirect_private", "list", 302, headers={"location": "http://169.254.169.254/latest/meta-data/"}),
    Case("redirect_private", "photo", 302, headers={"location": "http://10.0.0.8/x"}, options={"target": "http://10.0.0.8/x"}),
    Case("empty_list", "list", 200, b'"lotImages": []'),
    Case("none_yet", "list", 200, b'{"imgCount": 0, "lotImages": []}'),
    Case("not_photos", "list", 200, b'"imagesList"'),
    Case("not_photos", "list", 200, b"[]", options={"shape": "list"}),
    Case("not_photos", "list", 200, b'"lotImages": "none"', options={"shape": "text"}),
    Case("gone_404", "list", 404),
    Case("gone_404", "lot", 404, b"no longer available"),
    Case("photo_404", "photo", 404),
    Case("wrong_type", "photo", 200, b"GIF8", {"content-type": "image/jpeg"}),
    Case("wrong_type", "photo", 200, b"<html>", {"content-type": "image/jpeg"}, {"kind": "html"}),
    Case("wrong_type", "photo", 200, b"Not found", {"content-type": "image/jpeg"}, {"kind": "text"}),
    Case("captcha_login", "login", 200, REFUSALS["captcha"].encode()),
]  # fmt: skip


class TestFaults:
    def url(self, server: PhotoServer, target: str) -> str:
        return {
            "list": server.list_url(LOT),
            "photo": server.photos(LOT)[1][2],
            "lot": server.lot_url(LOT),
            "login": server.login_url,
            "dashboard": f"{server.site_url}/dashboard",
        }[target]

    @pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.target}")
    def test_what_a_client_sees(self, server: PhotoServer, case: Case) -> None:
        url, cookie = self.url(server, case.target), session(server)
        usual = ask(url, Cookie=cookie)
        server.fault(case.name, times=1, **case.options)
        answer = ask(url, Cookie=cookie)
        assert answer.status == case.status
        assert case.contains in answer.body
        assert case.headers.items() <= answer.headers.items()
        assert server.requests[-1].fault == case.name
        assert server.requests[-1].status == case.status
        assert ask(url, Cookie=cookie).body == usual.body, "then all is well again"

    @pytest.mark.parametrize("target", ["list", "photo"])
    def test_tarpit(self, server: PhotoServer, target: str) -> None:
        server.fault("tarpit", every=0.2)
        parts = urlsplit(self.url(server, target))
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        connection.request("GET", parts.path)
        response = connection.getresponse()
        began = time.monotonic()
        assert (response.status, len(response.read(3))) == (200, 3)
        assert 0.3 < time.monotonic() - began < 3
        connection.close()

    def test_tarpit_ends_when_it_is_told_to(self, server: PhotoServer) -> None:
        server.fault("tarpit", every=0.05, seconds=0.2)
        with pytest.raises(http.client.IncompleteRead):
            ask(server.list_url(LOT))

    @pytest.mark.parametrize("target", ["list", "photo", "login"])
    @pytest.mark.parametrize("at", [0, 0.5])
    def test_reset(self, server: PhotoServer, target: str, at: float) -> None:
        server.fault("reset", at=at)
        with pytest.raises(ConnectionResetError):
            ask(self.url(server, target))

    @pytest.mark.parametrize("target", ["list", "photo"])
    def test_truncated_length(self, server: PhotoServer, target: str) -> None:
        whole = ask(self.url(server, target)).body
        server.fault("truncated_length", times=1)
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(self.url(server, target))
        assert whole.startswith(caught.value.partial)
        assert len(caught.value.partial) + (caught.value.expected or 0) == len(whole)

    def test_truncated_jpeg(self, server: PhotoServer, photo: str) -> None:
        server.fault("truncated_jpeg")
        answer = ask(photo)
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert server.photo(photo).startswith(answer.body)
        with pytest.raises(OSError, match="truncated"):
            decoded(answer.body)

    def test_png_bomb(self, server: PhotoServer, photo: str) -> None:
        server.fault("png_bomb")
        answer = ask(photo)
        assert len(answer.body) < 1000
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(answer.body))
        server.clear_faults()
        server.fault("png_bomb", width=9000, height=9000)
        assert Image.open(io.BytesIO(ask(photo).body)).size == (9000, 9000)

    def test_bombs_are_small_and_decode(self, server: PhotoServer, photo: str) -> None:
        server.fault("slow_jpeg", 1, width=256, height=256, scans=40)
        answer = ask(photo)
        assert answer.body.count(b"\xff\xda") == 40
        assert decoded(answer.body).size == (256, 256)
        server.fault("small_webp", 1, width=512, height=256)
        answer = ask(photo)
        assert len(answer.body) < 100
        assert decoded(answer.body).size == (512, 256)

    def test_multi_picture_is_whole_or_cut_behind_the_first(self, server: PhotoServer, photo: str) -> None:
        server.fault("multi_picture", 1)
        whole = decoded(ask(photo).body)
        assert (whole.format, getattr(whole, "n_frames", 1)) == ("MPO", 2)
        server.fault("multi_picture", 1, at=0.99, kind="image/*")
        answer = ask(photo)
        assert answer.headers["content-type"] == "image/*"
        assert decoded(answer.body).size == whole.size, "the first picture is there"
        assert not answer.body.endswith(b"\xff\xd9")

    def test_other_name(self, server: PhotoServer, photo: str) -> None:
        server.fault("other_name", kind="image/pjpeg")
        answer = ask(photo)
        assert (answer.headers["content-type"], answer.body) == ("image/pjpeg", server.photo(photo))

    def test_wrong_type_is_no_photo(self, server: PhotoServer, photo: str) -> None:
        server.fault("wrong_type", kind="text")
        with pytest.raises(UnidentifiedImageError):
            decoded(ask(photo).body)

    @pytest.mark.parametrize("kind", ["png", "webp"])
    def test_mislabelled_is_a_photo_all_the_same(self, server: PhotoServer, kind: str) -> None:
        server.fault("mislabelled", kind=kind)
        answers = [ask(url) for _, _, url in server.photos(LOT)]
        assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
        assert {decoded(answer.body).format for answer in answers} == {kind.upper()}
        assert len({answer.body for answer in answers}) == len(answers)

    def test_tiny_image(self, server: PhotoServer, photo: str) -> None:
        server.fault("tiny_image")
        assert decoded(ask(photo).body).size == (1, 1)

    @pytest.mark.parametrize("announced", [False, True])
    def test_huge_body(self, server: PhotoServer, photo: str, announced: bool) -> None:
        server.fault("huge_body", announced=announced)
        parts = urlsplit(photo)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        connection.request("GET", parts.path)
        response = connection.getresponse()
        assert (response.getheader("Content-Length") == "10000000000") == announced
        assert len(response.read(5_000_000)) == 5_000_000
        connection.close()

    def test_redirect_to_another_host_that_would_even_answer(self, server: PhotoServer, photo: str) -> None:
        server.fault("redirect_host", times=1)
        location = ask(photo).headers["location"]
        assert location == photo.replace("127.0.0.1", "localhost")
        assert ask(location.replace("localhost", "127.0.0.1")).body == server.photo(photo)
        server.fault("redirect_host", target="https://elsewhere.invalid/x.jpg")
        assert ask(photo).headers["location"] == "https://elsewhere.invalid/x.jpg"

    @pytest.mark.parametrize("target", ["list", "photo", "lot"])
    def test_redirect_login(self, server: PhotoServer, target: str) -> None:
        server.fault("redirect_login")
        location = ask(self.url(server, target)).headers["location"]
        assert location == server.login_url
        assert b'id="username"' in ask(location).body

    def test_bad_json(self, server: PhotoServer) -> None:
        server.fault("bad_json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(ask(server.list_url(LOT)).body)

    def test_shifted_sequence_in_one_answer(self, server: PhotoServer) -> None:
        def numbers() -> dict[str, int]:
            images = listed(server)["lotImages"]
            return {image["link"][0]["url"][-40:-8]: image["sequence"] for image in images if image["sequence"] < SOUND}

        before = numbers()
        server.fault("shifted_sequence", times=1)
        during = numbers()
        assert {name: during[name] - 1 for name in before} == before
        assert len(during) == len(before) + 1
        assert numbers() == before

    def test_expired_login(self, server: PhotoServer) -> None:
        cookie = session(server)
        server.fault("expired_login", times=1)
        for _ in range(2):
            answer = ask(server.lot_url(LOT), Cookie=cookie)
            assert (answer.status, answer.headers["location"]) == (302, "/login")
        assert ask(server.lot_url(LOT), Cookie=session(server)).status == 200

    def test_login_broken(self, server: PhotoServer) -> None:
        server.fault("login_broken", times=1)
        answer = log_in(server)
        assert (answer.status, "set-cookie" in answer.headers) == (200, False)
        assert LOGIN_BROKEN.encode() in answer.body
        assert log_in(server).status == 302

    def test_a_fault_waits_for_the_request_it_is_meant_for(self, server: PhotoServer, photo: str) -> None:
        server.fault("forbidden_403", times=1, lots=[LOT + 1])
        server.fault("server_error_503", times=1, host="cdn")
        server.fault("server_error_500", times=1)
        statuses = [ask(url).status for url in (server.list_url(LOT), photo, server.list_url(LOT + 1))]
        assert statuses == [500, 503, 403]
        assert [ask(url).status for url in (server.list_url(LOT), photo, server.list_url(LOT + 1))] == [200, 200, 200]

    def test_every_fault_has_its_test(self) -> None:
        alone = {
            "tarpit", "reset", "truncated_length", "truncated_jpeg", "png_bomb", "mislabelled", "tiny_image",
            "huge_body", "redirect_host", "redirect_login", "bad_json", "shifted_sequence", "expired_login",
            "login_broken", "slow_jpeg", "small_webp", "multi_picture", "other_name",
        }  # fmt: skip
        assert set(FAULT_NAMES) == alone | {case.name for case in CASES}

    @pytest.mark.parametrize("name", ["tarpit", "huge_body"])
    def test_the_server_stops_in_the_middle_of_an_answer(self, name: str) -> None:
        server = PhotoServer(empty_every=0, none_every=0)
        server.start()
        server.fault(name)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, server.photos(LOT)[0][2])
            while not server.requests or not server.requests[0].status:
                time.sleep(0.01)
            server.stop()
            with pytest.raises((http.client.HTTPException, OSError)):
                answer.result(20)


class TestTheFeedNamesIt:
    def test_every_lot_points_at_the_stand_in(self, server: PhotoServer) -> None:
        market = Market(seed=1, lots=300, photo_base=server.api_url, thumbnail_base=server.cdn_url)
        market.advance(gone=0.2)
        market.advance(relisted=0.1, changed=1.0)
        rows = [dict(zip(HEADERS["2026"][0], record, strict=True)) for record in market.records()]
        for row in rows:
            lot, thumbnail, yard = int(row["Lot number"]), row["Image Thumbnail"], int(row["Yard number"])
            country = "ca" if row["Location country"] == "CAN" else "us"
            assert row["Image URL"] == server.list_url(lot, country=country, yard=yard)
            name = thumbnail.removeprefix(server.cdn_url.removeprefix("http://"))
            assert name == server.lots.pictures(lot)[0].path("thb")
        assert ask(f"http://{thumbnail}").status == 200

    def test_nothing_else_in_it_changes(self, server: PhotoServer) -> None:
        plain = Market(seed=1, lots=300).records()
        aimed = Market(seed=1, lots=300, photo_base=server.api_url, thumbnail_base=server.cdn_url).records()
        for row, other in zip(plain, aimed, strict=True):
            differing = [name for name, a, b in zip(HEADERS["2026"][0], row, other, strict=True) if a != b]
            assert differing == ["Image Thumbnail", "Image URL"]

    def test_on_the_command_line(self, tmp_path: Path, server: PhotoServer, capsys: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "sales.csv"
        order = ["write", str(target), "--rows", "5", "--photo-url", server.api_url, "--thumbnail-url", server.cdn_url]
        assert feed.main(order) == 0
        text = target.read_text(encoding="utf-8")
        assert text.count(server.api_url) == text.count(server.cdn_url.removeprefix("http://")) == 5
        assert capsys.readouterr().out


class TestCommandLine:
    def test_serve_says_where_and_stops_cleanly(self) -> None:
        environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(Path(photos.__file__).parents[1])}
        command = [sys.executable, "-W", "error", "-m", "standin.photos", "serve", "--alias", f"{LOT + 1}={LOT}"]
        command += ["--empty-every", "0", "--none-every", "0", "--password", PASSWORD]
        with child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline().decode()
            told = json.loads(line)
            assert told.keys() == {"api_url", "cdn_url", "site_url", "login_url", "image_hosts"}
            assert PASSWORD not in line
            lots = PhotoLots(alias={LOT + 1: LOT}, empty_every=0, none_every=0)
            bodies = [ask(lots.photos(lot, cdn=told["cdn_url"])[0][2]).body for lot in (LOT, LOT + 1)]
            assert bodies[0] == bodies[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stderr.read() == b""

    def test_a_host_that_is_not_loopback_is_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert photos.main(["serve", "--host", "0.0.0.0"]) == 1
        assert "loopback only" in capsys.readouterr().err


SELECTORS = {
    "galleria": (".image-galleria_wrap .thumbnailImg[full-url]", "full-url"),
    "slides": (".image-gallery-slide img", "src"),
    "data-src": (".lot-image-gallery img", "data-src"),
    "data-original": (".lot-image-gallery img", "data-original"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium, or set CHROMIUM_PATH")
class TestInABrowser:
    @pytest.mark.parametrize("consent", ["before", "after", "both", "none"])
    def test_login_with_the_popup_and_every_gallery(self, browser: Any, consent: Any) -> None:
        from playwright.sync_api import Error

        with PhotoServer(username=USERNAME, password=PASSWORD, consent=consent, empty_every=0, none_every=0) as server:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.goto(server.login_url)
            if consent in ("before", "both"):
                page.wait_for_selector(".fc-consent-root")
                with pytest.raises(Error, match="intercepts pointer events"):
                    page.click('button[data-uname="loginSigninmemberbutton"]', timeout=1000)
                page.click("button.fc-cta-consent")
            page.fill("input#username", USERNAME)
            page.fill("input#password", PASSWORD)
            page.click('button[data-uname="loginSigninmemberbutton"]')
            page.wait_for_url("**/dashboard")
            if consent in ("after", "both"):
                page.click("button.fc-cta-consent")
            for lot in range(LOT, LOT + len(LAYOUTS)):
                response = page.goto(server.lot_url(lot))
                assert response.status == 200
                selector, attribute = SELECTORS[server.site.layout(lot)]
                page.wait_for_selector(selector, state="attached")
                found = [node.get_attribute(attribute) for node in page.query_selector_all(selector)]
                names = [picture.name for picture in server.lots.pictures(lot)]
                assert [url.rpartition("/")[2].partition("_")[0] for url in found] == names
                assert page.query_selector(".fc-consent-root") is None
            context.close()
            assert server.site.logins == 1
            assert {request.path for request in server.requests if request.kind == "static"} == set(STATIC)

    def test_blocked_files_are_not_asked_for(self, browser: Any, server: PhotoServer) -> None:
        context = browser.new_context()
        unwanted = ("image", "font", "media")
        context.route(
            "**/*", lambda route: route.abort() if route.request.resource_type in unwanted else route.continue_()
        )
        page = context.new_page()
        page.goto(server.login_url)
        page.wait_for_selector(".fc-consent-root")
        context.close()
        assert {request.kind for request in server.requests} == {"login"}
