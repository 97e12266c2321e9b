"""Commands that a node offers without any worker installed: name -> (module:attribute, help)."""

COMMANDS: dict[str, tuple[str, str]] = {}
