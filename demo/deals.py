"""The deals of the demo: a stand-in of Telegram, and the stages that lead to it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOKEN = "12345:stand-in"  # noqa: S105 # of the stand-in, which knows no other
CHANNEL = "@stand_in_deals"
CHAT = "telegram.json"  # in the folder of the demo: a later one finds the messages that are to be changed
POSTS = 10  # a second apart, as Telegram wants it


def start(environment: Mapping[str, str], folder: Path) -> tuple[subprocess.Popen[str], dict[str, str] | None]:
    """Start the stand-in of Telegram, with the messages of an earlier demo; return it and its addresses."""
    process = subprocess.Popen(
        [sys.executable, "-m", "standin.telegram", "serve", "--token", TOKEN, "--keep", CHAT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=dict(environment),
    )
    line = cast("IO[str]", process.stdout).readline()
    return process, json.loads(line) if line else None


def settings_of(addresses: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables with which deals go to the stand-in."""
    return {
        "TELEGRAM_API_URL": str(addresses["url"]),
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHANNEL_ID": CHANNEL,
        "VINOPS_DEALS_POSTS_AN_HOUR": str(POSTS),
    }


def command(environment: Mapping[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `vinops deals` command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", "deals", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=folder,
        env=dict(environment),
    )


def judged(posted: Sequence[str], ads: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many of the posted ads are bargains as the stand-in planted them, and how many are traps: crashed,
    or with a price that is none."""
    known = [ads[ad_id] for ad_id in posted if ad_id in ads]
    return {
        "bargains": sum(bool(ad["is_bargain"]) for ad in known),
        "traps": sum(bool(ad["is_damaged"]) or ad["oddity"] in ("placeholder", "lease_balance") for ad in known),
    }
