"""The way of a study through the node, from its first instance to a report in the PACS.

A study. Each step ends in the ledger, so that any process may die between two of them:

    arrive    `dicom.scp.intake.Intake.finish` stores an instance, indexes it and opens its case; when an association
              ends, `ledger.cases.schedule_touched` makes the cases of its patients due
    assess    `casework.assess_due` -> `casework.assess_case`: `gather_inputs` reads the ledger, `evaluate_case` applies
              the rules of `node.cases`; the case becomes receiving, incomplete, held, refused or ready
    decide    where a decision or a fact is missing: `decisions.assign_roles`, `set_hold`, `set_facts`
    queue     a ready case with new inputs gets a job and a message (`ledger.jobs.create_job`, `ledger.outbox.enqueue`);
              `ledger.outbox.relay` hands messages to the broker
    compute   workers: `workers.queue.steps`, one step of a job at a time
    report    `ledger.reports.record_report` makes the report current, supersedes pending deliveries of the one before,
              and queues a delivery to each destination
    deliver   `delivery.deliver`: C-STORE, then storage commitment; `delivery.requeue_overdue` for lost messages

A job is a line of its own: claim (`ledger.jobs.claim`) -> prepare -> extract -> score -> report -> deliver, where the
steps `volumes`, `features` and `report` of `ledger.jobs.STEPS` prepare, extract, and score and report.

A fact, too: parse and validate (`clinical.entries`, from a command, a page, HL7, FHIR or a file) -> record
(`clinical.entries.record_entries`, `ledger.facts.record_fact`) -> reassess (`ledger.cases.schedule_patient` makes the
patient's cases due, `casework.assess_due` assesses them).

Beside the way:

    withdraw  `withdrawal.withdraw_due`: answers that do not hold any more, by the table of `outward_acts`;
              `withdrawal.withdraw_study` and `recall.recall_bundle` by a person's decision
    reprocess `reprocessing.Reprocessor.start` and `wait`: compute again with the same or another bundle
    compare   `comparison.Comparison.run`: two bundles over many studies; `comparison_summary.summarise`;
              `report_changes.ReportChanges`: what a computation in bulk would change, before it is sent
    retrieve  `retrieval.Retrieval.run_due`: query and retrieve from a PACS what a case is missing
    repair    `storage_repair.Repair`: differences between ledger and disk
    judge     `work_items.judge_due`: what becomes of work items (UPS); `worklists` claims them at their managers and
              tells how they end, `dicom_notices` tells application entities what they want to know
    digests   `digests`: how each of these knows that nothing has changed

`node.runtime.service.running_node` starts what runs periodically: assess, withdraw, relay, retrieve, judge, the
watchdog.
"""
