"""What the words and signs of SQL are, one letter a kind; the letters are explained in ``lexer``."""

from __future__ import annotations

import re


def _letter_of_each(words: dict[str, str]) -> dict[str, str]:
    return {word: letter for letter, listed in words.items() for word in listed.split()}


KINDS: dict[str, str] = _letter_of_each(
    {
        "1": "null true false unknown",
        "&": "and or xor && ||",
        "=": "= == === < > <= >= <> != !== <=> !< !> := ^=",
        "~": "like rlike regexp glob ilike is div mod collate escape match against similar sounds overlaps :: -> ->> "
        "#> #>> #- <@ @> ~* !~ !~* ~~",
        "i": "in between",
        "u": "not binary distinct distinctrow any all some exists prior unique top interval ! ~",
        "a": "+ - * / % ^ | & << >>",
        "U": "union intersect except minus",
        "E": "select",
        "B": "from where limit offset into join using procedure fetch window returning rows",
        "H": "having",
        "K": "case when then else as",
        "k": "end asc desc isnull notnull",
        "Z": "current_user session_user system_user current_database current_schema current_role",
        "C": "information_schema pg_catalog sqlite_master sqlite_schema sqlite_temp_master sqlite_sequence "
        "innodb_table_stats innodb_index_stats sysobjects syscolumns sysusers sysdatabases syslogins syscat "
        "sysibm systables msysobjects session_privs session_roles",
        "e": "the an my our your their his her its these those this that which who whom whose what how many much per "
        "each every of to me us you we they it please than more most less only about are was were has have had "
        "do does did can could would should will until since during because also but made with by at on so here "
        "there been",
    }
)
"""Word or sign -> kind, where it stands alone."""

CALLS: dict[str, str] = _letter_of_each(
    {
        "F": "sleep pg_sleep pg_sleep_for pg_sleep_until sleepeachrow benchmark get_lock release_lock master_pos_wait "
        "randomblob extractvalue updatexml xmltype gtid_subset sqlite_compileoption_get load_file load_extension "
        "readfile writefile pg_read_file pg_read_binary_file pg_ls_dir pg_stat_file pg_file_write lo_import "
        "lo_export dblink dblink_connect dblink_send_query query_to_xml database_to_xml table_to_xml openrowset "
        "sys_eval sys_exec current_setting set_config pg_terminate_backend procedure analyse exec execute "
        "find_in_set glob json_keys name_const gtid_subtract lo_get",
        "p": "ascii ord char chr hex unhex substr substring mid md5 sha1 concat concat_ws group_concat string_agg if "
        "iif ifnull elt convert cast strcmp likelihood",
        "Z": "user version database schema connection_id system_user session_user current_user current_database "
        "current_schema sqlite_version last_insert_id db_name user_name suser_name host_name",
        "f": "count sum avg min max round floor abs rand random pi sin length coalesce now",
    }
)
"""Function -> kind, where it is called."""

DANGEROUS = re.compile(r"(?:\w+\.{1,2})*(?:xp|sp|fn|dbms|utl|ctxsys|ordsys|master|lo|sys|pragma)[_.]\w")
"""Functions that are known by how their name begins."""

TELLING = re.compile(
    r"pg_sleep|xp_(?:cmdshell|dirtree|reg\w+|fileexist|subdirs|availablemedia|servicecontrol)"
    r"|sp_(?:executesql|oa\w+|configure|addlogin|password|addsrvrolemember|addrolemember|helptext|helpdb|who2|adduser)$"
)
"""Names that are suspicious without being called, unless they stand in prose."""

CATALOGUES = re.compile(
    # tables of a schema that holds nothing else, but no module of Python
    r"(?:mysql|sys|performance_schema|syscat|sysibm(?:adm)?)\."
    r"(?!(?:com|org|path|argv|exit|modules|std\w+)\b)(?:\w+\.)?(?:\w*\$)?\w"
    # the schema `system`
    r"|system\.(?:tables|columns|users|databases|processes|query_log|settings|functions|parts|clusters|grants|roles"
    r"|one|numbers)$"
    r"|(?:\w+\.)*(?:pragma_\w|(?:sys\.)?(?:g?v|x)\$\w|information_schema\b)"
    # Oracle
    r"|(?:\w+\.)*(?:dba|cdb)_(?:\w+s|source|\w*cols)$"
    r"|(?:\w+\.)*(?:all|user)_(?:tables|tab_\w+|users|objects|constraints|cons_columns|ind_columns|triggers"
    r"|catalog|sys_privs|role_privs|db_links|procedures|col_comments|mviews|synonyms|arguments)$"
    # PostgreSQL, whose programs are no catalogues
    r"|(?:\w+\.)*pg_(?!(?:sleep|dump|dumpall|restore|ctl|bench|upgrade|basebackup|isready|cron)$)\w+$"
)
"""Catalogues that are known by their name's form, of servers that have too many to list."""
