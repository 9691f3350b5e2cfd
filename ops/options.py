"""Callbacks of Typer's options. Apart from the commands: importing those of the workers loads Scrapy."""

from __future__ import annotations

import math

import typer


def finite(value: float | None) -> float | None:
    """Return the value of an option, for Typer's `callback`. Raises BadParameter for `nan` and `inf`, which its ranges
    let through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value
