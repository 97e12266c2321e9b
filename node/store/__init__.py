"""Files on the disk: received instances, reports, artefacts, quarantine; backup, retention and the free space.

Each file is durable before the ledger names it: a file without a row is an orphan, and a row without a file is a loss,
which `consistency` reports. `study_store` makes all paths, `incoming` and `part10` write the file of an instance while
it arrives, and `names` decides which texts may become paths.
"""
