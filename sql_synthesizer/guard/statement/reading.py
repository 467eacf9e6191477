"""From a text to the tree of one query, at a bounded cost."""

from __future__ import annotations

import logging

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from sql_synthesizer.guard.statement.grammar import DialectGrammar
from sql_synthesizer.guard.statement.nodes import refuse_statement
from sql_synthesizer.model.dialects import DialectRow

MAX_TOKENS = 6_000
MAX_DEPTH = 32
MAX_DIGITS = 100
"""Characters of a number: more than any server's type holds, and Python reads no more than 4,300 at once."""

_FIRST = {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN}
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_NUMBERS = {TokenType.NUMBER, TokenType.HEX_STRING, TokenType.BIT_STRING}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}

# sqlglot logs pieces of the statement on unsupported syntax.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def parse_query(sql: str, grammar: DialectGrammar) -> exp.Expr:
    """The tree of a single query. Raises StatementRefused and sqlglot's errors."""
    tokens = grammar.tokenize_sql(sql)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    _check_tokens(tokens, grammar.dialect)
    trees = grammar.parse_tokens(tokens, sql)
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Query):
        refuse_statement("not_a_query", "Only a SELECT is allowed.")
    return tree


def _check_tokens(tokens: list[Token], dialect: DialectRow) -> None:
    if not tokens:
        refuse_statement("empty", "The statement is empty; write a SELECT.")
    if tokens[0].token_type not in _FIRST:
        refuse_statement("not_a_query", "Only a SELECT is allowed.", first=tokens[0].text)
    if len(tokens) > MAX_TOKENS:
        refuse_statement(
            "too_complex", f"The statement has more than {MAX_TOKENS:,} words and signs; ask for less at once."
        )
    depth = 0
    before = tokens[0]
    for token in tokens:
        kind = token.token_type
        if kind in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                refuse_statement(
                    "too_complex", f"The statement is nested more than {MAX_DEPTH} deep; ask for less at once."
                )
        elif kind in _CLOSING:
            depth -= 1
        elif kind is TokenType.SEMICOLON:
            refuse_statement("several_statements", "Only one statement at a time is allowed.")
        elif kind is TokenType.VAR and before.token_type is TokenType.NUMBER and token.start == before.end + 1:
            refuse_statement("number", "A number runs into a word; put a space between them.")
        elif kind in _NUMBERS and len(token.text) > MAX_DIGITS:
            refuse_statement("number", f"A number has more than {MAX_DIGITS} digits; write a shorter one.")
        elif kind is TokenType.NOT and token.text == "!" and dialect.has_tight_not:
            refuse_statement("ambiguous", "Write NOT instead of an exclamation mark.")
        if token.comments and any(c.startswith(("!", "M!")) for c in token.comments):
            refuse_statement("executable_comment", "Comments that a server executes are not allowed.")
        before = token
