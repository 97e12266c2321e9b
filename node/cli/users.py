"""`cptdn users`: add, list and remove the users of the pages."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from config.errors import InputError
from config.who_and_when import local_time
from node.cli.context import ledger_of, print_json, print_table, record_users

app = typer.Typer(help="Web log-ins: add, list, remove.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    role: Annotated[str, typer.Option(help="read, operate or admin; the first user is an admin.")] = "read",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, without asking.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a user; the password is asked for twice, and only its Argon2id hash is saved.

    Example: cptdn users add wang --role operate
    """
    from node.ledger.accounts import add_user
    from node.web.passwords import hash_password

    hashed = hash_password(_password(password_stdin))
    with ledger_of(ctx).begin() as session:
        user = add_user(session, name, hashed, role)
        added = {"name": user.name, "role": user.role}
    record_users(ctx, f"user {name} added with the role {role}")
    if as_json:
        print_json(added)
    else:
        typer.echo(f"{added['name']} may log in with the role {added['role']}.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        # Only the line end is removed: spaces may be a part of the password.
        return sys.stdin.readline().rstrip("\r\n")
    # A password from a pipe has to be announced by --password-stdin: a prompt would not be seen.
    if not sys.stdin.isatty():
        raise InputError("expected a terminal to ask for the password, or --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List users with their roles.

    Example: cptdn users list
    """
    from node.ledger.accounts import list_users

    with ledger_of(ctx).read() as session:
        users = [
            {
                "name": user.name,
                "role": user.role,
                "created_at": user.created_at.isoformat(),
                "logged_in_at": user.logged_in_at.isoformat() if user.logged_in_at else None,
            }
            for user in list_users(session)
        ]
    if as_json:
        print_json(users)
        return
    rows = [(str(u["name"]), str(u["role"]), local_time(u["created_at"]), local_time(u["logged_in_at"])) for u in users]
    print_table(("user", "role", "since", "last log-in"), rows)


@app.command()
def remove(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Remove a user and end the sessions of that name.

    Example: cptdn users remove wang
    """
    from node.ledger.accounts import remove_user

    with ledger_of(ctx).begin() as session:
        remove_user(session, name)
    record_users(ctx, f"user {name} removed")
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        typer.echo(f"{name} was removed.")
