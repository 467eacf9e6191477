"""The tables of the demo shop, and the database made of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    inspect,
    make_url,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import SchemaItem

from sql_synthesizer.demo.data import Shop
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import DatabaseSettings

metadata = MetaData()
_SECONDS = DateTime().with_variant(sqlite.DATETIME(truncate_microseconds=True), "sqlite")  # type: ignore[no-untyped-call]


def _key() -> Column[Any]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


def _text(name: str, length: int = 60, **options: Any) -> Column[Any]:
    return Column(name, String(length), **{"nullable": False, **options})


def _money(name: str) -> Column[Any]:
    return Column(name, Numeric(10, 2, asdecimal=False), nullable=False)


def _number(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False)


def _ref(name: str, target: str, **options: Any) -> Column[Any]:
    return Column(name, ForeignKey(f"{target}.id"), **{"nullable": False, **options})


def _day(name: str, **options: Any) -> Column[Any]:
    return Column(name, Date, **{"nullable": False, **options})


def _table(name: str, comment: str, *items: SchemaItem) -> Table:
    return Table(name, metadata, *items, comment=comment)


_table("countries", "Countries that the shop sells to.", _key(), _text("name"), _text("code", 2), _text("region"))
_table("cities", "Cities of customers.", _key(), _text("name"), _ref("country_id", "countries"))
_table(
    "customers",
    "People and firms who have an account.",
    _key(),
    _text("first_name"),
    _text("last_name"),
    _text("email", 120),
    _text("phone", 30),
    _ref("city_id", "cities"),
    _text("segment", 20),
    _day("signup_date"),
    Column("newsletter", Boolean, nullable=False),
)
_table("categories", "Kinds of products.", _key(), _text("name"))
_table("suppliers", "Firms that the shop buys from.", _key(), _text("name"), _ref("country_id", "countries"))
_table(
    "products",
    "What the shop sells.",
    _key(),
    _text("name", 120),
    _ref("category_id", "categories"),
    _ref("supplier_id", "suppliers"),
    _money("price"),
    _money("cost"),
    _number("stock"),
    Column("discontinued", Boolean, nullable=False),
)
_table(
    "employees",
    "Staff; sales people look after orders.",
    _key(),
    _text("first_name"),
    _text("last_name"),
    _text("job_title"),
    _text("department", 30),
    _day("hire_date"),
    _money("salary"),
    _ref("manager_id", "employees", nullable=True),
)
_table(
    "orders",
    "Orders as placed by customers.",
    _key(),
    _ref("customer_id", "customers"),
    _ref("employee_id", "employees", nullable=True),
    _day("order_date"),
    _text("status", 20),
    _text("channel", 20),
)
_table(
    "order_items",
    "Lines of an order.",
    Column("order_id", ForeignKey("orders.id"), primary_key=True, autoincrement=False),
    Column("line_number", Integer, primary_key=True, autoincrement=False),
    _ref("product_id", "products"),
    _number("quantity"),
    _money("unit_price"),
    Column("discount", Float, nullable=False, comment="Share of the price taken off, 0 to 1."),
)
_table(
    "payments",
    "Payments for orders.",
    _key(),
    _ref("order_id", "orders"),
    _money("amount"),
    _text("method", 20),
    _text("status", 20),
    Column("paid_at", _SECONDS, nullable=False),
)
_table(
    "shipments",
    "Parcels sent to customers.",
    _key(),
    _ref("order_id", "orders"),
    _text("carrier", 30),
    _text("status", 20),
    _day("shipped_date"),
    _day("delivered_date", nullable=True),
)
_table(
    "returns",
    "Lines that customers sent back.",
    _key(),
    _number("order_id"),
    _number("line_number"),
    _day("return_date"),
    _text("reason", 40),
    _money("refund"),
    ForeignKeyConstraint(["order_id", "line_number"], ["order_items.order_id", "order_items.line_number"]),
)
_table(
    "reviews",
    "What customers say about products.",
    _key(),
    _ref("product_id", "products"),
    _ref("customer_id", "customers"),
    _number("rating"),
    _text("comment", 200),
    _day("review_date"),
)

INDEXES = (
    ("customers", "city_id"),
    ("products", "category_id"),
    ("orders", "customer_id"),
    ("orders", "order_date"),
    ("order_items", "product_id"),
    ("payments", "order_id"),
    ("shipments", "order_id"),
    ("returns", "order_id"),
    ("reviews", "product_id"),
    ("reviews", "customer_id"),
)

SENSITIVE = ("customers.email", "customers.phone", "employees.salary")
SHAREABLE = (
    "customers.segment",
    "orders.status",
    "orders.channel",
    "payments.method",
    "payments.status",
    "shipments.carrier",
    "shipments.status",
    "returns.reason",
    "categories.name",
    "countries.name",
    "countries.region",
    "employees.department",
)


def create_demo(path: Path) -> None:
    """Makes the demo database as a SQLite file; an existing file of that name is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        engine = create_engine(f"sqlite:///{temporary}")
        with engine.begin() as connection:
            _fill(connection)
        engine.dispose()
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def ensure_demo(path: Path) -> None:
    """Makes the demo database unless the file is there."""
    if not path.exists():
        create_demo(path)


def demo_settings(path: Path) -> DatabaseSettings:
    """How the demo database is asked: named ``shop``, with its sensitive and shareable columns marked."""
    return DatabaseSettings(name="shop", url=SecretStr(f"sqlite:///{path}"), sensitive=SENSITIVE, shareable=SHAREABLE)


def load_demo(url: str) -> bool:
    """Loads the demo into an empty database; False when it is there already.

    Raises ConfigurationError when tables of the same names belong to somebody else.
    """
    target = make_url(url)
    drivers = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "postgres": "postgresql+psycopg"}
    engine = create_engine(target.set(drivername=drivers.get(target.drivername, target.drivername)))
    try:
        with engine.begin() as connection:
            present = set(inspect(connection).get_table_names()) & set(metadata.tables)
            if present == set(metadata.tables):
                return False
            if present:
                raise ConfigurationError(
                    f"The database already has tables of these names: {', '.join(sorted(present))}.",
                    hint="Load the demo into an empty database.",
                )
            _fill(connection)
    finally:
        engine.dispose()
    return True


def _fill(connection: Connection) -> None:
    metadata.create_all(connection)
    for name, rows in Shop().tables():
        table = metadata.tables[name]
        columns = [column.name for column in table.columns]
        connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])
    # Not declared on the tables: SQLAlchemy makes those in no fixed order.
    for name, column in INDEXES:
        connection.exec_driver_sql(f"CREATE INDEX ix_{name}_{column} ON {name} ({column})")
