"""Log-in and log-out, the account of the user, and the list of users."""

from __future__ import annotations

import secrets

from starlette.responses import RedirectResponse, Response

from config.errors import InputError
from node.ledger import accounts
from node.web.page_request import (
    ANONYMOUS,
    NEXT,
    THEMES,
    PageRequest,
    local_path,
    redirect,
    set_preference,
    set_session_cookie,
)
from node.web.pages import render_page
from node.web.passwords import hash_password, password_fits
from node.web.translations import LANGUAGES

MAX_PASSWORD_FIELD = 1024  # characters that are hashed at most; passwords have at most 256


def log_in_form(request: PageRequest) -> Response:
    """Render the log-in. Query: next, the page to go to afterwards."""
    if request.role != ANONYMOUS:
        return RedirectResponse(local_path(request.query_value(NEXT)), status_code=303)
    return render_page(request, "log_in.html", target=local_path(request.query_value(NEXT)), name="", trouble="")


def log_in(request: PageRequest) -> Response:
    """Log a user in. Fields: name, password, next.

    The session gets a new token, so that a cookie that someone planted before the log-in is worthless (session
    fixation). Name and password are checked before the answer differs, so that an unknown name takes as long.
    """
    context, name, target = request.context, request.form_value("name"), local_path(request.form_value(NEXT))
    with context.ledger.begin() as session:
        # Before the password is checked: a blocked address must not make the server compute hashes.
        wait_s = accounts.log_in_blocked_for_s(session, request.address, name)
        user = accounts.find_user(session, name)
        password_hash = user.password_hash if user is not None else None
    if wait_s:
        request.audit("log_in_refused", success=False)
        text = request.translations("log_in_blocked", minutes=-(-wait_s // 60))
        response = render_page(request, "log_in.html", 429, target=target, name=name, trouble=text)
        response.headers["Retry-After"] = str(wait_s)
        return response
    # No transaction is open here: Argon2id takes tens of milliseconds, and SQLite has one writer.
    password = request.form.get("password")
    is_right = password_fits(password[:MAX_PASSWORD_FIELD] if isinstance(password, str) else "", password_hash)
    with context.ledger.begin() as session:
        user = accounts.find_user(session, name)
        # Read again: the user may have been removed, or got another password, while the hash was computed.
        if not is_right or user is None or user.password_hash != password_hash:
            accounts.record_failed_log_in(session, request.address, name)
            token = None
        else:
            accounts.clear_failed_log_ins(session, name)
            accounts.delete_expired_sessions(session, context.idle, context.longest)
            token = accounts.begin_session(session, user)
            request.user = user.name
    request.audit("log_in", success=token is not None)
    if token is None:
        return render_page(
            request, "log_in.html", 401, target=target, name=name, trouble=request.translations("log_in_failed")
        )
    response = redirect(request, target)
    set_session_cookie(context, response, token)
    return response


def log_out(request: PageRequest) -> Response:
    """End the session, here and in the ledger."""
    with request.context.ledger.begin() as session:
        accounts.end_session(session, request.token)
    request.audit("log_out")
    response = redirect(request, "/log-in")
    # A new token, so that a page that is still open in another tab cannot send its forms.
    set_session_cookie(request.context, response, secrets.token_urlsafe(32))
    return response


def preferences(request: PageRequest) -> Response:
    """Set language and appearance. The language is saved with the user, too, for the user's other machines."""
    language, theme = request.form_value("language"), request.form_value("theme")
    response = redirect(request, request.form_value(NEXT))
    if language in LANGUAGES:
        set_preference(request.context, response, "language", language)
        if request.logged_in:
            with request.context.ledger.begin() as session:
                accounts.set_language(session, request.user, language)
    if theme in THEMES:
        set_preference(request.context, response, "theme", theme)
    return response


def account(request: PageRequest) -> Response:
    """Render the account of the user."""
    return render_page(request, "account.html")


def change_password(request: PageRequest) -> Response:
    """Change the password of the user; all sessions of the user end. Fields: old_password, new_password.

    Parameters
    ----------
    request : PageRequest
        Of a user who is logged in; the local user of an installation without users has no password.

    Returns
    -------
    Response
        To the log-in, since the session of this request has ended as well.

    Raises
    ------
    InputError
        When the old password is wrong, or the new one too short or too long.
    """
    old, new = request.form.get("old_password"), request.form.get("new_password")
    if not request.logged_in or not isinstance(old, str) or not isinstance(new, str):
        raise InputError(request.translations("nothing_entered"))
    with request.context.ledger.read() as session:
        password_hash = accounts.get_user(session, request.user).password_hash
    if not password_fits(old[:MAX_PASSWORD_FIELD], password_hash):
        request.audit("users_changed", success=False)
        raise InputError(request.translations("log_in_failed"))
    new_hash = hash_password(new)
    with request.context.ledger.begin() as session:
        accounts.set_password(session, request.user, new_hash)
    request.audit("users_changed")
    return redirect(request, "/log-in", request.translations("password_changed"))


def users(request: PageRequest) -> Response:
    """Render the list of users."""
    with request.context.ledger.read() as session:
        every_user = accounts.list_users(session)
    return render_page(request, "users.html", users=every_user, roles=accounts.ROLES)


def add_user(request: PageRequest) -> Response:
    """Add a user. Fields: name, role, password."""
    name, password = request.form_value("name"), request.form.get("password")
    # Outside the transaction, as at the log-in.
    hashed = hash_password(password if isinstance(password, str) else "")
    with request.context.ledger.begin() as session:
        accounts.add_user(session, name, hashed, request.form_value("role"))
    return _changed(request, "user_added", name)


def change_user(request: PageRequest) -> Response:
    """Change role, password, or both. Fields: role, password (empty: unchanged)."""
    name, password = request.path["name"], request.form.get("password")
    hashed = hash_password(password) if isinstance(password, str) and password else None
    with request.context.ledger.begin() as session:
        accounts.set_role(session, name, request.form_value("role"))
        if hashed is not None:
            accounts.set_password(session, name, hashed)
    return _changed(request, "user_changed", name)


def remove_user(request: PageRequest) -> Response:
    """Remove a user and end the sessions of that name."""
    name = request.path["name"]
    with request.context.ledger.begin() as session:
        accounts.remove_user(session, name)
    return _changed(request, "user_removed", name)


def _changed(request: PageRequest, change: str, name: str) -> Response:
    request.audit("users_changed", detail=f"{change} {name}")
    return redirect(request, "/users", request.translations(change, name=name))
