"""Messages between node and workers: the broker, its queues, the names of tasks, and questions of the pages.

The outbox is not here but in `node/ledger/outbox.py`: its rows are written in the transaction of the job or delivery
that needs them, so it belongs to the ledger, which may import the names of tasks from this package. Nothing here is
durable; a broker that loses everything gets its messages again from the outbox.
"""
