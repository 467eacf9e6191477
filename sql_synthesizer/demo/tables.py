"""The tables of the demo shop, and the database made of them."""

from __future__ import annotations

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
from sql_synthesizer.files import draft_file
from sql_synthesizer.model.dialects import find_dialect
from sql_synthesizer.settings import DatabaseSettings

CANARIES = Path(__file__).with_name("canaries.yml")
"""Questions on the shop with known results."""
metadata = MetaData()
_SECONDS = DateTime().with_variant(sqlite.DATETIME(truncate_microseconds=True), "sqlite")  # type: ignore[no-untyped-call]


def _text_column(name: str, length: int = 60, **options: Any) -> Column[Any]:
    return Column(name, String(length), **{"nullable": False, **options})


def _money_column(name: str) -> Column[Any]:
    return Column(name, Numeric(10, 2, asdecimal=False), nullable=False)


def _number_column(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False)


def _reference_column(name: str, target: str, **options: Any) -> Column[Any]:
    return Column(name, ForeignKey(f"{target}.id"), **{"nullable": False, **options})


def _date_column(name: str, **options: Any) -> Column[Any]:
    return Column(name, Date, **{"nullable": False, **options})


def _define_table(name: str, comment: str, *items: SchemaItem) -> None:
    key = Column("id", Integer, primary_key=True, autoincrement=False)
    Table(name, metadata, key, *items, comment=comment)


_define_table(
    "countries",
    "Countries that the shop sells to.",
    _text_column("name"),
    _text_column("code", 2),
    _text_column("region"),
)
_define_table("cities", "Cities of customers.", _text_column("name"), _reference_column("country_id", "countries"))
_define_table(
    "customers",
    "People and firms who have an account.",
    _text_column("first_name"),
    _text_column("last_name"),
    _text_column("email", 120),
    _text_column("phone", 30),
    _reference_column("city_id", "cities"),
    _text_column("segment", 20),
    _date_column("signup_date"),
    Column("newsletter", Boolean, nullable=False),
)
_define_table("categories", "Kinds of products.", _text_column("name"))
_define_table(
    "suppliers",
    "Firms that the shop buys from.",
    _text_column("name"),
    _reference_column("country_id", "countries"),
)
_define_table(
    "products",
    "What the shop sells.",
    _text_column("name", 120),
    _reference_column("category_id", "categories"),
    _reference_column("supplier_id", "suppliers"),
    _money_column("price"),
    _money_column("cost"),
    _number_column("stock"),
    Column("discontinued", Boolean, nullable=False),
)
_define_table(
    "employees",
    "Staff; sales people look after orders.",
    _text_column("first_name"),
    _text_column("last_name"),
    _text_column("job_title"),
    _text_column("department", 30),
    _date_column("hire_date"),
    _money_column("salary"),
    _reference_column("manager_id", "employees", nullable=True),
)
_define_table(
    "orders",
    "Orders as placed by customers.",
    _reference_column("customer_id", "customers"),
    _reference_column("employee_id", "employees", nullable=True),
    _date_column("order_date"),
    _text_column("status", 20),
    _text_column("channel", 20),
)
Table(
    "order_items",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True, autoincrement=False),
    Column("line_number", Integer, primary_key=True, autoincrement=False),
    _reference_column("product_id", "products"),
    _number_column("quantity"),
    _money_column("unit_price"),
    Column("discount", Float, nullable=False, comment="Share of the price taken off, 0 to 1."),
    comment="Lines of an order.",
)
_define_table(
    "payments",
    "Payments for orders.",
    _reference_column("order_id", "orders"),
    _money_column("amount"),
    _text_column("method", 20),
    _text_column("status", 20),
    Column("paid_at", _SECONDS, nullable=False),
)
_define_table(
    "shipments",
    "Parcels sent to customers.",
    _reference_column("order_id", "orders"),
    _text_column("carrier", 30),
    _text_column("status", 20),
    _date_column("shipped_date"),
    _date_column("delivered_date", nullable=True),
)
_define_table(
    "returns",
    "Lines that customers sent back.",
    _number_column("order_id"),
    _number_column("line_number"),
    _date_column("return_date"),
    _text_column("reason", 40),
    _money_column("refund"),
    ForeignKeyConstraint(["order_id", "line_number"], ["order_items.order_id", "order_items.line_number"]),
)
_define_table(
    "reviews",
    "What customers say about products.",
    _reference_column("product_id", "products"),
    _reference_column("customer_id", "customers"),
    _number_column("rating"),
    _text_column("comment", 200),
    _date_column("review_date"),
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
    with draft_file(path, durable=False) as draft:
        engine = create_engine(f"sqlite:///{draft}")
        with engine.begin() as connection:
            _fill_database(connection)
        engine.dispose()
        draft.chmod(0o644)


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
    known = find_dialect(target.drivername)
    engine = create_engine(target.set(drivername=known.driver) if known else target)
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
            _fill_database(connection)
    finally:
        engine.dispose()
    return True


def _fill_database(connection: Connection) -> None:
    metadata.create_all(connection)
    for name, rows in Shop().tables():
        table = metadata.tables[name]
        numbered = ((i, *row) for i, row in enumerate(rows, 1)) if "id" in table.c else rows
        connection.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True)) for row in numbered])
    # Not declared on the tables: SQLAlchemy makes those in no fixed order.
    for name, column in INDEXES:
        connection.exec_driver_sql(f"CREATE INDEX ix_{name}_{column} ON {name} ({column})")
