"""Commands of the science: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {
    "ablate": ("workers.cli.ablate:ablate", "Compare choices of a training by cross-validation."),
    "bench": ("workers.cli.bench:bench", "Speed on this machine, as ratios to other programs in the same run."),
    "bundle": ("workers.cli.bundle:app", "Model bundles: list, show, verify, pack, activate."),
    "cohort": ("workers.cli.cohort:app", "Public data sets as cohorts: cohort import-npc277"),
    "contours": ("workers.cli.contours:contours", "ROIs of an RTSTRUCT as masks on a series, with their volumes."),
    "demo": ("workers.cli.demo:demo", "Run the main job on this machine with a synthetic patient."),
    # With `report` beside what the node offers; of two rooms with one name the later one counts.
    "followup": (
        "workers.cli.followup:app",
        "Follow-up of reported patients: record it, and what it says of a bundle.",
    ),
    "match": ("workers.cli.match:match", "Match the two arms of a cohort 1:1 by propensity score."),
    "nomogram": ("workers.cli.nomogram:app", "Score, draw, fit and evaluate the nomogram."),
    "phantom": ("workers.cli.phantom:phantom", "Synthetic patients with images, to train on and to test on."),
    "report": ("workers.cli.report:app", "Read a report of this program: report show FILE"),
    "score": ("workers.cli.score:score", "Score a study from its files, without network and ledger."),
    "score-cohort": ("workers.cli.score_cohort:score_cohort", "Score a whole cohort by a bundle, for its validation."),
    "train": ("workers.cli.train:train", "Train a model bundle on a cohort with images."),
    "worker": ("workers.cli.worker:worker", "Run one computing or delivering process."),
}
