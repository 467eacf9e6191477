"""System catalogues of whichever product are told from tables of an ordinary database by their names."""

from __future__ import annotations

import pytest

from sql_synthesizer.guard.statement.catalogues import is_catalogue
from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS
from sql_synthesizer.settings import Settings
from sql_synthesizer_proof.security import Judge

CATALOGUES = """
all_tables ALL_TAB_COLUMNS dba_users dba_hist_snapshot cdb_pdbs user_tab_privs user_objects sys.user$ v$session
V$VERSION gv$instance x$kcc session_privs sys.objects sys.dm_exec_sessions master.dbo.spt_values sysobjects
msdb.dbo.sysjobs tempdb.x.y msysobjects v_catalog.tables V_MONITOR.sessions information_schema.ext_columns mimer.users
system.users syscat.tables sysibm.sysdummy1 sysibmadm.env_sys_info qsys2.systables dbc.tablesv rdb$relations
mon$attachments systables sysmaster.syssessions pg_shadow pg_catalog.pg_user mysql.user performance_schema.threads
innodb_locks sqlite_master dbstat duckdb_tables svv_tables stl_query stv_sessions svl_qlog sys_query_history
account_usage.login_history snowflake.account_usage.query_history gp_segment_configuration crdb_internal.nodes
_sys_bi.views m_connections iitables db_class exa_all_tables _v_table domain.tables __tables__
""".split()
ORDINARY = """
user_profiles user_roles user_types all_students sys_user sys_role syslogs sysconfig systems system_logs master model
pages domains domain dictionary admins m_users db_users mysql_imports views tables users objects sales.tables hr.users
columns information dual export_all_tables msy visits.v
""".split()


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(Settings(state_dir=tmp_path_factory.mktemp("state")))


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_catalogue_is_invented_for_no_dialect(judge: Judge, name: str) -> None:
    for dialect in (None, *DIALECTS):
        assert judge.judge_statement(f"SELECT a FROM {name}", dialect).flagged, dialect


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_table_is_invented_whatever_it_resembles(judge: Judge, name: str) -> None:
    assert not judge.judge_statement(f"SELECT a FROM {name}").flagged


def test_a_catalogue_is_told_from_a_table_of_its_name(judge: Judge) -> None:
    assert judge.judge_statement("SELECT t.a FROM tables t JOIN v_catalog.tables c ON c.a = t.a").reason == (
        "unknown_table"
    )
    assert not judge.judge_statement("SELECT t.a FROM tables t JOIN sales.columns c ON c.a = t.a").flagged


def test_what_the_known_engines_keep_to_themselves_is_listed() -> None:
    assert all(is_catalogue("any", schema) for schema in SYSTEM_SCHEMAS)
    assert all(is_catalogue(f"{row.system_prefix}any") for row in DIALECTS.values() if row.system_prefix)
