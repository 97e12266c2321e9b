"""The node: receive, decide, queue, deliver; everything but the computation itself, which is in `workers`.

From the bottom: `messaging` (the broker) and `cases` (rules without input or output), `ledger` (what was received,
decided, computed and delivered), `store` (files), `audit`, `dicom` and `clinical` (the ways in and out), `conformance`
and `small_pacs`, `workflow` (the way of a study), `runtime` (processes), `web`, `cli`. A room imports from those below
it only.
"""
