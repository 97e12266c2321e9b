"""How many cases, jobs and deliveries are in each state, without counting them.

Triggers (in the migration) write +1 and -1 as states change; what stands in the ledger is the sum. Rows are only added,
so writers never wait for each other here, and the node's watchdog adds up what has gathered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from node.ledger.tables import StateCount

GATHERED = 50  # so many rows are worth adding up

Kind = Literal["cases", "jobs", "deliveries"]


def count_states(session: Session, kind: Kind, states: Sequence[str]) -> dict[str, int]:
    """Rows of this table in each of the states, in their order."""
    query = select(StateCount.state, func.sum(StateCount.n)).where(StateCount.kind == kind).group_by(StateCount.state)
    found = {state: n for state, n in session.execute(query)}  # noqa: C416 - rows are no pairs to the type checker
    return {state: int(found.get(state, 0)) for state in states}


def add_up(session: Session) -> None:
    """Replace what has gathered by its sums."""
    if (session.scalar(select(func.count()).select_from(StateCount)) or 0) < GATHERED:
        return
    taken = session.execute(delete(StateCount).returning(StateCount.kind, StateCount.state, StateCount.n)).all()
    sums: Counter[tuple[str, str]] = Counter()
    for kind, state, n in taken:
        sums[kind, state] += n
    session.add_all(StateCount(kind=kind, state=state, n=n) for (kind, state), n in sums.items() if n)
