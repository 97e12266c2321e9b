"""The computation of one study, from stored files to a report; the queue and `cptdn score` both run it.

A job is a line. Its row in the ledger is the truth, a message only says that a step is due; each step runs in
`workers.queue.tasks.run_step`, which claims it, computes, and records the outcome while it has the lease:

    claim    `node.ledger.jobs.claim` gives one worker the lease of the step
    prepare  `computation.prepare_study`: stored files -> volumes, contour on their grids, patches; saved by
             `artefacts.save_prepared_study`                                       step `volumes`
    extract  `computation.extract_study_features`: patches -> deep features of the representative slices
                                                                                   step `features`
    score    `computation.score_studies`: features -> Prognostic-score and Predictive-score, and whether the features
             are out of distribution; `prediction.predict_survival`: scores, age and EBV DNA -> disease-free survival
             under both arms; `prediction.answer_stability`: in how many recomputations with slightly other inputs the
             answer holds; `report_values.draft_report`: all of it as a TreatmentReport
                                                                                   step `features`
    report   `workers.queue.report_objects.build_report_objects`: DICOM objects; `workers.queue.steps.write_report`
             stores them and records the report                                    step `report`
    deliver  `node.workflow.delivery.deliver`: C-STORE and storage commitment      task of the queue `delivery`

A comparison of two bundles ends after `score`. A study that cannot be scored raises IneligibleStudyError and is
refused, by a report where the site wants one (`report_values.refusal_report`).

`context.WorkerContext` is what a process has opened: settings, ledger, store, bundles. Nothing here imports Celery.
"""
