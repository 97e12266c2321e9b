"""Commands of the science: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {
    "nomogram": ("workers.cli.nomogram:app", "Score, draw, fit and evaluate the nomogram."),
}
