"""`vinops doctor` where each service has a role of its own, as the deploy script makes them: true for whoever asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ops.roles import grant_missing, read
from tests.support import forks
from tests.support.cases import few_quick
from vinops.config import Secret, Settings
from vinops.db import database
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    Findings = dict[str, tuple[str, str, str]]
    Doctor = Callable[[str], tuple[int, Findings]]

SQL = Path(__file__).resolve().parents[3] / "deploy" / "sql"
ROLES = ("owner", "etl", "photos", "market", "deals", "ops", "retention", "backup", "node", "web", "watch")


def as_role(address: str, role: str) -> str:
    return address.replace("//vinops@", f"//vinops_{role}@")


@pytest.fixture
def deployed(empty_url: str) -> Iterator[Connection[Any]]:
    """A database as the script leaves it, and who administrates its server."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute((SQL / "roles.sql").read_bytes())
        connection.execute(f'alter database "{connection.info.dbname}" owner to vinops_owner'.encode())
        database.migrate(Settings(database_url=Secret(as_role(empty_url, "owner"))))
        connection.execute((SQL / "grants.sql").read_bytes())
        yield connection


@pytest.fixture
def doctor(deployed: Connection[Any], empty_url: str, environment: dict[str, str], tmp_path: Path) -> Doctor:
    """Runs the doctor as a role; returns its exit code and what it found of the database, by subject."""

    def run(role: str) -> tuple[int, Findings]:
        variables = {**environment, "DATABASE_URL": as_role(empty_url, role)}
        done = forks.vinops(variables, "doctor", "--json", cwd=tmp_path)
        found = {
            each["subject"]: (each["level"], each["text"], each["fix"]) for each in json.loads(done.stdout)["findings"]
        }
        return done.returncode, found

    return run


@pytest.mark.parametrize("role", few_quick(ROLES, 0, 1))
def test_whoever_asks_all_is_well(doctor: Doctor, role: str) -> None:
    code, found = doctor(role)
    assert code == 0, found
    assert found["rights"] == ("OK", f"11 roles of services have what they need; this is vinops_{role}", "")
    assert found["migrations"][:2] == ("OK", "all applied")
    assert found["backups"][0] == "OK"
    assert found["backups"][1].endswith("scratch databases allowed to vinops_backup")


@pytest.mark.parametrize("role", few_quick(["owner", "ops", "photos"], 1))
def test_a_right_that_is_missing_is_named_with_what_fixes_it(
    deployed: Connection[Any], doctor: Doctor, role: str
) -> None:
    deployed.execute("revoke insert on images from vinops_photos")
    code, found = doctor(role)
    assert code == 1
    level, text, fix = found["rights"]
    assert (level, text) == ("ERROR", "2 rights of services are missing, as vinops_node: insert on public.images")
    assert fix.endswith("deploy/sql/grants.sql, in this database")


def test_a_table_that_came_later_and_a_schema_that_is_shut_are_seen(deployed: Connection[Any]) -> None:
    deployed.execute("create table audit.later (id bigint)")
    assert read(deployed).missing == ("vinops_etl: select on audit.later", "vinops_ops: select on audit.later")
    deployed.execute((SQL / "grants.sql").read_bytes())
    assert read(deployed).missing == ()
    deployed.execute("revoke usage on schema ops from vinops_retention")
    assert {each.partition(" on ")[2].partition(".")[0] for each in read(deployed).missing} == {"ops"}


@pytest.mark.slow
def test_before_the_migrations_nothing_is_amiss_but_those(doctor: Doctor, deployed: Connection[Any]) -> None:
    deployed.execute("delete from _yoyo_migration where migration_id like '0010%'")
    code, found = doctor("ops")
    assert code == 0
    assert found["migrations"] == ("WARNING", "1 are missing", "run `vinops migrate`")


def test_a_backup_that_could_not_be_tried_is_told(doctor: Doctor, deployed: Connection[Any]) -> None:
    deployed.execute("alter role vinops_backup nocreatedb")
    try:
        for role in ("owner", "ops"):
            code, found = doctor(role)
            assert code == 0
            assert found["backups"][0] == "WARNING"
            assert "deploy/sql/roles.sql" in found["backups"][2]
    finally:
        deployed.execute("alter role vinops_backup createdb")


def test_what_the_doctor_asks_for_is_what_is_granted(deployed: Connection[Any]) -> None:
    """Neither less, which would hide what is missing, nor more. The node has its rights through two other roles."""
    granted = deployed.execute(
        """
        select grantee::regrole::text, lower(privilege_type), format('%s.%s', nspname, relname)
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        cross join aclexplode(relacl) as acl
        where grantee::regrole::text like 'vinops\\_%' and grantee::regrole::text <> 'vinops_owner'
        union all
        select
            grantee::regrole::text, format('%s (%s)', lower(privilege_type), attname),
            format('%s.%s', nspname, relname)
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        join pg_namespace on pg_namespace.oid = relnamespace
        cross join aclexplode(attacl) as acl
        where grantee::regrole::text like 'vinops\\_%'
        """
    ).fetchall()
    asked = deployed.execute(queries("doctor")["service_rights"]).fetchall()
    assert {(role, right, name) for role, right, name, _ in asked if role != "vinops_node"} == set(granted)
    through = {"vinops_photos", "vinops_market"}
    assert {(right, name) for role, right, name, _ in asked if role == "vinops_node"} == {
        (right, name) for role, right, name in granted if role in through
    }


def test_a_restored_database_gets_the_rights_of_the_services_again(deployed: Connection[Any], empty_url: str) -> None:
    rights = (
        "select coalesce(relacl, '{}')::text[] from pg_class join pg_namespace on relnamespace = pg_namespace.oid"
        " where nspname in ('public', 'ops', 'audit', 'raw', 'staging') and relkind in ('r', 'p', 'v', 'S')"
        " order by pg_class.oid"
    )
    columns = "select attacl::text[] from pg_attribute where attacl is not null order by attrelid, attnum"
    access = (
        "select nspacl::text[] from pg_namespace where nspname in ('ops', 'audit', 'raw', 'staging') order by nspname"
    )
    database_access = "select datacl::text[] from pg_database where datname = current_database()"

    def granted() -> list[list[frozenset[str]]]:
        """The rights on each table, schema and the database, whatever the order in which they were granted."""
        asked = (rights, columns, access, database_access)
        return [[frozenset(acl) for (acl,) in deployed.execute(each.encode()).fetchall()] for each in asked]

    before = granted()
    for schema in ("public", "ops", "audit", "raw", "staging"):  # as pg_restore without privileges leaves it
        for kind in ("tables", "sequences"):
            deployed.execute(
                f"revoke all on all {kind} in schema {schema} from vinops_etl, vinops_photos, vinops_market,"
                " vinops_deals, vinops_ops, vinops_retention, vinops_web, vinops_watch".encode()
            )
    assert read(deployed).missing
    with psycopg.connect(as_role(empty_url, "owner"), autocommit=True) as owner:
        assert grant_missing(owner) > 50
        assert grant_missing(owner) == 0
    assert read(deployed).missing == ()
    assert granted() == before
