"""Log-in and log-out, one's own account, and the users."""

from __future__ import annotations

import secrets

from starlette.responses import RedirectResponse, Response

from config.errors import InputError
from node.ledger import accounts
from node.web.page_request import NEXT, THEMES, Visit, back, safe_target, set_cookie, set_preference
from node.web.pages import show
from node.web.passwords import hash_password, password_fits
from node.web.translations import LANGUAGES

LONGEST_PASSWORD_FIELD = 1024


def log_in_form(visit: Visit) -> Response:
    if visit.role != "nobody":
        return RedirectResponse(safe_target(visit.asked(NEXT)), status_code=303)
    return show(visit, "log_in.html", target=safe_target(visit.asked(NEXT)), name="", trouble="")


def log_in(visit: Visit) -> Response:
    """A log-in gets a new token, so that a cookie from before it is worth nothing."""
    context, name, target = visit.context, visit.given("name"), safe_target(visit.given(NEXT))
    with context.ledger.begin() as session:
        wait_s = accounts.log_in_blocked_for_s(session, visit.address, name)
        user = accounts.find_user(session, name)
        kept = user.password_hash if user is not None else None
    if wait_s:
        visit.audit("log_in_refused", success=False)
        text = visit.words("log_in_blocked", minutes=-(-wait_s // 60))
        response = show(visit, "log_in.html", 429, target=target, name=name, trouble=text)
        response.headers["Retry-After"] = str(wait_s)
        return response
    password = visit.form.get("password")
    fits = password_fits(password[:LONGEST_PASSWORD_FIELD] if isinstance(password, str) else "", kept)
    with context.ledger.begin() as session:
        user = accounts.find_user(session, name)
        if not fits or user is None or user.password_hash != kept:
            accounts.record_failed_log_in(session, visit.address, name)
            token = None
        else:
            accounts.clear_failed_log_ins(session, name)
            accounts.delete_expired_sessions(session, context.idle, context.longest)
            token = accounts.begin_session(session, user)
            visit.user = user.name
    visit.audit("log_in", success=token is not None)
    if token is None:
        return show(visit, "log_in.html", 401, target=target, name=name, trouble=visit.words("log_in_failed"))
    answer: Response = RedirectResponse(target, status_code=303)
    set_cookie(context, answer, token)
    return answer


def log_out(visit: Visit) -> Response:
    with visit.context.ledger.begin() as session:
        accounts.end_session(session, visit.token)
    visit.audit("log_out")
    answer: Response = RedirectResponse("/log-in", status_code=303)
    set_cookie(visit.context, answer, secrets.token_urlsafe(32))
    return answer


def preferences(visit: Visit) -> Response:
    """Language and appearance; the language also stands with the user, for other machines."""
    language, theme = visit.given("language"), visit.given("theme")
    answer = back(visit, visit.given(NEXT))
    if language in LANGUAGES:
        set_preference(visit.context, answer, "language", language)
        if visit.logged_in:
            with visit.context.ledger.begin() as session:
                accounts.set_language(session, visit.user, language)
    if theme in THEMES:
        set_preference(visit.context, answer, "theme", theme)
    return answer


def account(visit: Visit) -> Response:
    return show(visit, "account.html")


def change_password(visit: Visit) -> Response:
    old, new = visit.form.get("old_password"), visit.form.get("new_password")
    if not visit.logged_in or not isinstance(old, str) or not isinstance(new, str):
        raise InputError(visit.words("nothing_given"))
    with visit.context.ledger.begin() as session:
        kept = accounts.get_user(session, visit.user).password_hash
    if not password_fits(old[:LONGEST_PASSWORD_FIELD], kept):
        visit.audit("users_changed", success=False)
        raise InputError(visit.words("log_in_failed"))
    hashed = hash_password(new)
    with visit.context.ledger.begin() as session:
        accounts.set_password(session, visit.user, hashed)
    visit.audit("users_changed")
    return back(visit, "/log-in", visit.words("password_changed"))


def users(visit: Visit) -> Response:
    with visit.context.ledger.begin() as session:
        found = accounts.list_users(session)
    return show(visit, "users.html", users=found, roles=accounts.ROLES)


def add_user(visit: Visit) -> Response:
    name, password = visit.given("name"), visit.form.get("password")
    hashed = hash_password(password if isinstance(password, str) else "")
    with visit.context.ledger.begin() as session:
        accounts.add_user(session, name, hashed, visit.given("role"))
    return _changed(visit, "user_added", name)


def change_user(visit: Visit) -> Response:
    """A new role, a new password, or both."""
    name, password = visit.path["name"], visit.form.get("password")
    hashed = hash_password(password) if isinstance(password, str) and password else None
    with visit.context.ledger.begin() as session:
        accounts.set_role(session, name, visit.given("role"))
        if hashed is not None:
            accounts.set_password(session, name, hashed)
    return _changed(visit, "user_changed", name)


def remove_user(visit: Visit) -> Response:
    name = visit.path["name"]
    with visit.context.ledger.begin() as session:
        accounts.remove_user(session, name)
    return _changed(visit, "user_removed", name)


def _changed(visit: Visit, said: str, name: str) -> Response:
    visit.audit("users_changed", detail=f"{said} {name}")
    return back(visit, "/users", visit.words(said, name=name))
