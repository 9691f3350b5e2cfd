"""What promtool says of metrics, as far as ours go: https://prometheus.io/docs/practices/naming/"""

from __future__ import annotations

import re
from collections import Counter

NAME = re.compile(r"vinops_[a-z][a-z0-9_]*")
OTHER_UNITS = re.compile(r"_(milliseconds|minutes|hours|days|kilobytes|mb|percent)$")


def lint(text: str) -> list[str]:
    """Return what is malformed, a sentence each."""
    lines = text.splitlines()
    helps = dict(line.removeprefix("# HELP ").partition(" ")[::2] for line in lines if line.startswith("# HELP "))
    kinds = [line.removeprefix("# TYPE ").split() for line in lines if line.startswith("# TYPE ")]
    samples = [line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")]
    known = {name for name, _ in kinds}
    found = [f"{name}: its help is no sentence" for name, about in helps.items() if not about.endswith(".")]
    for name, kind in kinds:
        found += _of_name(name, kind, is_helped=name in helps)
    found += [f"{name} is there twice" for name, count in Counter(name for name, _ in kinds).items() if count > 1]
    found += [f"{series} is there twice" for series, count in Counter(samples).items() if count > 1]
    return found + [f"{each} has no type" for each in samples if each.partition("{")[0] not in known]


def _of_name(name: str, kind: str, *, is_helped: bool) -> list[str]:
    found = []
    if not is_helped:
        found.append(f"{name} has no help")
    if not NAME.fullmatch(name):
        found.append(f"{name} is no name")
    if (kind == "counter") is not name.endswith("_total"):
        found.append(f"{name}: a counter ends with _total, and nothing else does")
    if OTHER_UNITS.search(name):
        found.append(f"{name}: in seconds, bytes or ratios")
    return found
