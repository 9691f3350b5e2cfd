"""Signing in and out, the one-time link, the language, the account."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from web import people
from web.language import LANGUAGES
from web.requests import YEAR, local

if TYPE_CHECKING:
    from psycopg import Connection
    from starlette.responses import Response

    from web.requests import Asked


def form(asked: Asked) -> Response:
    """Show the form; who is signed in goes on."""
    if asked.visitor is not None:
        return asked.back(asked.param("next"))
    return asked.page("login.html", next=local(asked.param("next")), error="", given="")


def sign_in(asked: Asked) -> Response:
    """Sign in with a name and a password. A new token is made in any case; the one the browser had ends."""
    name, password = asked.form.get("name", ""), asked.form.get("password", "")
    where = local(asked.form.get("next", ""))
    client = asked.request.client
    with asked.site.write() as connection:
        found = people.authenticate(connection, name, password, client.host if client else "")
        if isinstance(found, int):
            _end_old(asked, connection)
            if (token := people.sign_in(connection, found)) is not None:
                return _with_session(asked, asked.back(where), token)
    _ = asked.language.gettext
    if isinstance(found, timedelta):
        error = _("Too many tries. Wait %(minutes)s minutes.", minutes=int(found.total_seconds() // 60))
        answer = asked.page("login.html", 429, next=where, error=error, given=name[:40])
        answer.headers["Retry-After"] = str(int(found.total_seconds()))
        return answer
    return asked.page("login.html", 401, next=where, error=_("The name or the password is wrong."), given=name[:40])


def enter_form(asked: Asked) -> Response:
    """Show the button of the one-time link: opening a link changes nothing."""
    return asked.page("enter.html", key=asked.param("key")[:100], error="")


def enter(asked: Asked) -> Response:
    """Sign the operator in by the one-time link of `vinops web`."""
    with asked.site.write() as connection:  # first: while the database is away the link stays as it is
        if not asked.site.take_link(asked.form.get("key", "")):
            error = asked.language.gettext(
                "This link has been used or has ended. Start `vinops web` again for a new one."
            )
            return asked.page("enter.html", 403, key="", error=error)
        _end_old(asked, connection)
        token = people.sign_in(connection, None)
    return _with_session(asked, asked.back("/"), token or "")


def sign_out(asked: Asked) -> Response:
    """End this sign-in, or all of the person."""
    with asked.site.write() as connection:
        if asked.form.get("everywhere"):
            people.sign_out_everywhere(connection, asked.person.user_id)
        else:
            _end_old(asked, connection)
    answer = asked.back("/login")
    answer.delete_cookie(
        asked.site.session_cookie, path="/", secure=asked.site.is_public, httponly=True, samesite="lax"
    )
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def language(asked: Asked) -> Response:
    """Change the language, of the account and of this browser."""
    code = asked.form.get("language", "")
    answer = asked.back(asked.form.get("next", ""))
    if code in LANGUAGES:
        if asked.visitor is not None and asked.visitor.user_id is not None:
            with asked.site.write() as connection:
                people.set_language(connection, asked.visitor.user_id, code)
        answer.set_cookie(
            asked.site.language_cookie, code,
            max_age=YEAR, path="/", secure=asked.site.is_public, httponly=True, samesite="lax",
        )  # fmt: skip
    return answer


def account(asked: Asked) -> Response:
    """Show who is signed in, and how to end that."""
    return asked.page("account.html")


def _end_old(asked: Asked, connection: Connection[Any]) -> None:
    if token := asked.request.cookies.get(asked.site.session_cookie):
        people.sign_out(connection, token)


def _with_session(asked: Asked, answer: Response, token: str) -> Response:
    answer.set_cookie(
        asked.site.session_cookie, token,
        max_age=int(people.ABSOLUTE.total_seconds()), path="/", secure=asked.site.is_public, httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer
