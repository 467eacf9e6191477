"""The functions that a statement may call: per dialect, the server's own names in lower case.

A function is listed when it computes a value from its arguments and nothing else: it reads no file, setting,
session or catalogue, waits for nothing, changes nothing, and its result is not much larger than its arguments
unless ``SIZED`` or ``SERIES`` bounds it.
"""

from __future__ import annotations


def _name_set(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


AGGREGATES = _name_set(
    "count sum avg min max total group_concat string_agg listagg array_agg median mode stddev stddev_pop",
    "stddev_samp std variance var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count",
    "regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy percentile_cont percentile_disc any_value",
    "bool_and bool_or every bit_and bit_or bit_xor json_group_array json_group_object json_agg jsonb_agg",
    "json_object_agg jsonb_object_agg json_arrayagg json_objectagg approx_distinct approx_percentile",
    "approx_most_frequent arbitrary count_if max_by min_by geometric_mean checksum histogram map_agg multimap_agg",
    "skewness kurtosis sumif avgif countif minif maxif uniq uniqexact uniqcombined uniqhll12 any anylast argmin",
    "argmax grouparray groupuniqarray quantile quantiles quantileexact quantiletdigest quantiletiming stddevpop",
    "stddevsamp varpop varsamp covarpop covarsamp summap topk avgweighted anyif uniqif argminif argmaxif",
    "grouparrayif quantileif uniqexactif",
)
"""Names that make a statement an ``aggregate`` one. ``min(a, b)`` of SQLite counts as one too, which harms nothing."""

_COMMON = AGGREGATES | _name_set(
    "abs ceil ceiling floor round sign sqrt exp ln log log10 log2 power pow mod pi degrees radians sin cos tan",
    "cot asin acos atan atan2 random rand truncate trunc lower upper trim ltrim rtrim length char_length",
    "character_length octet_length bit_length left right substr substring replace reverse concat concat_ws",
    "position instr strpos lpad rpad repeat ascii chr initcap translate coalesce nullif ifnull nvl greatest least",
    "if iif now date time datetime current_date current_time current_timestamp localtime localtimestamp year",
    "month day hour minute second quarter extract date_trunc date_part date_format last_day row_number rank",
    "dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping cast json_object",
    "json_array json_extract md5 soundex regexp_replace regexp_like regexp_substr regexp_instr row unnest hex",
)

_SQLITE = _name_set(
    "char concat date datetime format glob hex unhex iif instr julianday like likelihood likely unlikely printf",
    "quote strftime timediff typeof unicode unixepoch acosh asinh atanh cosh sinh tanh subtype json",
    "json_array_length json_insert json_patch json_remove json_replace json_set json_type json_valid json_quote",
    "json_pretty jsonb json_each json_tree generate_series median percentile percentile_cont regexp snippet",
    "highlight bm25 offsets",
)

_POSTGRES = _name_set(
    "all some cbrt div factorial gcd lcm scale min_scale trim_scale width_bucket acosd acosh asind asinh atand atan2d",
    "atanh cosd cosh cotd sind sinh tand tanh erf btrim format md5 sha224 sha256 sha384 sha512 encode decode",
    "split_part starts_with string_to_array string_to_table to_hex to_char to_date to_number to_timestamp",
    "quote_ident quote_literal quote_nullable overlay regexp_count regexp_match regexp_matches",
    "regexp_split_to_array regexp_split_to_table normalize unistr parse_ident convert_from convert_to similarity",
    "word_similarity strict_word_similarity levenshtein metaphone dmetaphone unaccent age clock_timestamp",
    "statement_timestamp transaction_timestamp timeofday date_bin make_date make_time make_interval",
    "make_timestamp make_timestamptz isfinite justify_days justify_hours justify_interval timezone array_append",
    "array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend",
    "array_remove array_replace array_to_string array_upper cardinality trim_array array_sort array_reverse",
    "generate_series generate_subscripts num_nonnulls num_nulls gen_random_uuid to_json to_jsonb row_to_json",
    "array_to_json json_build_array json_build_object jsonb_build_array jsonb_build_object jsonb_object",
    "json_array_elements json_array_elements_text json_array_length json_each json_each_text json_extract_path",
    "json_extract_path_text json_object_keys json_strip_nulls json_typeof jsonb_array_elements",
    "jsonb_array_elements_text jsonb_array_length jsonb_each jsonb_each_text jsonb_extract_path",
    "jsonb_extract_path_text jsonb_object_keys jsonb_strip_nulls jsonb_typeof jsonb_path_exists jsonb_path_match",
    "jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_insert",
    "json_value json_query json_exists to_tsvector to_tsquery plainto_tsquery phraseto_tsquery",
    "websearch_to_tsquery ts_rank ts_rank_cd ts_headline setweight strip numnode querytree tsvector_to_array",
    "int4range int8range numrange tsrange tstzrange daterange isempty lower_inc lower_inf upper_inc upper_inf",
    "range_merge range_agg range_intersect_agg multirange host netmask network broadcast masklen family text",
    "array abbrev set_masklen area center diameter point box circle polygon lseg path line bit_count get_byte get_bit",
)

_MYSQL = _name_set(
    "conv crc32 format truncate bin oct unhex char concat elt field find_in_set insert lcase ucase locate",
    "make_set mid ord quote strcmp substring_index to_base64 from_base64 space regexp_count sha sha1 sha2",
    "natural_sort_key adddate addtime convert_tz curdate curtime date_add date_sub datediff dayname dayofmonth",
    "dayofweek dayofyear from_days from_unixtime get_format makedate maketime microsecond monthname period_add",
    "period_diff sec_to_time str_to_date subdate subtime sysdate time_format time_to_sec timediff timestamp",
    "timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date utc_time utc_timestamp week weekday",
    "weekofyear yearweek to_char add_months months_between json_array_append json_array_insert json_contains",
    "json_contains_path json_depth json_insert json_keys json_length json_merge_patch json_merge_preserve",
    "json_merge json_overlaps json_pretty json_quote json_remove json_replace json_search json_set json_type",
    "json_unquote json_valid json_value json_query json_exists json_detailed json_compact json_loose",
    "json_normalize json_equals isnull nvl2 inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv6",
    "uuid bit_count convert match",
)

_TRINO = _name_set(
    "cbrt e from_base infinity is_finite is_infinite is_nan nan to_base width_bucket cosh sinh tanh truncate",
    "cosine_similarity normal_cdf inverse_normal_cdf wilson_interval_lower wilson_interval_upper codepoint concat",
    "format hamming_distance levenshtein_distance luhn_check normalize split split_part split_to_map",
    "split_to_multimap starts_with to_utf8 from_utf8 word_stem translate soundex date_add date_diff date_parse",
    "day_name day_of_month day_of_week day_of_year dow doy format_datetime from_iso8601_date",
    "from_iso8601_timestamp from_unixtime human_readable_seconds parse_datetime parse_duration at_timezone",
    "timezone_hour timezone_minute to_iso8601 to_milliseconds to_unixtime week week_of_year with_timezone",
    "year_of_week yow all_match any_match none_match array_distinct array_except array_first array_intersect",
    "array_join array_last array_max array_min array_position array_remove array_sort array_union arrays_overlap",
    "cardinality combinations contains contains_sequence element_at filter flatten ngrams reduce sequence shuffle",
    "slice transform trim_array zip zip_with map map_concat map_entries map_filter map_from_entries map_keys",
    "map_values map_zip_with transform_keys transform_values json_array_contains json_array_get json_array_length",
    "json_exists json_extract_scalar json_format json_parse json_query json_size json_value is_json_scalar",
    "regexp_count regexp_extract regexp_extract_all regexp_position regexp_split to_hex from_hex to_base64",
    "from_base64 sha1 sha256 sha512 xxhash64 crc32 try typeof uuid url_decode url_encode url_extract_fragment",
    "url_extract_host url_extract_parameter url_extract_path url_extract_port url_extract_protocol",
    "url_extract_query bitwise_and bitwise_or bitwise_xor bitwise_not bar numeric_histogram bitwise_and_agg",
    "bitwise_or_agg entropy bool_and map_union set_agg set_union",
)

_CLICKHOUSE = _name_set(
    "plus minus multiply divide intdiv intdivorzero modulo negate equals notequals less greater lessorequals",
    "greaterorequals and or not xor cbrt exp2 exp10 erf tgamma lgamma roundbankers rounddown tobool",
    "multiif ifnull nullif assumenotnull tonullable isnull isnotnull coalesce iszeroornull empty notempty",
    "lowerutf8 upperutf8 lengthutf8 reverseutf8 substringutf8 leftpad rightpad leftpadutf8 rightpadutf8",
    "appendtrailingcharifabsent startswith endswith positioncaseinsensitive positionutf8 multisearchany match",
    "extractall like ilike notlike replaceone replaceall replaceregexpone replaceregexpall splitbychar",
    "splitbystring splitbyregexp arraystringconcat format trimleft trimright trimboth concatwithseparator",
    "base64encode base64decode tostring tofixedstring todate todate32 todatetime todatetime64 toint8 toint16",
    "toint32 toint64 touint8 touint16 touint32 touint64 tofloat32 tofloat64 todecimal32 todecimal64 todecimal128",
    "touuid toint32ornull toint64ornull tofloat64ornull todateornull toint32orzero toint64orzero tofloat64orzero",
    "touint32ornull touint64ornull todatetimeornull tointervalday tointervalmonth tointervalyear tointervalweek",
    "tointervalhour parsedatetimebesteffort parsedatetimebesteffortornull toyear toquarter tomonth todayofmonth",
    "todayofweek todayofyear tohour tominute tosecond tounixtimestamp tostartofyear tostartofquarter",
    "tostartofmonth tostartofweek tostartofday tostartofhour tostartofminute tostartoffiveminutes",
    "tostartoffifteenminutes tostartofinterval tomonday toyyyymm toyyyymmdd toisoweek toisoyear toweek totime",
    "tolastdayofmonth today yesterday now now64 datediff date_diff dateadd datesub adddays addweeks addmonths",
    "addyears addhours addminutes addseconds subtractdays subtractweeks subtractmonths subtractyears",
    "subtracthours formatdatetime datename monthname fromunixtimestamp timestamp_add timestamp_sub datetrunc age",
    "array arrayjoin arraymap arrayfilter arraycount arraysum arrayavg arraymin arraymax arraysort",
    "arrayreversesort arrayreverse arraydistinct arrayuniq arrayexists arrayall arrayfirst arraylast arrayelement",
    "arrayslice arrayconcat arrayenumerate arrayzip has hasall hasany indexof countequal arrayflatten",
    "arraycompact arraycumsum range length tuple tupleelement map mapkeys mapvalues mapcontains jsonextract",
    "jsonextractstring jsonextractint jsonextractfloat jsonextractbool jsonextractraw jsonhas jsonlength",
    "jsonextractkeys json_value json_query simplejsonextractstring visitparamextractstring domain",
    "domainwithoutwww protocol path cutquerystring queryparam extracturlparameter halfmd5 siphash64 cityhash64",
    "xxhash32 xxhash64 sha1 sha256 bitand bitor bitxor bitnot generateuuidv4 laginframe leadinframe",
    "exponentialmovingaverage totypename ipv4numtostring ipv4stringtonum greatcircledistance geodistance leftutf8",
    "rightutf8",
)

ALLOWED: dict[str, frozenset[str]] = {
    "sqlite": _COMMON | _SQLITE,
    "postgres": _COMMON | _POSTGRES,
    "mysql": _COMMON | _MYSQL,
    "trino": _COMMON | _TRINO,
    "clickhouse": _COMMON | _CLICKHOUSE,
}
"""sqlglot's name of a dialect -> the functions that may be called there."""

SESSION: dict[str, frozenset[str]] = {
    "sqlite": _name_set("sqlite_version sqlite_source_id"),
    "postgres": _name_set("version current_database current_schema current_catalog current_user session_user"),
    "mysql": _name_set("version database schema user current_user session_user system_user current_role"),
    "trino": _name_set("version current_user current_catalog current_schema"),
    "clickhouse": _name_set("version currentuser currentdatabase"),
}
"""Functions that tell who is connected to what, for the roles that may read system catalogues."""

SIZED: dict[str, int] = {
    "repeat": 1,
    "lpad": 1,
    "rpad": 1,
    "space": 0,
    "leftpad": 1,
    "rightpad": 1,
    "leftpadutf8": 1,
    "rightpadutf8": 1,
}
"""Function -> the position of the argument that says how large its result becomes."""

MULTIPLYING = _name_set("repeat replace replaceone replaceall regexp_replace replaceregexpone replaceregexpall")
"""Functions whose result may be many times as large as their arguments."""

SERIES = frozenset({"generate_series", "sequence", "range"})
"""Functions that make as many rows or elements as their arguments say."""

PATTERNS = {"format": ("sqlite", "postgres", "trino"), "printf": ("sqlite",)}
"""Function -> dialects in which its first argument is a pattern that can ask for a width."""

VALUES_WITHOUT_PARENTHESES = {
    "postgres": frozenset(
        "user current_user session_user current_role current_catalog current_schema system_user".split()
    ),
    "mysql": frozenset({"current_user", "current_role", "session_user"}),
    "trino": frozenset({"current_user", "current_catalog", "current_schema", "current_path", "current_role"}),
}
"""Names that look like a column and are a call that tells something about the session."""
