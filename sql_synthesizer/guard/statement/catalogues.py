"""The system catalogues that a role may be let read: those that tell what there is, and no value of any row.

Left out are catalogues of accounts and secrets (``pg_authid``, ``mysql.user``), of samples of the data (``pg_stats``,
``column_stats``), of what others run (``pg_stat_activity``, ``processlist``) and of settings and files.
"""

from __future__ import annotations

from sql_synthesizer.model import Column, ColumnKind, Table


def _build_tables(schema: str | None, **columns: str) -> tuple[Table, ...]:
    return tuple(
        Table(name, tuple(Column(column, ColumnKind.OTHER) for column in names.split()), schema=schema)
        for name, names in columns.items()
    )


_STANDARD = _build_tables(
    "information_schema",
    schemata="catalog_name schema_name schema_owner",
    tables="table_catalog table_schema table_name table_type table_rows table_comment engine",
    columns=(
        "table_catalog table_schema table_name column_name ordinal_position column_default is_nullable data_type "
        "character_maximum_length numeric_precision numeric_scale column_type column_key column_comment udt_name"
    ),
    views="table_catalog table_schema table_name view_definition",
)
_KEYS = _build_tables(
    "information_schema",
    table_constraints="constraint_schema constraint_name table_schema table_name constraint_type",
    key_column_usage=(
        "constraint_schema constraint_name table_schema table_name column_name ordinal_position "
        "referenced_table_schema referenced_table_name referenced_column_name"
    ),
    referential_constraints="constraint_schema constraint_name unique_constraint_name update_rule delete_rule",
)
_POSTGRES = _build_tables(
    "pg_catalog",
    pg_namespace="oid nspname",
    pg_class="oid relname relnamespace reltype relkind reltuples relpages relnatts",
    pg_attribute="attrelid attname atttypid attnum attnotnull attisdropped",
    pg_type="oid typname typnamespace typtype typcategory",
    pg_index="indexrelid indrelid indisunique indisprimary",
    pg_constraint="oid conname contype conrelid confrelid",
    pg_description="objoid classoid objsubid description",
    pg_tables="schemaname tablename tableowner",
    pg_views="schemaname viewname viewowner definition",
    pg_indexes="schemaname tablename indexname indexdef",
)
_SQLITE = _build_tables(
    None,
    sqlite_master="type name tbl_name rootpage sql",
    sqlite_schema="type name tbl_name rootpage sql",
)
_CLICKHOUSE = _build_tables(
    "system",
    databases="name engine comment",
    tables="database name engine total_rows total_bytes comment",
    columns="database table name type position comment",
)

CATALOGUES: dict[str, tuple[Table, ...]] = {
    "sqlite": _SQLITE,
    "postgres": _STANDARD + _KEYS + _POSTGRES,
    "mysql": _STANDARD + _KEYS,
    "trino": _STANDARD,
    "clickhouse": _CLICKHOUSE,
}
"""sqlglot's name of a dialect -> the catalogues that may be allowed."""
