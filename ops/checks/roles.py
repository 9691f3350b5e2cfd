"""The database roles of the services and their rights, readable by each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

OWNER: Final = "vinops_owner"
BACKUP: Final = "vinops_backup"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles that exist, those that do not, the missing rights (`vinops_etl: insert on raw.csv_files`), and whether
    the role of the backup may read everything and create databases."""

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
