"""Names of what the feed says of lots: damage, titles, states of the sale, events."""

from __future__ import annotations

from typing import Final


def _(text: str) -> str:
    """Mark a text for translation."""
    return text


NAMES: Final = {
    "damage": {
        "all over": _("all over"), "biohazard/chemical": _("biohazard or chemicals"), "burn": _("burn"),
        "burn - engine": _("burn: engine"), "burn - interior": _("burn: interior"),
        "damage history": _("damage history"), "frame damage": _("frame damage"), "front end": _("front end"),
        "hail": _("hail"), "mechanical": _("mechanical"), "minor dent/scratches": _("minor dents, scratches"),
        "missing/altered vin": _("VIN missing or altered"), "normal wear": _("normal wear"),
        "partial repair": _("partial repair"), "rear end": _("rear end"), "rejected repair": _("rejected repair"),
        "replaced vin": _("VIN replaced"), "rollover": _("rollover"), "side": _("side"), "stripped": _("stripped"),
        "top/roof": _("top, roof"), "undercarriage": _("undercarriage"), "vandalism": _("vandalism"),
        "water/flood": _("water, flood"),
    },
    "title_group": {
        "clean": _("clean title"), "salvage": _("salvage title"), "destruction": _("for destruction"),
        "other": _("other title"),
    },
    "runs": {"drives": _("runs and drives"), "starts": _("starts"), "unknown": _("unknown whether it runs")},
    "condition": {"run and drive": _("runs and drives"), "starts": _("starts")},
    "keys": {"yes": _("with keys"), "no": _("without keys"), "unknown": _("keys unknown")},
    "odometer_brand": {"actual": _("actual"), "not actual": _("not actual"), "exempt": _("exempt from reading")},
    "sale_status": {
        "pure sale": _("pure sale"), "minimum bid": _("minimum bid"), "on approval": _("on approval"),
    },
    "switch": {"yes": _("yes"), "no": _("no")},
    "lot_sort": {"sale": _("next sale first"), "new": _("newest first"), "bid": _("highest bid first")},
    "lot_gone": {"no": _("for sale only"), "also": _("also gone lots"), "only": _("gone lots only")},
    "lot_field": {
        "damage": _("Damage"), "title_group": _("Title"), "runs": _("Runs"), "keys": _("Keys"),
        "odometer_to": _("Mileage to"), "state": _("State"), "yard": _("Yard"), "sale": _("Sale"),
        "bid_to": _("Bid to"), "sale_within": _("Sale within"), "landed_to": _("Landed to"),
        "profit_from": _("Profit from"), "most_bid_from": _("Most bid from"), "at_bid_to": _("Price at the auction to"),
        "buy_now": _("Buy now"), "has_photos": _("Photos"), "gone": _("Gone lots"),
        "seller": _("Seller"),
    },
    "vehicle_type": {
        "car": _("passenger car"), "medium truck": _("medium truck"), "heavy truck": _("heavy truck"),
        "motorcycle": _("motorcycle"), "dirt bike": _("dirt bike"), "atv": _("ATV"), "rv": _("camper"),
        "bus": _("bus"), "snowmobile": _("snowmobile"), "boat": _("boat"), "jet ski": _("jet ski"),
        "industrial": _("industrial"), "misc": _("miscellaneous"), "trailer": _("trailer"),
    },
    "drive": {
        "fwd": _("front-wheel drive"), "rwd": _("rear-wheel drive"), "awd": _("all-wheel drive"),
        "4wd": _("four-wheel drive"), "2wd": _("two-wheel drive"),
    },
}  # fmt: skip
"""The texts by kind and value."""
