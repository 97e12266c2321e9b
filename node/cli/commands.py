"""Commands that a node offers without any worker installed: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("node.cli.audit:app", "The audit trail: who did what, and what the repository has not got yet."),
    "backup": ("node.cli.backup:backup", "Save the ledger and every file that it names, while the node works."),
    "classify": ("node.cli.classify:classify", "Series roles of DICOM files or header lists, with their reasons."),
    "clinical": ("node.cli.clinical:app", "Clinical facts: set, import, show."),
    "conformance": ("node.cli.conformance:conformance", "The DICOM conformance statement of this configuration."),
    "doctor": ("node.cli.doctor:doctor", "Check and explain every part: ledger, broker, storage, model, peers."),
    "init": ("node.cli.init:init", "Write a first configuration by asking five questions."),
    "jobs": ("node.cli.jobs:app", "Computations and deliveries: what waits, runs, failed; try again or cancel."),
    "node": ("node.cli.up:node", "Run the node alone: the DICOM side and the looks at cases."),
    "quarantine": ("node.cli.quarantine:app", "Files that were kept aside, with their reasons."),
    "ready": ("node.cli.ready:ready", "Whether a part of the program can work, for health checks."),
    "reprocess": ("node.cli.reprocess:reprocess", "Compute studies again and see what differs."),
    "restore": ("node.cli.backup:restore", "Put a backup into empty storage and ledger."),
    "retention": ("node.cli.retention:retention", "Images that are old enough to go: show them, or remove them."),
    "status": ("node.cli.status:status", "One screen of what runs, what waits and what failed."),
    "studies": ("node.cli.studies:app", "Studies: their state, the reasons for it, and your decisions."),
    "up": ("node.cli.up:up", "Run everything on this machine until Ctrl-C."),
    "users": ("node.cli.users:app", "Web log-ins: add, list, remove."),
    "web": ("node.cli.web:web", "Serve the pages alone."),
}
