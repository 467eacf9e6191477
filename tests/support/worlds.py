"""Three small databases as newcomers have them, orders, music and film rental, and questions with SQL that answers."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table
from tests.support.port import Values

ORDERS = """
CREATE TABLE clients (client_id INTEGER PRIMARY KEY, name TEXT, city TEXT, country TEXT, joined_on DATE);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, name TEXT, category TEXT, price REAL, stock INTEGER);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, client_id INTEGER REFERENCES clients(client_id), ordered_on DATE,
  status TEXT);
CREATE TABLE order_lines (order_id INTEGER REFERENCES orders(order_id), product_id INTEGER
  REFERENCES products(product_id), quantity INTEGER, PRIMARY KEY (order_id, product_id));
INSERT INTO clients VALUES (1,'Aldo','Rome','Italy','2021-02-01'),(2,'Berta','Berlin','Germany','2022-03-05'),
  (3,'Carl','Hamburg','Germany','2023-06-07'),
  (4,'Dora','Paris','France','2023-01-09');
INSERT INTO products VALUES (1,'Kettle','kitchen',35.5,10),(2,'Knife','kitchen',12,0),(3,'Lamp','light',60,4),
  (4,'Candle','light',3,200),(5,'Chair','furniture',120,7);
INSERT INTO orders VALUES (1,1,'2024-01-05','shipped'),(2,1,'2024-02-10','pending'),(3,2,'2024-02-11','shipped'),
  (4,3,'2025-03-01','cancelled'),(5,1,'2025-05-05','shipped');
INSERT INTO order_lines VALUES (1,1,2),(1,2,1),(2,3,1),(3,4,20),(3,1,1),(4,5,4),(5,2,3);
"""
MUSIC = """
CREATE TABLE artists (id INTEGER PRIMARY KEY, name TEXT, birth_year INTEGER, nationality TEXT);
CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT, artist_id INTEGER REFERENCES artists(id),
  release_year INTEGER);
CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT, album_id INTEGER REFERENCES albums(id), genre TEXT,
  duration_seconds INTEGER, plays INTEGER);
INSERT INTO artists VALUES (1,'Nia',1980,'Kenya'),(2,'Olaf',1970,'Norway'),(3,'Pia',1991,'Norway'),
  (4,'Quinn',1985,'Ireland');
INSERT INTO albums VALUES (1,'Dawn',1,2005),(2,'Noon',1,2010),(3,'Fjord',2,1999),(4,'Ice',3,2020);
INSERT INTO songs VALUES (1,'Red',1,'jazz',200,500),(2,'Blue',1,'pop',180,900),(3,'Sun',2,'jazz',320,100),
  (4,'Wave',3,'folk',250,50),(5,'Snow',4,'pop',150,2000),(6,'Drift',4,'pop',400,10);
"""
FILMS = """
CREATE TABLE films (film_id INTEGER PRIMARY KEY, title TEXT, director TEXT, minutes INTEGER, rating REAL, year INTEGER);
CREATE TABLE members (member_id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, age INTEGER, town TEXT);
CREATE TABLE rentals (rental_id INTEGER PRIMARY KEY, film_id INTEGER REFERENCES films(film_id),
  member_id INTEGER REFERENCES members(member_id), rented_on DATE, fee REAL);
INSERT INTO films VALUES (1,'Alpha','Ann Lee',120,7.5,1999),(2,'Beta','Bob Ray',95,6.1,2005),
  (3,'Gamma','Ann Lee',150,8.8,2012),
  (4,'Delta','Cy Fox',80,5.0,2020);
INSERT INTO members VALUES (1,'Eva','Stone',34,'Leeds'),(2,'Finn','Reed',19,'York'),(3,'Gus','Hill',61,'Leeds'),
  (4,'Hana','Moss',45,'Bath');
INSERT INTO rentals VALUES (1,1,1,'2024-03-01',4),(2,3,1,'2024-04-01',5),(3,3,2,'2025-01-02',5),(4,2,3,'2025-01-03',3),
  (5,1,3,'2025-02-01',4),(6,1,3,'2025-03-01',4);
"""
QUESTIONS: dict[str, dict[str, str]] = {"orders": {}, "music": {}, "films": {}}
"""Database -> question -> SQL."""
for _line in (Path(__file__).parent.parent / "data" / "newcomers.tsv").read_text(encoding="utf-8").splitlines():
    _name, _question, _sql = _line.split("\t")
    QUESTIONS[_name][_question] = _sql
TWICE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
CREATE TABLE friends (person_id INTEGER REFERENCES people(id), friend_id INTEGER REFERENCES people(id),
  PRIMARY KEY (person_id, friend_id));
CREATE TABLE likes (person_id INTEGER REFERENCES people(id), liked_id INTEGER REFERENCES people(id),
  PRIMARY KEY (person_id, liked_id));
CREATE TABLE ports (id INTEGER PRIMARY KEY, town TEXT);
CREATE TABLE ferries (id INTEGER PRIMARY KEY, name TEXT, origin_id INTEGER REFERENCES ports(id),
  destination_id INTEGER REFERENCES ports(id), mpg REAL);
INSERT INTO people VALUES (1,'Ann',20),(2,'Bob',30),(3,'Cal',40);
INSERT INTO friends VALUES (1,2),(1,3),(2,1);
INSERT INTO likes VALUES (3,1);
INSERT INTO ports VALUES (1,'Oban'),(2,'Mull'),(3,'Iona');
INSERT INTO ferries VALUES (1,'Tern',1,2,3.5),(2,'Gull',2,1,4.5),(3,'Skua',1,3,2.5);
"""
KENNEL = """
CREATE TABLE dogs (id INTEGER PRIMARY KEY, name TEXT, abandoned_yn TEXT, is_trained BOOLEAN);
INSERT INTO dogs VALUES (1,'Rex','1',0),(2,'Ada','0',1),(3,'Bo','1',1);
"""
SCRIPTS = {"orders": ORDERS, "music": MUSIC, "films": FILMS, "twice": TWICE, "kennel": KENNEL}
KINDS = {
    "INTEGER": ColumnKind.INTEGER,
    "TEXT": ColumnKind.TEXT,
    "REAL": ColumnKind.NUMBER,
    "DATE": ColumnKind.DATE,
    "BOOLEAN": ColumnKind.BOOLEAN,
}


@cache
def world(name: str) -> tuple[sqlite3.Connection, Schema, Values]:
    """A database with its schema and values."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.executescript(SCRIPTS[name])
    tables = []
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        columns = tuple(
            Column(column, KINDS[type], type, bool(key), not required)
            for _, column, type, required, _, key in connection.execute(f"PRAGMA table_info({table})")
        )
        keys = tuple(
            ForeignKey((row[3],), row[2], (row[4],)) for row in connection.execute(f"PRAGMA foreign_key_list({table})")
        )
        tables.append(Table(table, columns, keys))
    schema = Schema(name, "sqlite", tuple(tables), "1")
    return connection, schema, Values(connection, schema.tables)
