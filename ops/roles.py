"""The database roles of the services and their rights, readable by each of them, and granted again by the owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

OWNER: Final = "vinops_owner"
BACKUP: Final = "vinops_backup"
NODE: Final = "vinops_node"
WEB: Final = "vinops_web"
RIGHTS: Final = {name: name for name in ("select", "insert", "update", "delete", "usage")}
GRANTS: Final = "as the server's administrator run deploy/sql/grants.sql in it"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles that exist, those that do not, the missing rights (`vinops_etl: insert on raw.csv_files`; of a column
    `vinops_web: update (language) on ops.users`), and whether the role of the backup may read everything and create
    databases."""

    names: tuple[str, ...]
    absent: tuple[str, ...]
    missing: tuple[str, ...]
    can_back_up: bool


def read(connection: Connection[Any]) -> Roles:
    """Return the state of the roles; needs no right of its own. Raises psycopg.Error."""
    with connection.cursor(row_factory=dict_row) as cursor:
        roles = cursor.execute(queries("doctor")["service_roles"]).fetchall()
        rights = cursor.execute(queries("doctor")["service_rights"]).fetchall()
    return Roles(
        names=tuple(each["role_name"] for each in roles if each["is_there"]),
        absent=tuple(each["role_name"] for each in roles if not each["is_there"]),
        missing=tuple(
            f"{each['role_name']}: {each['right_name']} on {each['relation_name']}"
            for each in rights
            if not each["is_held"]
        ),
        can_back_up=any(
            each["may_create_databases"] and each["may_read_all"] for each in roles if each["role_name"] == BACKUP
        ),
    )


def grant_missing(connection: Connection[Any]) -> int:
    """Grant the roles of services what they lack in this database, which belongs to this role with all of its tables;
    return how many rights that were, 0 where there are no such roles. All or nothing. Raises psycopg.Error.

    A dump is restored without rights, as roles need not be there. deploy/sql/grants.sql gives the same.
    """
    found = read(connection)
    roles = [Identifier(name) for name in found.names if name not in (OWNER, NODE)]  # a node is a member of others
    if not roles:
        return 0
    everyone = SQL(", ").join(roles)
    services = SQL(", ").join(each for each in roles if each != Identifier(BACKUP))  # which reads all as it is
    here = Identifier(connection.info.dbname)
    lacking = [each for each in found.missing if not each.startswith(f"{NODE}: ")]
    with connection.transaction():
        connection.execute(SQL("revoke all on database {} from public").format(here))
        connection.execute(SQL("grant connect, temporary on database {} to {}").format(here, everyone))
        connection.execute(SQL("grant usage on schema public, ops, audit, raw, staging to {}").format(services))
        _grant(connection, lacking)
    return len(lacking)


def ensure_web(connection: Connection[Any]) -> None:
    """Make the role of the site on the embedded server, with its limits and the rights that it lacks. The connection is
    a superuser's. All or nothing; a second time it changes nothing. Raises psycopg.Error."""
    with connection.transaction():
        connection.execute(queries("roles")["make_web"])
        connection.execute(SQL("grant usage on schema public, ops, audit to {}").format(Identifier(WEB)))
        _grant(connection, [each for each in read(connection).missing if each.startswith(f"{WEB}: ")])


def _grant(connection: Connection[Any], lacking: Sequence[str]) -> None:
    """Grant rights, given as in Roles.missing."""
    for each in lacking:
        role, _, right = each.partition(": ")
        name, _, relation = right.partition(" on ")
        name, _, column = name.removesuffix(")").partition(" (")
        connection.execute(
            SQL("grant {}{} on {} {} to {}").format(
                SQL(RIGHTS[name]),
                SQL(" ({})").format(Identifier(column)) if column else SQL(""),
                SQL("sequence" if name == "usage" else "table"),
                Identifier(*relation.split(".")),
                Identifier(role),
            )
        )
