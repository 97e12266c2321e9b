"""Commands of the science: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {}
