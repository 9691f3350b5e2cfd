"""Scrapy's settings: only those that differ from the default, each with its reason. Those of the pace are in pace.py.

No secret is among them, as Scrapy prints its settings. Components read secrets from `vinops.config` themselves.
"""

from __future__ import annotations

import sys

from vinops import config
from vinops_scrapy.copart import browser

try:
    _settings = config.load()
except config.ConfigError as error:
    sys.exit(f"scrapy: {error}")

BOT_NAME = "vinops"
SPIDER_MODULES = ["vinops_scrapy.spiders"]
NEWSPIDER_MODULE = "vinops_scrapy.spiders"
COMMANDS_MODULE = "vinops_scrapy.commands"  # a crawl that was blocked must not exit 0

# Our own, to be given with -s NAME=value; their defaults come from the environment.
VINOPS_PACE = _settings.pace
VINOPS_CLOCK_SPEED = _settings.clock_speed  # gaps are divided by it: for stand-ins only, as pace none
VINOPS_DAILY_REQUESTS = _settings.daily_requests
VINOPS_SESSION_LOTS = _settings.session_lots
VINOPS_SESSION_PAUSE = _settings.session_pause
VINOPS_BREAKER_REFUSALS = _settings.breaker_refusals
VINOPS_STANDIN = ""  # a stand-in of the site on loopback, for spiders that have no setting of their own
VINOPS_CLAIM_SECONDS = 120.0  # how long a make stays claimed by a crawl that died; one at work extends it every 30
VINOPS_STILL_SECONDS = 300.0  # a request that times out three times takes 180: without anything for longer, it hangs

ADDONS = {"vinops_scrapy.pace.PaceAddon": 0}

LOG_LEVEL = _settings.log_level
LOG_ENABLED = False  # vinops.logs writes them: one format, secrets masked
ASYNCIO_EVENT_LOOP = "uvloop.Loop"  # 0.2 ms of processor a photo less than asyncio's own (bench/README.md)
TELNETCONSOLE_ENABLED = False  # both would open a port
REMOTE_CONTROL_ENABLED = False

USER_AGENT = _settings.user_agent  # plain requests say who asks; the browser is a browser
TWISTED_DNS_RESOLVER = "vinops_scrapy.resolver.OpenInternetResolver"  # no name may lead into this network
ROBOTSTXT_OBEY = True  # pages of the site; lists and photos are addresses that the feed hands to members
COOKIES_ENABLED = True  # a session is a cookie jar

CONCURRENT_ITEMS = 8  # each is a task: the default of 100 nearly halves the rate of requests
DOWNLOAD_TIMEOUT = 60  # seconds, the whole answer: a tarpit sends a byte now and then for ever
DOWNLOAD_MAXSIZE = 20_000_000  # bytes; ten times the largest photo seen
DOWNLOAD_WARNSIZE = 0
DOWNLOAD_DELAY_JITTER = 0  # the budget keeps the gaps; jitter would make the mean gap longer than it
REDIRECT_MAX_TIMES = 5
RETRY_TIMES = 2
RETRY_HTTP_CODES = [500, 502, 503, 504, 522, 524, 408]  # without 429: a refusal is not asked again

# Middlewares that nothing here needs: each costs time for every request.
SPIDER_MIDDLEWARES = {
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
    "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware": None,
}

DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
    "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
    # Requests pass from the low numbers to the high, responses from the high to the low.
    "vinops_scrapy.middlewares.allowed_hosts.AllowedHosts": 50,  # first: the hops of a redirect start anew here
    "vinops_scrapy.middlewares.proxies.RotatingProxies": 580,
    "vinops_scrapy.middlewares.proxies.BanDetection": 585,
    # Between unpacking and redirects: it reads bodies, and sees the redirect to the login before it is followed.
    "vinops_scrapy.middlewares.refusals.Refusals": 610,
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": 620,
    "vinops_scrapy.middlewares.cookies.Cookies": 700,  # Scrapy's place and its work, without requests of its own
    "vinops_scrapy.middlewares.budget.Budget": 900,  # last: nothing may delay a request after its place in the budget
}

EXTENSIONS = {
    "scrapy.extensions.throttle.AutoThrottle": None,
    "vinops_scrapy.extensions.throttle.SlotThrottle": 0,
    "scrapy.extensions.memusage.MemoryUsage": None,  # a unit's MemoryMax does that
    "scrapy.extensions.logstats.LogStats": None,  # the heartbeat says more
    "vinops_scrapy.extensions.progress.Progress": 0,
    "vinops_scrapy.extensions.watchdog.Watchdog": 0,
    "vinops_scrapy.extensions.shortfall_alert.ShortfallAlert": 0,
    "scrapy.extensions.corestats.CoreStats": None,
    "vinops_scrapy.extensions.single_ads.AdStats": 0,  # a list page is one item
    "scrapy.extensions.feedexport.FeedExporter": None,
    "vinops_scrapy.extensions.single_ads.AdExporter": 0,
}


globals().update(browser.scrapy_playwright_settings(_settings))
