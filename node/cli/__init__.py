"""The node's commands; `commands.COMMANDS` names them for `app`, which imports only the one that is called.

A command is a typer function: its docstring is its help, with an `Example:` line. Modules of other rooms are imported
inside the functions, so that `cptdn --help` loads none of them.
"""
