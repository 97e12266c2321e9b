"""What the ledger stores of cookies, and who may be removed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from config.errors import InputError
from node.ledger import accounts
from node.ledger.account_tables import LogInFailure, WebSession
from node.ledger.database import Ledger

IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)


def test_tokens_and_typed_names_are_stored_as_sha_256(ledger: Ledger) -> None:
    """The digest of "abc" is that of FIPS 180-2, appendix B.1."""
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert accounts.token_digest("abc") == abc
    with ledger.begin() as session:
        user = accounts.add_user(session, "anna", "hash", "admin")
        token = accounts.begin_session(session, user)
        accounts.record_failed_log_in(session, "192.0.2.1", " abc ")
    with ledger.begin() as session:
        assert session.scalars(select(WebSession.id)).all() == [accounts.token_digest(token)]
        assert session.scalars(select(LogInFailure.name)).all() == [abc]
        found = accounts.user_of_session(session, token, IDLE, LONGEST)
        assert found is not None
        assert found.name == "anna"
        assert accounts.user_of_session(session, accounts.token_digest(token), IDLE, LONGEST) is None


def test_the_last_administrator_stays(ledger: Ledger) -> None:
    with ledger.begin() as session:
        accounts.add_user(session, "anna", "hash", "admin")
        accounts.add_user(session, "ben", "hash", "read")
    for change in (accounts.remove_user, lambda session, name: accounts.set_role(session, name, "read")):
        with ledger.begin() as session, pytest.raises(InputError, match="last administrator"):
            change(session, "anna")
    with ledger.begin() as session:
        accounts.set_role(session, "ben", "admin")
        accounts.remove_user(session, "anna")
        assert [user.name for user in accounts.list_users(session)] == ["ben"]
