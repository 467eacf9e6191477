"""What the words and signs of SQL are, one letter a kind; the letters are explained in ``lexer``."""

from __future__ import annotations

import re


def _words_of_kind(letter: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), letter)


KINDS: dict[str, str] = {
    **_words_of_kind("1", "null true false unknown"),
    **_words_of_kind("&", "and or xor && ||"),
    **_words_of_kind("=", "= == === < > <= >= <> != !== <=> !< !> := ^="),
    **_words_of_kind(
        "~",
        "like rlike regexp glob ilike is div mod collate escape match against similar sounds overlaps "
        ":: -> ->> #> #>> #- <@ @> ~* !~ !~* ~~",
    ),
    **_words_of_kind("i", "in between"),
    **_words_of_kind("u", "not binary distinct distinctrow any all some exists prior unique top interval ! ~"),
    **_words_of_kind("a", "+ - * / % ^ | & << >>"),
    **_words_of_kind("U", "union intersect except minus"),
    **_words_of_kind("E", "select"),
    **_words_of_kind("B", "from where limit offset into join using procedure fetch window returning rows"),
    **_words_of_kind("H", "having"),
    **_words_of_kind("K", "case when then else as"),
    **_words_of_kind("k", "end asc desc isnull notnull"),
    **_words_of_kind("Z", "current_user session_user system_user current_database current_schema current_role"),
    **_words_of_kind(
        "C",
        "information_schema sysobjects syscolumns sysusers sysdatabases sysprocesses syslogins syscomments "
        "sysindexes "
        "systables systabauth sysxlogins sysmaster sysadtables sysibm syscat sysibmadm sysstat sqlite_master "
        "sqlite_schema "
        "sqlite_temp_master sqlite_temp_schema sqlite_sequence sqlite_stat1 pg_catalog innodb_table_stats "
        "innodb_index_stats session_privs session_roles role_tab_privs role_sys_privs role_role_privs __tables__ "
        "msysobjects msysaccessobjects msysaccessxml msysaccessstorage msysqueries msysaces msysrelationships",
    ),
    **_words_of_kind(
        "e",
        "the an my our your their his her its these those this that which who whom whose what how many much per "
        "each every of to me us you we they it please than more most less only about are was were has have had do "
        "does did can could would should will until since during because also but made with by at on so here "
        "there been",
    ),
}
"""Word or sign -> kind, where it stands alone."""

CALLS: dict[str, str] = {
    **_words_of_kind(
        "F",
        "sleep pg_sleep pg_sleep_for pg_sleep_until benchmark get_lock release_lock master_pos_wait randomblob "
        "zeroblob extractvalue updatexml xmltype xmlquery xmltable xmlagg xmlelement json_keys name_const "
        "gtid_subset "
        "gtid_subtract st_latfromgeohash st_longfromgeohash st_pointfromgeohash geometrycollection multipoint "
        "multilinestring multipolygon linestring query_to_xml database_to_xml table_to_xml load_file "
        "load_extension readfile writefile fts3_tokenizer bfilename pg_read_file pg_ls_dir pg_read_binary_file "
        "pg_stat_file pg_file_write lo_import lo_export lo_from_bytea lo_get httpuritype dblink dblink_connect "
        "dblink_send_query openrowset opendatasource openquery sys_eval sys_exec current_setting set_config "
        "sys_context userenv pg_terminate_backend getpgusername inet_server_addr is_srvrolemember is_member "
        "has_dbaccess serverproperty object_id col_name object_name sqlite_compileoption_get "
        "sqlite_compileoption_used procedure analyse delay exec execute make_set find_in_set compress uncompress "
        "coercibility charset glob sleepeachrow from_base64 to_base64 regexp_like regexp_substr",
    ),
    **_words_of_kind(
        "p",
        "ascii ord char chr nchar unichar hex unhex substr substring mid conv md5 sha1 sha2 lpad rpad bin oct "
        "strcmp instr locate ifnull isnull elt soundex ucase lcase group_concat concat concat_ws quote unistr "
        "rawtohex to_char aes_decrypt hamming string_agg listagg json_extract json_valid json_arrayagg iif "
        "if nvl decode "
        "char_length len row position lcase likelihood likely unlikely convert cast",
    ),
    **_words_of_kind(
        "Z",
        "user version database schema db_name user_name suser_name suser_sname host_name connection_id "
        "system_user session_user current_user last_insert_id row_count current_database current_schema "
        "schema_name sqlite_version pg_backend_pid pg_postmaster_start_time suser_id pg_current_logfile "
        "app_name original_login user_id",
    ),
    **_words_of_kind(
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

DANGEROUS = re.compile(r"(?:\w+\.{1,2})*(?:xp|sp|fn|dbms|utl|ctxsys|ordsys|master|lo|sys|pragma)[_.]\w|system\$\w")
"""Functions that are known by how their name begins."""

TELLING = re.compile(
    r"pg_sleep|load_file$|(?:utl|dbms)_\w+\.|xp_(?:cmdshell|dirtree|reg\w+|fileexist|subdirs"
    r"|availablemedia|servicecontrol)"
    r"|sp_(?:executesql|oa\w+|configure|addlogin|password|addsrvrolemember|addrolemember|makewebtask"
    r"|helptext|helpdb|who2"
    r"|start_job|execute_external_script|adduser|droplogin)$"
)
"""Names that are suspicious without being called, unless they stand in prose."""

CATALOGUES = re.compile(
    r"(?:mysql|sys|performance_schema|syscat|sysibm(?:adm)?|sysmaster|account_usage)\."
    r"(?!(?:com|org|path|argv|exit|modules|std\w+)\b)(?:\w+\.)?(?:\w*\$)?\w"
    r"|system\.(?:tables|columns|users|databases|processes|query_log|settings|functions|parts|clusters"
    r"|grants|roles|one|numbers)$"
    r"|(?:\w+\.)*(?:pragma_\w|(?:sys\.)?(?:g?v|x|mon|rdb)\$\w|information_schema\b|account_usage\.)"
    r"|(?:\w+\.)*(?:dba|cdb|all)_(?:source$|errors$)|(?:\w+\.)*(?:dba|cdb)_(?:\w+s|source|\w*cols)$"
    r"|(?:\w+\.)*(?:all|user)_(?:tables|tab_\w+|tab_cols|users|objects|constraints|cons_columns|ind_columns|triggers"
    r"|catalog|sys_privs|role_privs|db_links|procedures|col_comments|mviews|synonyms|arguments|ts_quotas)$"
    r"|(?:\w+\.)*pg_(?:shadow|user(?:_mappings?)?|authid|roles|group|database|tables|class|procs?"
    r"|namespace|attribute|settings"
    r"|type|index(?:es)?|views|constraint|description|language|extension|trigger|hba_file_rules"
    r"|file_settings|stats?"
    r"|stat_\w+|stats_\w+|auth_members|largeobject\w*|locks|policies|sequences|matviews|tablespace"
    r"|inherits|enum|depend|"
    r"statio_\w+|db_role_setting|available_extensions|config|cursors|rewrite|seclabels?|subscription|publication\w*)$"
    r"|(?:master|msdb|model|tempdb|\w+)\.\.?(?:dbo\.|sys\.)?sys(?:objects|databases|columns|users|logins"
    r"|processes|tables)$"
    r"|\w+\.sys\.\w+"
)
"""Catalogues that are known by their name's form, of servers that have too many to list."""
