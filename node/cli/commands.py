"""Commands that a node offers without any worker installed: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("node.cli.audit:app", "The audit trail: who did what, and what is not forwarded yet."),
    "backup": ("node.cli.backup:backup", "Save the ledger and every file that it names; the node may run."),
    "classify": ("node.cli.classify:classify", "Series roles of DICOM files or header lists, with their reasons."),
    "clinical": ("node.cli.clinical:app", "Clinical facts: set, import, show."),
    "conformance": ("node.cli.conformance:conformance", "The DICOM conformance statement of this configuration."),
    "doctor": ("node.cli.doctor:doctor", "Check every part and say what to do: ledger, broker, storage, model, peers."),
    "followup": ("node.cli.followup:app", "Follow-up of reported patients: regimen given and outcome."),
    "init": ("node.cli.init:init", "Write a first configuration by asking five questions."),
    "jobs": ("node.cli.jobs:app", "Computations and deliveries: list, watch, retry, cancel."),
    "node": ("node.cli.up:node", "Run the node alone: DICOM, clinical sources, assessment of cases."),
    "quarantine": ("node.cli.quarantine:app", "Quarantined files, with their reasons."),
    "ready": ("node.cli.ready:ready", "Check whether a part of the program is ready, for health checks."),
    "reprocess": ("node.cli.reprocess:reprocess", "Compute studies again and see what differs."),
    "restore": ("node.cli.backup:restore", "Put a backup into empty storage and ledger."),
    "retention": ("node.cli.retention:retention", "Images that are old enough to be removed: show or remove them."),
    "status": ("node.cli.status:status", "Show what runs, what is queued and what failed."),
    "studies": ("node.cli.studies:app", "Studies: states, reasons, decisions."),
    "up": ("node.cli.up:up", "Run everything on this machine until Ctrl-C."),
    "users": ("node.cli.users:app", "Web log-ins: add, list, remove."),
    "web": ("node.cli.web:web", "Serve the pages alone."),
}
