"""What the words and signs of SQL are, one letter a kind; the letters are explained in ``lexer``."""

from __future__ import annotations

import re


def _kind(letter: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), letter)


KINDS: dict[str, str] = {
    **_kind("1", "null true false unknown"),
    **_kind("&", "and or xor && ||"),
    **_kind("=", "= == === < > <= >= <> != !== <=> !< !> := ^="),
    **_kind(
        "~",
        "like rlike regexp glob ilike is div mod collate escape match against similar sounds overlaps "
        ":: -> ->> #> #>> #- <@ @> ~* !~ !~* ~~",
    ),
    **_kind("i", "in between"),
    **_kind("u", "not binary distinct distinctrow any all some exists prior unique top interval ! ~"),
    **_kind("a", "+ - * / % ^ | & << >>"),
    **_kind("U", "union intersect except minus"),
    **_kind("E", "select"),
    **_kind("B", "from where limit offset into join using procedure fetch window returning rows"),
    **_kind("H", "having"),
    **_kind("K", "case when then else as"),
    **_kind("k", "end asc desc isnull notnull"),
    **_kind("Z", "current_user session_user system_user current_database current_schema current_role"),
    **_kind(
        "C",
        "information_schema sysobjects syscolumns sysusers sysdatabases sysprocesses sysibm syscat sqlite_master "
        "sqlite_schema sqlite_temp_master pg_catalog pg_shadow pg_user pg_authid pg_roles pg_database pg_tables "
        "pg_class pg_proc pg_namespace pg_attribute pg_stat_activity all_tables user_tables dba_tables "
        "all_tab_columns user_tab_columns all_tab_cols all_users dba_users user_catalog user_objects all_objects "
        "session_privs role_tab_privs v$version v$instance v$database v$session gv$version rdb$database "
        "rdb$relations msysobjects msysaccessobjects innodb_table_stats",
    ),
    **_kind(
        "e",
        "the an my our your their his her its these those this that which who whom whose what how many much per "
        "each every of to me us you we they it please than more most less only about are was were has have had do "
        "does did can could would should will until since during because also but made with by at on so here "
        "there been",
    ),
}
"""Word or sign -> kind, where it stands alone."""

CALLS: dict[str, str] = {
    **_kind(
        "F",
        "sleep pg_sleep pg_sleep_for pg_sleep_until benchmark get_lock release_lock master_pos_wait randomblob "
        "zeroblob extractvalue updatexml xmltype xmlquery xmlagg xmlelement json_keys name_const gtid_subset "
        "gtid_subtract st_latfromgeohash st_longfromgeohash st_pointfromgeohash geometrycollection multipoint "
        "multilinestring multipolygon linestring query_to_xml database_to_xml table_to_xml load_file "
        "load_extension readfile writefile fts3_tokenizer bfilename pg_read_file pg_ls_dir pg_read_binary_file "
        "pg_stat_file pg_file_write lo_import lo_export lo_from_bytea lo_get httpuritype dblink dblink_connect "
        "dblink_send_query openrowset opendatasource openquery sys_eval sys_exec current_setting set_config "
        "sys_context userenv pg_terminate_backend getpgusername inet_server_addr is_srvrolemember is_member "
        "has_dbaccess serverproperty object_id col_name object_name sqlite_compileoption_get "
        "sqlite_compileoption_used procedure analyse delay exec execute make_set find_in_set compress uncompress "
        "coercibility charset from_base64 to_base64 regexp_like regexp_substr",
    ),
    **_kind(
        "p",
        "ascii ord char chr nchar unichar hex unhex substr substring mid conv md5 sha1 sha2 lpad rpad bin oct "
        "strcmp instr locate ifnull isnull elt soundex ucase lcase group_concat concat concat_ws quote unistr "
        "rawtohex to_char aes_decrypt string_agg listagg json_extract json_valid json_arrayagg iif if nvl decode "
        "char_length len row likelihood likely unlikely convert cast",
    ),
    **_kind(
        "Z",
        "user version database schema db_name user_name suser_name suser_sname host_name connection_id "
        "system_user session_user current_user last_insert_id row_count current_database current_schema "
        "schema_name sqlite_version pg_backend_pid app_name original_login user_id",
    ),
    **_kind(
        "f",
        "count sum avg min max round floor ceil ceiling abs rand random pi sin cos tan sqrt exp log pow power mod "
        "sign length left right upper lower reverse replace trim ltrim rtrim coalesce nullif now date format "
        "insert space repeat greatest least extract year month day sysdate truncate regexp_replace "
        "generate_series",
    ),
}
"""Function -> kind, where it is called."""

SPACED = frozenset("extractvalue updatexml substr substring ascii concat unhex xmltype group_concat".split())
"""Functions that are no English words, so that a blank may stand before their parenthesis."""

DANGEROUS = re.compile(r"(?:\w+\.{1,2})*(?:xp|sp|fn|dbms|utl|ctxsys|ordsys|master|lo|sys)[_.]\w")
"""Functions that are known by how their name begins."""

TELLING = re.compile(r"pg_sleep|xp_cmdshell|xp_dirtree|load_file$|(?:utl|dbms)_\w+\.")
"""Names that are suspicious without being called, unless they stand in prose."""

CATALOGUES = re.compile(r"(?:mysql|sys|performance_schema|syscat|sysibm)\.\w|pragma_\w")
"""Catalogues that are known by how their name begins."""
