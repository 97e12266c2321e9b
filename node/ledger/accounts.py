"""Users of the pages, their log-ins, and the count of failed ones.

A session is named by a random token that only the browser has; the ledger keeps its digest. It ends when nobody used
it for a while, after its longest time, with the log-out, with a new password, and with its user.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from node.ledger.database import now_utc
from node.ledger.tables import LogInFailure, User, WebSession

Role = Literal["read", "operate", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
NAME_LENGTH = 64
SEEN_EVERY = timedelta(seconds=30)  # a session is not written at every request
FAILURE_WINDOW = timedelta(minutes=15)
# Failed log-ins within the window before the next is refused unread: of one address for one name; of one name from
# anywhere (so many that a stranger does not easily lock a user out); of one address for any name.
FAILURES_OF_PAIR, FAILURES_OF_NAME, FAILURES_OF_ADDRESS = 5, 50, 30


def add_user(session: Session, name: str, password_hash: str, role: str, language: str | None = None) -> User:
    """Raises InputError for a name that is taken or none, or for another role."""
    wanted = name.strip()
    if not 1 <= len(wanted) <= NAME_LENGTH or not wanted.isprintable():
        raise InputError(f"expected a user name of 1 to {NAME_LENGTH} printable characters, found {len(wanted)}")
    if session.get(User, wanted) is not None:
        raise InputError(f"the user {wanted} is there already; `cptdn users list` shows all")
    if _role(role) != "admin" and not has_users(session):
        raise InputError("the first user must have the role admin: nobody else could add others")
    user = User(
        name=wanted, password_hash=password_hash, role=role, language=language, created_at=now_utc()
    )  # fmt: skip
    session.add(user)
    session.flush()
    return user


def get_user(session: Session, name: str) -> User:
    """Raises InputError when there is no such user."""
    user = session.get(User, name)
    if user is None:
        raise InputError(f"no user {name} is known here; `cptdn users list` shows those that are")
    return user


def find_user(session: Session, name: str) -> User | None:
    return session.get(User, name.strip())


def list_users(session: Session) -> list[User]:
    return list(session.scalars(select(User).order_by(User.name)))


def has_users(session: Session) -> bool:
    return bool(session.scalar(select(exists().select_from(User))))


def remove_user(session: Session, name: str) -> None:
    """Remove a user and end all sessions of that name. Raises InputError for the last administrator."""
    user = get_user(session, name)
    _keep_an_administrator(session, user)
    end_sessions_of(session, name)
    session.delete(user)


def set_role(session: Session, name: str, role: str) -> None:
    """Raises InputError for an unknown role, and where the last administrator would lose the role."""
    user = get_user(session, name)
    if _role(role) != "admin":
        _keep_an_administrator(session, user)
    user.role = role


def set_password(session: Session, name: str, password_hash: str) -> None:
    """A new password ends all sessions that began with the old one."""
    get_user(session, name).password_hash = password_hash
    end_sessions_of(session, name)


def _role(role: str) -> str:
    if role not in ROLES:
        raise InputError(f"expected a role out of {', '.join(ROLES)}, found {role!r}")
    return role


def _keep_an_administrator(session: Session, user: User) -> None:
    others = select(func.count()).select_from(User).where(User.role == "admin", User.name != user.name)
    everybody = session.scalar(select(func.count()).select_from(User)) or 0
    if user.role == "admin" and everybody > 1 and not session.scalar(others):
        raise InputError(f"{user.name} is the last administrator; make another user one first")


def token_digest(token: str) -> str:
    """What the ledger keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin_session(session: Session, user: User) -> str:
    """A new log-in; returns the token for the cookie."""
    token, now = secrets.token_urlsafe(32), now_utc()
    session.add(WebSession(id=token_digest(token), user=user.name, created_at=now, seen_at=now))
    user.logged_in_at = now
    return token


def user_of_session(
    session: Session, token: str, idle: timedelta, longest: timedelta, *, seen: bool = True
) -> User | None:
    """The user behind a cookie, or None when the session is over.

    seen : False for requests that no person made (live updates), so that an open page does not keep a session alive.
    """
    row, now = session.get(WebSession, token_digest(token)), now_utc()
    if row is None:
        return None
    if now - row.seen_at > idle or now - row.created_at > longest:
        session.delete(row)
        return None
    if seen and now - row.seen_at > SEEN_EVERY:
        row.seen_at = now
    return session.get(User, row.user)


def end_session(session: Session, token: str) -> None:
    session.execute(delete(WebSession).where(WebSession.id == token_digest(token)))


def end_sessions_of(session: Session, name: str) -> None:
    session.execute(delete(WebSession).where(WebSession.user == name))


def delete_expired_sessions(session: Session, idle: timedelta, longest: timedelta) -> None:
    now = now_utc()
    session.execute(
        delete(WebSession).where((WebSession.seen_at < now - idle) | (WebSession.created_at < now - longest))
    )


def log_in_blocked_for_s(session: Session, address: str, name: str) -> int:
    """Seconds until this address may try this name again; 0 when it may now."""
    since = now_utc() - FAILURE_WINDOW
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
            oldest.append(times[limit - 1])
    if not oldest:
        return 0
    return max(1, round((max(oldest) + FAILURE_WINDOW - now_utc()).total_seconds()))


def record_failed_log_in(session: Session, address: str, name: str) -> None:
    now = now_utc()
    session.execute(delete(LogInFailure).where(LogInFailure.at < now - FAILURE_WINDOW))
    session.add(LogInFailure(at=now, address=address, name=token_digest(name.strip())))


def clear_failed_log_ins(session: Session, name: str) -> None:
    """A log-in succeeded: earlier slips of the keyboard no longer count."""
    session.execute(delete(LogInFailure).where(LogInFailure.name == token_digest(name.strip())))


def set_language(session: Session, name: str, language: str) -> None:
    session.execute(update(User).where(User.name == name).values(language=language))
