"""The database engines that may be asked: what every room has to know of each, a row each.

What a statement may read there is listed in ``guard/statement/allowed``, by sqlglot's name of the dialect, and
``database`` has a driver for each protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

NameCase = Literal["exact", "folded", "unquoted"]
"""How a server compares names: as written, without regard to case, or as written where they are quoted."""
SQLITE_VALUE_BYTES = 10_000
"""How large a value of SQLite may be that is worked on in the service's process, where nothing ends a slow call."""


@dataclass(frozen=True, slots=True)
class CatalogueQueries:
    """The statements that ask a server's catalogue what a schema holds; each takes ``:schema``."""

    tables: str = ""
    """Name, whether it is a view, comment, and whether it may be unreadable although it is described."""
    columns: str = ""
    """Table, name, type, whether nullable, comment, expression, whether readable, whether of the primary key."""
    keys: str = ""
    """Table, constraint, column, target and target column of foreign keys, in the order of their columns."""
    partial: str = ""
    """Tables of which the login has been given single columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectRow:
    """One engine. A row gives what is not as in most of them."""

    name: str
    """``Schema.dialect``, a value of the label ``database_type``, and how a URL begins."""
    title: str
    sqlglot: str
    driver: str
    """SQLAlchemy's name of dialect and driver."""
    protocol: Literal["sqlite", "postgres", "mysql", "http"]
    aliases: tuple[str, ...] = ()
    """Other ways in which a URL may begin."""
    extra: str = ""
    """The extra of this package that installs the driver; empty where the package itself does."""
    clients: tuple[str, ...] = ()
    """Its programs for the command line; a question that calls one is no question."""

    quote: str = '"'
    table_names: NameCase = "exact"
    column_names: NameCase = "folded"
    quotes_capitals: bool = False
    """Whether a name with capital letters is quoted, lest the server look for another."""
    main_schema: str = ""
    """The schema of every table, which no statement has to name."""
    system_schemas: tuple[str, ...] = ()
    """Schemas of the server's own beside ``information_schema``."""
    system_prefix: str = ""
    """How the names of the server's own tables begin."""
    searched_schema: str = ""
    """The system schema whose tables are found without its name."""
    row_ids: tuple[str, ...] = ()
    """Names that stand for the value of an integer primary key."""

    views: str = ""
    """Query for schema, name and definition of what shows the data of other tables; NULL where that is not known."""
    catalogs: str = ""
    """Query for the name of the catalogue that one is in, where the names of tables may begin with it."""
    catalogue: CatalogueQueries = CatalogueQueries()
    """Empty where the schema is read in another way."""
    has_ilike: bool = False
    nulls_are_largest: bool = False
    dates_are_text: bool = False
    quotes_text: bool = False
    """Whether a word in double quotes that is no name of a column is a text."""
    has_row_values: bool = False
    """Whether a table's name is a value, its whole row, and ``table.name`` may be the call ``name(table)``."""
    recurses_unasked: bool = False
    """Whether a common table expression may refer to itself without RECURSIVE."""
    takes_tables_after_in: bool = False
    """Whether a bare name after IN is a table."""
    has_tight_not: bool = False
    """Whether ``!`` is a NOT that binds more tightly."""


_POSTGRES_VIEWS = """
SELECT n.nspname, c.relname, CASE WHEN NOT EXISTS (
    SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
    WHERE r.ev_class = c.oid AND p.provolatile <> 'i') THEN pg_get_viewdef(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')"""
"""A function of one's own may read tables, unless it is IMMUTABLE."""

_MYSQL_CATALOGUE = CatalogueQueries(
    "SELECT table_name, table_type = 'VIEW', CASE table_type WHEN 'VIEW' THEN '' ELSE table_comment END,"
    " coalesce(engine, 'VIEW') NOT IN ('InnoDB', 'Aria', 'MyISAM', 'MEMORY') FROM information_schema.tables"
    " WHERE table_schema = :schema AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')",
    "SELECT table_name, column_name, column_type, is_nullable = 'YES', column_comment,"
    " CASE WHEN extra REGEXP '(VIRTUAL|STORED|PERSISTENT) GENERATED' THEN coalesce(generation_expression, '') END,"
    " find_in_set('select', privileges) > 0, column_key = 'PRI' FROM information_schema.columns"
    " WHERE table_schema = :schema ORDER BY table_name, ordinal_position",
    "SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name"
    " FROM information_schema.key_column_usage WHERE table_schema = :schema AND referenced_table_schema = :schema"
    " ORDER BY table_name, constraint_name, ordinal_position",
    "SELECT DISTINCT table_name FROM information_schema.column_privileges WHERE table_schema = :schema",
)
_MYSQL = DialectRow(
    name="mysql",
    title="MySQL",
    sqlglot="mysql",
    driver="mysql+pymysql",
    protocol="mysql",
    clients=("mysql", "mysqldump", "mysqladmin"),
    quote="`",
    system_schemas=("mysql", "performance_schema", "sys"),
    row_ids=("_rowid",),
    views="SELECT table_schema, table_name, view_definition FROM information_schema.views UNION ALL "
    "SELECT table_schema, table_name, NULL FROM information_schema.tables WHERE engine = 'MRG_MyISAM'",
    catalogue=_MYSQL_CATALOGUE,
    has_tight_not=True,
)

_ROWS = (
    DialectRow(
        name="sqlite",
        title="SQLite",
        sqlglot="sqlite",
        driver="sqlite+pysqlite",
        protocol="sqlite",
        clients=("sqlite3",),
        table_names="folded",
        main_schema="main",
        system_prefix="sqlite_",
        row_ids=("rowid", "oid", "_rowid_"),
        views="SELECT 'main', name, sql FROM sqlite_master WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%'",
        dates_are_text=True,
        quotes_text=True,
        recurses_unasked=True,
    ),
    DialectRow(
        name="postgresql",
        title="PostgreSQL",
        sqlglot="postgres",
        driver="postgresql+psycopg",
        protocol="postgres",
        aliases=("postgres",),
        clients=("psql", "pg_dump", "pg_dumpall"),
        table_names="unquoted",
        column_names="unquoted",
        quotes_capitals=True,
        system_schemas=("pg_catalog", "pg_toast"),
        system_prefix="pg_",
        searched_schema="pg_catalog",
        views=_POSTGRES_VIEWS,
        catalogs="SELECT current_database()",
        has_ilike=True,
        nulls_are_largest=True,
        has_row_values=True,
    ),
    replace(_MYSQL, name="mariadb", title="MariaDB", driver="mariadb+pymysql"),
    _MYSQL,
    DialectRow(
        name="trino",
        title="Trino",
        sqlglot="trino",
        driver="trino",
        protocol="http",
        extra="trino",
        views="SELECT table_schema, table_name, view_definition FROM information_schema.views UNION ALL "
        "SELECT schema_name, name, definition FROM system.metadata.materialized_views "
        "WHERE catalog_name = current_catalog",
        catalogue=CatalogueQueries(
            "SELECT table_name, table_type = 'VIEW', '', false FROM information_schema.tables"
            " WHERE table_schema = :schema",
            "SELECT table_name, column_name, data_type, is_nullable = 'YES', '', NULL, true, false"
            " FROM information_schema.columns WHERE table_schema = :schema ORDER BY table_name, ordinal_position",
        ),
        catalogs="SELECT current_catalog",
        table_names="folded",
        quotes_capitals=True,
        has_ilike=True,
    ),
    DialectRow(
        name="clickhouse",
        title="ClickHouse",
        sqlglot="clickhouse",
        driver="clickhousedb+connect",
        protocol="http",
        extra="clickhouse",
        # No query, since its columns may be patterns: whatever names a marked table is marked.
        views="SELECT database, name, concat('AS ', create_table_query) FROM system.tables "
        "WHERE engine NOT LIKE '%MergeTree'",
        catalogue=CatalogueQueries(
            "SELECT name, engine LIKE '%View', comment, 0 FROM system.tables"
            " WHERE database = :schema AND NOT is_temporary AND NOT startsWith(name, '.inner')",
            "SELECT table, name, type, type LIKE '%Nullable(%', comment,"
            " if(default_kind IN ('ALIAS', 'MATERIALIZED'), default_expression, NULL), 1, 0"
            " FROM system.columns WHERE database = :schema ORDER BY table, position",
        ),
        clients=("clickhouse-client",),
        quote="`",
        column_names="exact",
        system_schemas=("system",),
        has_ilike=True,
        takes_tables_after_in=True,
    ),
)

DIALECTS: dict[str, DialectRow] = {row.name: row for row in _ROWS}
SYSTEM_SCHEMAS = frozenset({"information_schema"}).union(*(row.system_schemas for row in _ROWS))
"""Schemas that are nobody's data, whichever server is asked."""


def find_dialect(name: str) -> DialectRow | None:
    """The engine of this name, which may be an alias or SQLAlchemy's."""
    return next((row for row in _ROWS if name in (row.name, row.driver.partition("+")[0], *row.aliases)), None)
