"""Mail addresses, accounts of messengers and handles in the texts of ads, however they are spelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vinops.text.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LOCAL: Final = 64  # characters before the @

_OPEN: Final = r"[(\[{<]\s?"
_CLOSE: Final = r"\s?[)\]}>]"
_AT_WORD: Final = r"(?:at|ет|кльомба|собака|маймун(?:ка|ско)(?:\s?[aа])?)"
_AT: Final = rf"\s?(?:@\s?|{_OPEN}(?:@|[aа]|{_AT_WORD}){_CLOSE}\s?)"
_DOT_WORD: Final = r"(?:dot|дот|точка)"
_DOT: Final = rf"(?:\.|\s\.\s?|\s?{_OPEN}(?:\.|{_DOT_WORD}){_CLOSE}\s?|\s{_DOT_WORD}\s)"
_PROVIDER: Final = (
    r"(?:abv|абв|gmail|джимейл|mail|yahoo|hotmail|outlook|icloud|dir|proton(?:mail)?|live|gbg|yandex|googlemail)"
)
_END: Final = r"(?:bg|бг|com|ком|net|нет|eu|org|info|de|ru|me|uk)(?!\w)"
_MAIL: Final = re.compile(
    rf"(?:{_AT}(?:{_PROVIDER}(?!\w)(?:(?:{_DOT}|\s){_END})?|[\w-]{{1,63}}(?:{_DOT}[\w-]{{2,24}}(?!\w)|\.[\w-]{{1,63}}){{1,4}})"
    # Without the sign the host must be one of the well-known, or its dot a word too.
    rf"|\s{_AT_WORD}\s(?:{_PROVIDER}(?!\w)(?:(?:{_DOT}|\s){_END})?|[\w-]{{1,63}}\s?[(\[{{<]?\s?{_DOT_WORD}{_CLOSE}?\s?{_END})"
    rf"|[\W_]{{1,4}}{_AT_WORD}[\W_]{{1,4}}{_PROVIDER}(?![^\W_])(?:[\W_]{{1,4}}(?:{_DOT_WORD}[\W_]{{1,4}})?{_END})?"
    rf"|[\W_]{{1,4}}{_PROVIDER}\.{_END})",
    re.IGNORECASE,
)
_HOSTS: Final = (
    ("t", "me"), ("telegram", "(?:me|dog|org)"), ("wa", "me"), ("viber", "(?:me|com|click)"), ("whatsapp", "com"),
    ("facebook", "com"), ("fb", "(?:com|me)"), ("m", "me"), ("instagram", "com"), ("ig", "me"), ("tiktok", "com"),
    ("linktr", "ee"), ("signal", "(?:me|group)"), ("vk", "com"), ("discord", "gg"), ("messenger", "com"),
)  # fmt: skip
_HOST: Final = "|".join(f"{name}{_DOT}{end}" for name, end in _HOSTS)
_REST: Final = r"[^\s<>\"']{1,200}(?<![.,;:!?)])"
_ACCOUNT: Final = re.compile(
    rf"(?<![\w.])(?:(?:viber|whatsapp|tg|skype|sgnl|signal|tel|sms|mailto|callto)\s?:\s?[/\\]{{1,2}}\s?{_REST}"
    rf"|(?:mailto|callto|skype):{_REST}"
    rf"|(?:https?\s?:\s?[/\\]{{1,2}}\s?)?(?:[a-z]{{1,8}}\.)?(?:{_HOST})\s?[/\\]\s?{_REST})",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"(?<![\w.])(?:skype|скайп|instagram|инстаграм|insta|инста|telegram|телеграм|facebook|фейсбук|fb|tiktok|тикток|messenger"
    r"|месинджър|viber|вайбър|whatsapp|tg|тг)(?:\s(?:акаунт|профил|user|username|nick|ник|име|id))?"
    r"(?:\s?[:=]\s?(?P<account>@?[a-z_][\w.:-]{2,63})|(?:/|\s?[–-]?\s?)(?P<handle>@?[a-z]\w{0,30}[_.][\w.]{1,31}(?<!\.)))",
    re.IGNORECASE,
)
# Not the at-rules of CSS and the keys of JSON-LD, which are in whole pages.
_AT_NAME: Final = (
    r"@(?!(?:type|context|id|graph|media|import|font-face|(?:-\w{1,9}-)?keyframes|supports|charset|page)\b)"
    r"(?:[^\W\d][\w.]{1,63}(?<!\.)|\s[^\W\d]\w{0,30}_\w{1,31})"
)
_HANDLE: Final = re.compile(rf"(?<![\w@./]){_AT_NAME}")
_NEXT_HANDLE: Final = re.compile(_AT_NAME)
_IS_MAIL: Final = re.compile(rf"@|[(\[{{<]\s?[aа]|\b{_AT_WORD}|{_PROVIDER}", re.IGNORECASE)


def masked_contacts(text: str, *, mail: str, contact: str) -> str:
    """Return a text with placeholders: `mail` for mail addresses, `contact` for accounts and handles.

    Addresses: with @ or a word for it, as in «ivan(at)abv(dot)bg» and «ivan at abv.bg». Accounts: links to messengers
    and social networks (`t.me/…`, `viber://…`), a name after «Skype:» and the like, and `@name`.
    """
    form = plain(text)
    if _IS_MAIL.search(form.text):  # checking first saves most of the time: few ads contain any of it
        form = plain(form.replaced((start, end, mail) for start, end in _mails(form.text)))
    if "/" in form.text or "\\" in form.text or ":" in form.text:
        form = plain(form.replaced((*match.span(), contact) for match in _ACCOUNT.finditer(form.text)))
    if _NAMED.search(form.text):
        form = plain(
            form.replaced(
                (*match.span("account" if match["account"] else "handle"), contact)
                for match in _NAMED.finditer(form.text)
            )
        )
    if "@" in form.text:
        form = plain(form.replaced((start, end, contact) for start, end in _handles(form.text)))
    return form.source


def _mails(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each mail address: what is before the @, up to 64 characters, and its host."""
    done = 0
    for match in _MAIL.finditer(text):
        start = match.start()
        first = max(start - LONGEST_LOCAL, done)
        while start > first and (text[start - 1].isalnum() or text[start - 1] in "_.+-"):
            start -= 1
        if start < match.start():
            done = match.end()
            yield start, done


def _handles(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each handle, with those that follow without a blank."""
    for match in _HANDLE.finditer(text):
        start, end = match.span()
        while following := _NEXT_HANDLE.match(text, end):
            end = following.end()
        yield start, end
