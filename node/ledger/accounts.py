"""Users of the pages, their sessions, and the rate limit of failed log-ins.

A session is identified by a random token that only the browser has; the ledger contains its SHA-256 digest. A session
ends after a time without requests, after its longest time, with the log-out, with a new password, and with its user.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from node.ledger.account_tables import LogInFailure, User, WebSession
from node.ledger.database import now_utc

Role = Literal["read", "operate", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
NAME_LENGTH = 64
# SQLite has one writer: a page with live updates must not compete with the reception of images.
SEEN_EVERY = timedelta(seconds=30)  # a session is written at most this often, not at every request
FAILURE_WINDOW = timedelta(minutes=15)
# Failed log-ins within the window after which the next one is refused without checking the password: of one address
# for one name; of one name from any address (a high limit, so that a stranger cannot easily lock a user out); of one
# address for any name.
# Passwords are hashed by Argon2id, which costs memory and time on purpose: the limits also protect the machine.
FAILURES_OF_PAIR, FAILURES_OF_NAME, FAILURES_OF_ADDRESS = 5, 50, 30


def add_user(session: Session, name: str, password_hash: str, role: str, language: str | None = None) -> User:
    """Add a user.

    Parameters
    ----------
    name : str
        1 to 64 printable characters; spaces around it are removed.
    password_hash : str
        Argon2id hash as `node.web.passwords` makes it; the password itself is never stored.
    role : str
        One of `ROLES`; the first user must be ``admin``.
    language : str, optional
        Language of the pages; None follows the browser.

    Raises
    ------
    InputError
        When the name is empty, too long or taken, or the role is not allowed.
    """
    wanted = name.strip()
    if not 1 <= len(wanted) <= NAME_LENGTH or not wanted.isprintable():
        raise InputError(message("user.name", most=NAME_LENGTH, n=len(wanted)))
    if session.get(User, wanted) is not None:
        raise InputError(message("user.exists", name=wanted))
    # With the first user the pages begin to ask for a log-in: without an administrator they could not be opened again.
    if _role(role) != "admin" and not has_users(session):
        raise InputError(message("user.first_is_admin"))
    user = User(
        name=wanted, password_hash=password_hash, role=role, language=language, created_at=now_utc()
    )  # fmt: skip
    session.add(user)
    session.flush()
    return user


def get_user(session: Session, name: str) -> User:
    """Return a user by the exact name.

    Raises
    ------
    InputError
        When there is no such user.
    """
    user = session.get(User, name)
    if user is None:
        raise InputError(message("user.none", name=name))
    return user


def find_user(session: Session, name: str) -> User | None:
    """Return the user of a name as it was typed in a log-in form.

    Parameters
    ----------
    name : str
        Spaces around it are ignored; upper and lower case differ.

    Returns
    -------
    User or None
        None when there is no such user.
    """
    return session.get(User, name.strip())


def list_users(session: Session) -> list[User]:
    """Return all users in order of their names."""
    return list(session.scalars(select(User).order_by(User.name)))


def has_users(session: Session) -> bool:
    """Return whether there is any user.

    Returns
    -------
    bool
        While False, the pages ask for no log-in; they are then refused on other addresses than loopback.
    """
    return bool(session.scalar(select(exists().select_from(User))))


def remove_user(session: Session, name: str) -> None:
    """Remove a user and end all sessions of that name.

    Raises
    ------
    InputError
        When there is no such user, or it is the last administrator and others remain.
    """
    user = get_user(session, name)
    _keep_an_administrator(session, user)
    end_sessions_of(session, name)
    session.delete(user)


def set_role(session: Session, name: str, role: str) -> None:
    """Change the role of a user.

    Raises
    ------
    InputError
        For an unknown role, and when the last administrator would lose the role.
    """
    user = get_user(session, name)
    if _role(role) != "admin":
        _keep_an_administrator(session, user)
    user.role = role


def set_password(session: Session, name: str, password_hash: str) -> None:
    """Store the hash of a new password and end all sessions that began with the old one.

    Raises
    ------
    InputError
        When there is no such user.
    """
    get_user(session, name).password_hash = password_hash
    end_sessions_of(session, name)


def _role(role: str) -> str:
    if role not in ROLES:
        raise InputError(message("user.role", roles=ROLES, role=role))
    return role


def _keep_an_administrator(session: Session, user: User) -> None:
    others = select(func.count()).select_from(User).where(User.role == "admin", User.name != user.name)
    n_users = session.scalar(select(func.count()).select_from(User)) or 0
    if user.role == "admin" and n_users > 1 and not session.scalar(others):
        raise InputError(message("user.last_admin", name=user.name))


def token_digest(token: str) -> str:
    """Return the digest under which the ledger stores a token or a typed name.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def begin_session(session: Session, user: User) -> str:
    """Start a session for a user whose password was checked.

    Returns
    -------
    str
        The token for the cookie: 256 random bits, URL-safe base64. Only its digest is stored.
    """
    token, now = secrets.token_urlsafe(32), now_utc()
    session.add(WebSession(id=token_digest(token), user=user.name, created_at=now, seen_at=now))
    user.logged_in_at = now
    return token


def user_of_session(
    session: Session, token: str, idle: timedelta, longest: timedelta, *, seen: bool = True
) -> User | None:
    """Return the user of a session, or None when the session has ended.

    Parameters
    ----------
    token : str
        Content of the cookie.
    idle : timedelta
        Longest time between two requests.
    longest : timedelta
        Longest time since the log-in.
    seen : bool
        Whether this request counts as activity. False for live updates, which the page sends by itself: an open page
        must not extend its session.

    Returns
    -------
    User or None
        None also deletes the row of a session that is over.
    """
    row, now = session.get(WebSession, token_digest(token)), now_utc()
    if row is None:
        return None
    # Checked here and not only by the periodic deletion: a session must end on time even when that task does not run.
    if now - row.seen_at > idle or now - row.created_at > longest:
        session.delete(row)
        return None
    if seen and now - row.seen_at > SEEN_EVERY:
        row.seen_at = now
    return session.get(User, row.user)


def end_session(session: Session, token: str) -> None:
    """Delete the session of this token (log-out).

    Parameters
    ----------
    token : str
        Content of the cookie; an unknown token changes nothing.
    """
    session.execute(delete(WebSession).where(WebSession.id == token_digest(token)))


def end_sessions_of(session: Session, name: str) -> None:
    """Delete all sessions of a user."""
    session.execute(delete(WebSession).where(WebSession.user == name))


def delete_expired_sessions(session: Session, idle: timedelta, longest: timedelta) -> None:
    """Delete the sessions that are over.

    Parameters
    ----------
    idle, longest : timedelta
        The limits of `user_of_session`.
    """
    now = now_utc()
    session.execute(
        delete(WebSession).where((WebSession.seen_at < now - idle) | (WebSession.created_at < now - longest))
    )


def log_in_blocked_for_s(session: Session, address: str, name: str) -> int:
    """Return for how long an address may not try a name.

    Failures within `FAILURE_WINDOW` are counted three ways: by address and name, by name, and by address; the strictest
    limit that is reached decides.

    Returns
    -------
    int
        Seconds until the next try is allowed, at least 1; 0 when it is allowed now.
    """
    since = now_utc() - FAILURE_WINDOW
    # The name is digested with its surrounding spaces removed, as in `find_user`: " admin" is no second set of
    # attempts.
    of_name, of_address = LogInFailure.name == token_digest(name.strip()), LogInFailure.address == address
    limits = (
        (of_name & of_address, FAILURES_OF_PAIR), (of_name, FAILURES_OF_NAME), (of_address, FAILURES_OF_ADDRESS),
    )  # fmt: skip
    oldest: list[datetime] = []
    for condition, limit in limits:
        times = list(
            session.scalars(
                select(LogInFailure.at).where(condition, LogInFailure.at > since).order_by(LogInFailure.at.desc())
            )
        )
        if len(times) >= limit:
            # The newest `limit` failures block until the oldest of them leaves the window.
            oldest.append(times[limit - 1])
    if not oldest:
        return 0
    # At least one second: 0 would mean that the next try is allowed.
    return max(1, round((max(oldest) + FAILURE_WINDOW - now_utc()).total_seconds()))


def record_failed_log_in(session: Session, address: str, name: str) -> None:
    """Record a failed log-in, and delete those that no longer count.

    The name is stored as a digest, because users type their password into the wrong field.

    Parameters
    ----------
    address : str
        IP address of the browser.
    name : str
        As typed, whether or not there is such a user.
    """
    now = now_utc()
    session.execute(delete(LogInFailure).where(LogInFailure.at < now - FAILURE_WINDOW))
    session.add(LogInFailure(at=now, address=address, name=token_digest(name.strip())))


def clear_failed_log_ins(session: Session, name: str) -> None:
    """Delete the failures of a name after a successful log-in: earlier typing errors no longer count."""
    session.execute(delete(LogInFailure).where(LogInFailure.name == token_digest(name.strip())))


def set_language(session: Session, name: str, language: str) -> None:
    """Set the language of a user's pages.

    Parameters
    ----------
    language : str
        A language of `node.web.translations`; an unknown user changes nothing.
    """
    session.execute(update(User).where(User.name == name).values(language=language))
