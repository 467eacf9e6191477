"""Names of system catalogues, of whichever product: an ordinary database has no such table."""

from __future__ import annotations

import re

from sql_synthesizer.model.dialects import SYSTEM_SCHEMAS

SCHEMAS = SYSTEM_SCHEMAS.union(
    # the standard, Oracle, SQL Server, Informix
    "definition_schema sysman dbsnmp ctxsys mdsys ordsys wmsys xdb outln".split(),
    "master msdb tempdb sysmaster sysadmin sysuser sysutils".split(),
    # Db2, Teradata, Vertica, Mimer, Snowflake, Hana
    "syscat sysibm sysibmadm sysibminternal sysstat sysproc sysfun systools qsys qsys2".split(),
    "dbc dbcinfo dbcmngr syslib td_sysfnlib tdstats v_catalog v_monitor v_internal mimer".split(),
    "snowflake account_usage organization_usage data_sharing_usage reader_account_usage".split(),
    "_sys_bi _sys_bic _sys_repo _sys_statistics _sys_security _sys_epm".split(),
    # relatives of MySQL and PostgreSQL, Spanner, Cassandra, Altibase, Solid
    "ndbinfo metrics_schema oceanbase memsql crdb_internal gp_toolkit sys_catalog dbe_perf".split(),
    "spanner_sys system_schema system_auth system_ _system".split(),
)
"""Folded names of schemas and databases that hold nothing but a product's own tables."""

_TABLES = frozenset(
    # SQL Server, Sybase, Informix, Derby, Db2: behind `sys`
    f"sys{name}"
    for name in (
        "aliases altfiles alternates attributes cacheobjects charsets checks colauth column columns colperms comments "
        "configures conglomerates constraints curconfigs databases defaults depends devices dummy dummy1 filegroups "
        "files foreignkeys fulltextcatalogs indexes indexkeys indices jobs jobhistory keys languages lockinfo locks "
        "loginroles logins members messages objects objvalues perfinfo permissions procauth procbody procedure "
        "procedures processes protects references remotelogins roleauth roles routineperms schemas segments servers "
        "statements statistics synonyms syntable tab tabauth tabcol table tableperms tables tabstats trigger triggers "
        "types usages user userauthority userperm userperms users view views xlogins"
    ).split()
).union(
    # SQLite, Oracle, SQL Server, Ingres, Cubrid, HSQLDB, BigQuery, Hana
    "dbstat session_privs session_roles role_role_privs role_sys_privs role_tab_privs spt_values".split(),
    "product_component_version nls_session_parameters nls_database_parameters nls_instance_parameters".split(),
    "iitables iicolumns iiusers iiaccess iiconstraints iidatabase_info iidbconstants iiindexes iiviews".split(),
    "db_class db_vclass db_attribute db_auth db_stored_procedure __tables__ __tables_summary__".split(),
    "system_primarykeys system_indexinfo system_sessions system_schemas system_catalogs".split(),
    "m_connections m_host_information m_sql_plan_cache m_system_overview m_active_statements m_cs_tables".split(),
)
_FORMS = re.compile(
    # how names of Oracle, Firebird, PostgreSQL, Redshift, Greenplum, Netezza, SQLite, DuckDB, MySQL, Access, Cubrid,
    # Oceanbase, Exasol and Cache begin
    r"dba_|cdb_|(?:g?v_?|x|rdb|mon|sec)\$|pg_|(?:svv|svl|svcs|stl|stv|gp)_|_[vt]_|sqlite_|pragma_|duckdb_|innodb_|msys"
    r"|_db_|__all_|exa_|%dictionary"
    # Oracle's views of one's own and of all objects
    r"|(?:all|user)_(?:catalog|col_\w+|cons_columns|constraints|db_links|directories|ind_\w+|indexes|mviews|objects"
    r"|procedures|role_privs|sequences|source|synonyms|sys_privs|tab_\w+|tables|tablespaces|trigger_cols|triggers|users"
    r"|views)\Z|all_(?:all_tables|arguments|dependencies|errors|jobs|libraries|lobs|object_tables|part_\w+|policies"
    r"|queues|scheduler_\w+|snapshots|types|type_\w+|xml_\w+)\Z"
    # Redshift's monitoring views
    r"|sys_(?:query|load|unload|connection|session|transaction|serverless|external)_\w*(?:history|detail|log|usage|text)\Z"
)
_PAIRS = re.compile(r"domain\.(?:tables|columns|users|schemas|views|indexes|constraints)\Z")  # MaxDB


def is_catalogue(name: str, *above: str) -> bool:
    """Whether a table of this name, in the schemas and databases ``above``, is a product's own."""
    name, *around = (part.casefold() for part in (name, *above))
    known = name in _TABLES or not SCHEMAS.isdisjoint(around)
    return known or bool(_FORMS.match(name)) or any(_PAIRS.match(f"{part}.{name}") for part in around)
