"""A port with boats as a schema with its values, and the rules that are asked about it."""

from __future__ import annotations

import datetime
import sqlite3
import time
from collections.abc import Sequence

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Statement, Table, ValueMatch
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.rules import RulesSynthesizer

TODAY = datetime.date(2026, 3, 15)

SCRIPT = """
CREATE TABLE harbors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, depth REAL, opened DATE);
CREATE TABLE captains (id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, age INTEGER, nickname TEXT);
CREATE TABLE boats (id INTEGER PRIMARY KEY, boat_name TEXT NOT NULL, hull_color TEXT, length INTEGER, price REAL,
  is_insured BOOLEAN, built_on DATE, home_id INTEGER, captain_id INTEGER);
CREATE TABLE trips (trip_id INTEGER PRIMARY KEY, boat_id INTEGER, destination_id INTEGER, started DATE,
  passengers INTEGER);
INSERT INTO harbors VALUES (1,'Northport','Norway',12.5,'1950-01-01'),(2,'Sandhaven','Spain',8,'1990-06-01'),
  (3,'Eastquay','Norway',20,'2005-03-02'),(4,'Lonely Cove','Iceland',5,NULL);
INSERT INTO captains VALUES (1,'Ada','Berg',40,NULL),(2,'Bo','Cruz',55,'Sharky'),(3,'Cy','Dahl',31,NULL);
INSERT INTO boats VALUES (1,'Albatross','red',30,100,1,'2001-05-05',1,1),(2,'Bluebell','blue',12,50,0,'2010-07-01',1,2),
  (3,'Comet','red',45,900,1,'2020-01-31',2,2),(4,'Dory','green',8,NULL,0,'2025-03-10',3,1);
INSERT INTO trips VALUES (1,1,2,'2025-03-01',10),(2,1,3,'2025-04-01',20),(3,3,3,'2026-02-28',30),(4,2,3,'2026-03-15',5),
  (5,1,2,'2024-12-31',15);
"""

KINDS = {
    "INTEGER": ColumnKind.INTEGER,
    "TEXT": ColumnKind.TEXT,
    "REAL": ColumnKind.NUMBER,
    "DATE": ColumnKind.DATE,
    "BOOLEAN": ColumnKind.BOOLEAN,
}
KEYS = {
    "boats": (ForeignKey(("home_id",), "harbors", ("id",)),),
    "trips": (ForeignKey(("destination_id",), "harbors", ("id",)),),
}
"""captain_id and boat_id are linked by their names alone."""


class Values:
    """Every text value of the database, by its spelling without case."""

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[Table]) -> None:
        self._found: dict[str, list[ValueMatch]] = {}
        for table in tables:
            for column in (c for c in table.columns if c.kind is ColumnKind.TEXT):
                for (value,) in connection.execute(f"SELECT DISTINCT {column.name} FROM {table.name}"):
                    if value is not None:
                        match = ValueMatch(table.name, column.name, value)
                        self._found.setdefault(value.casefold(), []).append(match)

    def find(self, text: str) -> Sequence[ValueMatch]:
        return self._found.get(text.casefold(), [])


connection = sqlite3.connect(":memory:")
connection.executescript(SCRIPT)


def _reflected() -> Schema:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = []
    for name in names:
        columns = tuple(
            Column(column, KINDS[type], type, bool(key), not required)
            for _, column, type, required, _, key in connection.execute(f"PRAGMA table_info({name})")
        )
        tables.append(Table(name, columns, KEYS.get(name, ())))
    return Schema("port", "sqlite", tuple(tables), "1")


schema = _reflected()
values = Values(connection, schema.tables)


def ask(question: str, over: Schema = schema) -> Statement:
    return RulesSynthesizer().synthesize(Context(question, over, values, TODAY, 1000, time.monotonic() + 10))
