"""The error of a wrong argument of -a, in a module without Scrapy: commands that read the makes file import it."""

from __future__ import annotations

from vinops.config import ConfigError


class WrongArgument(ConfigError):  # noqa: N818
    """An argument of -a is unknown or makes no sense. Raised by spiders; `scrapy crawl` ends with exit code 2."""
