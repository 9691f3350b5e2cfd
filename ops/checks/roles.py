"""Whether the roles of the services have what their services need: asked by any of them, for all of them."""

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
    """Which roles are there, which are not, which rights are missing, as `vinops_etl: insert on raw.csv_files`, and
    whether the role of the backup may do what a backup does."""

    names: tuple[str, ...]
    absent: tuple[str, ...]
    missing: tuple[str, ...]
    can_back_up: bool


def look(connection: Connection[Any]) -> Roles:
    """Return how the roles are. Everybody may ask that. Raises psycopg.Error."""
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
