"""Answers questions in plain language from a SQL database, and is the text-to-SQL service that can be operated."""

__version__ = "0.1.0"
