"""The worker process: Celery application, thin tasks, and the three steps between ledger and pipeline.

`app.run_worker` starts a process, `tasks` claims each step and records its outcome, `steps` computes it, and
`report_objects` builds and stores the objects of a report. Celery is used in `app` and `tasks` only.
"""
