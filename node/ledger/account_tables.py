"""The tables of people who log in to the pages, and of their sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from node.ledger.tables import Base


class User(Base):
    """A person who may log in to the pages; of the password only an Argon2id hash is stored."""

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))  # read | operate | admin
    language: Mapped[str | None] = mapped_column(String(8))  # None: as the browser asks
    created_at: Mapped[datetime]
    logged_in_at: Mapped[datetime | None]


class WebSession(Base):
    """A session of the pages. `id` is the digest of the cookie, so that reading the ledger does not give a session."""

    __tablename__ = "web_sessions"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    __table_args__ = (Index("ix_web_sessions_user", "user"),)


class LogInFailure(Base):
    """A failed log-in, stored as long as the rate limit needs it. `name` is a digest: people type passwords there."""

    __tablename__ = "log_in_failures"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    address: Mapped[str]
    name: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("ix_log_in_failures_at", "at"),)
