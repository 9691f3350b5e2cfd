"""What the photo crawl is compared with: Scrapy's own media pipelines, and Scrapy that only asks.

    python -m bench.photo_spiders files|images|requests LISTS [STORE]

LISTS is a file with the address of a photo list in each line. `files` and `images` keep the photos with that pipeline
in STORE, a folder or s3://… (then with the AWS_… variables), `requests` drops them. Concurrency is that of the crawl
unpaced; what is not named here is as Scrapy comes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response

SETTINGS: dict[str, Any] = {
    "CONCURRENT_REQUESTS": 16,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "CONCURRENT_ITEMS": 8,
    "LOG_LEVEL": "WARNING",
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "MEDIA_ALLOW_REDIRECTS": True,
}
PIPELINES = {
    "files": {"ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1}},
    "images": {"ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1}},
    "requests": {},
}
SIZES = ("hrs", "ful")
"""The suffixes of photos in a list, best first."""


class Photos(scrapy.Spider):
    """Asks for each list and hands its photos, each in its best size, to the pipeline, or asks for them itself."""

    name = "photos"

    def __init__(self, *, lists: Path, field: str, **arguments: Any) -> None:
        """Give the addresses to the item's field of that name; without one, ask for them here."""
        super().__init__(**arguments)
        self.lists = lists.read_text(encoding="utf-8").split()
        self.field = field

    async def start(self) -> AsyncIterator[Any]:
        """Yield the request for each list."""
        for address in self.lists:
            yield scrapy.Request(address, dont_filter=True)

    def parse(self, response: Response) -> Iterator[Any]:
        """Yield what a list asks for."""
        urls = list(best(response.json()))  # type: ignore[attr-defined]
        if self.field:
            yield {self.field: urls}
        else:
            yield from (scrapy.Request(url, callback=self.drop, dont_filter=True, priority=1) for url in urls)

    def drop(self, response: Response) -> None:
        """Do nothing with a photo."""


def best(listing: dict[str, Any]) -> Iterator[str]:
    """Yield the address of each photo of a list."""
    for image in listing["lotImages"]:
        found = {
            size: link["url"].strip()
            for link in image["link"]
            for size in SIZES
            if link["url"].strip().endswith(f"_{size}.jpg") and not link.get("isBlurred")
        }
        yield from [found[size] for size in SIZES if size in found][:1]


def main(kind: str, lists: Path, store: str = "") -> int:
    """Crawl; 1 if something went wrong on the way."""
    account = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    settings = {**SETTINGS, **PIPELINES[kind], **account, "FILES_STORE": store, "IMAGES_STORE": store}
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(Photos)
    process.crawl(crawler, lists=lists, field={"files": "file_urls", "images": "image_urls"}.get(kind, ""))
    process.start()
    found = crawler.stats.get_stats()
    failed = {name: value for name, value in found.items() if "exception" in name or name.startswith("log_count/E")}
    if failed or found.get("finish_reason") != "finished":
        sys.stderr.write(f"{failed or found}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
