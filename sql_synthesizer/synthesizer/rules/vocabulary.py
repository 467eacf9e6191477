"""General English: the words of a question that name an operation, and those that mean nothing to a query.

Nothing here belongs to any one database. ``MEASURES`` is about adjectives: which dimension they grade.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Op:
    """An operation that a phrase stands for, such as ``compare`` with ``>=``."""

    kind: str
    argument: str = ""


FILLERS = frozenset(
    """a an the of for all any every our their its his her this these those that there is are was were be been being do
    does did we i you us me my your has have had please what which who whom whose where when can could would will shall
    see want know and with to from in on at as by it they them if exist exists existing listed respective respectively
    together along also just then so into within among let let's here out up ever each much some either many""".split()
)
"""Words that may be passed over where no rule wants them."""

SOFT_FILLERS = frozenset("result results possible overall".split())
"""Words that may be passed over unless the schema has them as a name."""

IMPERATIVES = frozenset(
    """show list find return display answer retrieve select fetch provide report compute calculate give tell
    get""".split()
)
"""Verbs that ask for an answer where a clause begins."""

LOCATIVES = frozenset("live lives living located based situated come comes coming belong belongs belonging".split())
"""Verbs that say no more than the preposition that follows them."""

RELATIONS = frozenset(
    """have has having had own owns owning owned place places placed placing make makes made making contain contains
    containing include includes including involve involves take takes taken taking hold holds held use uses using
    used offer offers offered associated related linked assigned participate participates participated
    appear appears appeared corresponding correspond""".split()
)
"""Verbs that say only that two things are linked, where the schema links them in one way."""

RELATIVES = frozenset("with that who whose which where having have has without when".split())
"""Words after which a question narrows down rather than asks for more."""

_PHRASES: dict[Op, tuple[str, ...]] = {
    Op("count"): (
        "how many", "number of", "total number of", "count of", "total count of", "count",
        "count the number of", "amount of different", "quantity of different",
    ),
    Op("aggregate", "avg"): ("average", "mean", "avg", "average of"),
    Op("aggregate", "sum"): ("sum of", "sum", "total", "combined", "total sum of", "sum up"),
    Op("aggregate", "max"): ("maximum", "max"),
    Op("aggregate", "min"): ("minimum", "min"),
    Op("distinct"): ("distinct", "different", "unique", "all distinct", "all different"),
    Op("compare", ">"): (
        "more than", "greater than", "over", "above", "higher than", "larger than", "bigger than", "exceeding",
        "exceeds",
        "exceed", "in excess of", ">", "beyond",
    ),
    Op("compare", "<"): (
        "less than", "fewer than", "under", "below", "lower than", "smaller than", "<",
    ),
    Op("compare", ">="): (
        "at least", "no less than", "not less than", "no fewer than", "greater than or equal to", ">=", "not under",
        "more than or equal to", "not lower than", "not below", "not smaller than",
    ),
    Op("compare", "<="): (
        "at most", "no more than", "not more than", "up to", "less than or equal to", "<=", "not higher than",
        "not greater than", "not over", "not above", "not exceeding", "no higher than", "no greater than",
    ),
    Op("compare", "="): ("=", "equal to", "equals", "equal", "exactly"),
    Op("compare", "!="): ("!=", "<>", "not equal to"),
    Op("compare_adjective", "old >"): ("older than",),
    Op("compare_adjective", "old <"): ("younger than",),
    Op("compare_adjective", "long >"): ("longer than",),
    Op("compare_adjective", "long <"): ("shorter than",),
    Op("compare_adjective", "tall >"): ("taller than",),
    Op("compare_adjective", "heavy >"): ("heavier than",),
    Op("compare_adjective", "heavy <"): ("lighter than",),
    Op("compare_adjective", "expensive >"): ("more expensive than", "costing more than", "dearer than"),
    Op("compare_adjective", "expensive <"): ("cheaper than", "costing less than", "less expensive than"),
    Op("or_more", ">="): ("or more", "or higher", "or above", "or greater", "or over", "or older", "or later"),
    Op("or_more", "<="): ("or less", "or fewer", "or lower", "or below", "or under", "or younger", "or earlier"),
    Op("between"): ("between", "in the range of", "ranging from"),
    Op("before"): ("before", "prior to", "earlier than"),
    Op("after"): ("after", "later than"),
    Op("since"): ("since", "starting from"),
    Op("until"): ("until", "till", "up until"),
    Op("contain"): (
        "contains", "containing", "contain", "includes the word", "contains the word", "contain the word",
        "containing the word", "contains the substring", "contains the string", "contains substring",
        "contain the substring", "has the substring", "including the word", "contains the letter", "contain the letter",
        "has the letter", "contain letter", "contains letter",
    ),
    Op("start"): (
        "starts with", "start with", "starting with", "begins with", "begin with", "beginning with",
        "starts with the letter", "starting with the letter", "begins with the letter", "starting with letter",
        "start with the letter", "beginning with the letter",
    ),
    Op("end"): ("ends with", "end with", "ending with", "ends in", "ending in", "ends with the letter"),
    Op("named"): ("named", "called", "titled", "entitled", "by the name", "by the name of"),
    Op("null"): (
        "is null", "are null", "is missing", "are missing", "is unknown", "are unknown", "is empty", "is not known",
        "is not set", "not set", "unknown", "missing", "is blank",
    ),
    Op("not_null"): ("is not null", "are not null", "is known", "is not missing", "is not empty", "is set"),
    Op("not"): ("not", "isn't", "aren't", "other than", "excluding", "except", "wasn't", "weren't", "is not",
        "are not"),
    Op("none"): (
        "without", "without any", "no", "with no", "that have no", "who have no", "which have no", "have no", "has no",
        "do not have", "does not have", "don't have", "doesn't have", "do not have any", "does not have any",
        "don't have any", "doesn't have any", "never had", "did not have any", "have not had any",
        "do not own any", "never had any",
    ),
    Op("group"): (
        "per", "for each", "by each", "in each", "from each", "of each", "at each", "on each", "for every",
        "grouped by",
        "group by", "for each of the", "under each", "for each different", "for each distinct", "for different",
        "corresponding to each", "belonging to each", "associated with each", "broken down by", "to each", "with each",
        "for all different", "does each", "do each", "of every", "in every", "each of the", "that each", "has each",
    ),
    Op("bucket", "%Y-%m"): ("monthly", "per month", "by month", "each month", "for each month", "month by month"),
    Op("bucket", "%Y"): (
        "yearly", "per year", "by year", "each year", "for each year", "annually", "in each year", "annual",
    ),
    Op("bucket", "%Y-%m-%d"): ("daily", "per day", "by day", "each day", "for each day"),
    Op("order"): (
        "sorted by", "ordered by", "order by", "sort by", "in order of", "in the order of", "arranged by", "ranked by",
        "order them by", "sort them by", "order the results by", "sort the results by", "listed by", "and sort by",
        "sorted in order of", "order the result by", "sorted according to", "ordered according to", "rank by",
        "sort the list by", "sorted in the order of", "sort the result by", "order these by",
    ),
    Op("sort"): ("sort", "sorted"),
    Op("order", "asc"): (
        "in ascending order of", "sorted in ascending order of", "ordered by ascending", "in increasing order of",
        "sorted by ascending", "in ascending order by", "ordered in ascending order of", "in ascending order of their",
    ),
    Op("order", "desc"): (
        "in descending order of", "sorted in descending order of", "ordered by descending", "in decreasing order of",
        "sorted by descending", "in descending order by", "ordered in descending order of",
    ),
    Op("alphabetical", "asc"): (
        "alphabetically", "in alphabetical order", "in ascending alphabetical order", "sorted alphabetically",
        "in lexicographical order", "in lexicographic order", "ordered alphabetically", "in alphabetic order",
    ),
    Op("alphabetical", "desc"): ("in descending alphabetical order", "in reverse alphabetical order"),
    Op("alphabetical_of", "asc"): ("in alphabetical order of", "in lexicographic order of", "in alphabetical order by",
        "alphabetically by", "in lexicographical order of", "in ascending alphabetical order of"),
    Op("alphabetical_of", "desc"): ("in descending alphabetical order of", "in reverse alphabetical order of"),
    Op("direction", "asc"): (
        "ascending", "in ascending order", "from low to high", "from lowest to highest", "in increasing order", "asc",
        "from smallest to largest", "from youngest to oldest", "from the lowest to the highest", "lowest first",
        "from least to greatest", "from oldest to newest", "oldest first", "from earliest to latest", "smallest first",
        "from the youngest to the oldest", "from short to long", "cheapest first", "earliest first",
    ),
    Op("direction", "desc"): (
        "descending", "in descending order", "from high to low", "from highest to lowest", "in decreasing order",
        "desc",
        "from largest to smallest", "from the highest to the lowest", "highest first", "from oldest to youngest",
        "from most to least", "from newest to oldest", "newest first", "latest first", "from latest to earliest",
        "longest first", "from large to small", "largest first", "from the oldest to the youngest", "in reverse order",
        "from long to short", "most expensive first", "most recent first", "from greatest to least",
    ),
    Op("top", "desc"): ("top",),
    Op("top", "asc"): ("bottom",),
    Op("superlative", "desc"): ("highest", "largest", "greatest", "biggest", "most", "the most"),
    Op("superlative", "asc"): ("lowest", "smallest", "least", "fewest", "the least", "the fewest"),
    Op("common", "desc"): (
        "most common", "most frequent", "most frequently used", "most commonly used", "most popular", "most often used",
    ),
    Op("common", "asc"): ("least common", "least frequent", "least popular"),
    Op("gradable", "expensive desc"): ("most expensive", "priciest", "dearest", "costliest"),
    Op("gradable", "expensive asc"): ("cheapest", "least expensive"),
    Op("gradable", "old desc"): ("oldest",),
    Op("gradable", "old asc"): ("youngest",),
    Op("gradable", "long desc"): ("longest",),
    Op("gradable", "long asc"): ("shortest",),
    Op("gradable", "tall desc"): ("tallest",),
    Op("gradable", "heavy desc"): ("heaviest",),
    Op("gradable", "heavy asc"): ("lightest",),
    Op("gradable", "fast desc"): ("fastest",),
    Op("gradable", "fast asc"): ("slowest",),
    Op("gradable", "populous desc"): ("most populous", "most populated"),
    Op("gradable", "late desc"): ("latest", "newest", "most recent", "last"),
    Op("gradable", "late asc"): ("earliest", "first"),
    Op("everything"): (
        "all information about", "all the information about", "all the information of", "all info about",
        "all information of", "all details of", "all the details of", "all columns of", "everything about",
        "all information on", "all of the information about", "all available information about", "all the details for",
        "all information for", "all the information for", "all details about", "the full details of", "all fields of",
    ),
    Op("and"): ("and", ",", "as well as", "&", "along with", "and also", "together with"),
    Op("or"): ("or",),
    Op("of"): ("of", "for", "from", "in", "on", "at", "to"),
}  # fmt: skip

PHRASES: dict[tuple[str, ...], Op] = {tuple(p.split()): op for op, phrases in _PHRASES.items() for p in phrases}
"""The words of a phrase, lower case -> the operation it stands for."""

LONGEST_PHRASE = max(map(len, PHRASES))

MEASURES: dict[str, tuple[str, ...]] = {
    "expensive": ("price", "cost", "fee", "charge"),
    "old": ("age",),
    "long": ("length", "duration"),
    "tall": ("height",),
    "heavy": ("weight",),
    "fast": ("speed",),
    "populous": ("population",),
    "late": (),
}
"""An adjective -> nouns of the dimension it grades: the first that the table has counts.

``late`` grades points in time.
"""
