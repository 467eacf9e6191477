"""A setting that names nothing is refused: at start, and at every reading of the schema."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer import errors
from tests.support.data import EMPLOYEES, KINDS, Data

pytestmark = pytest.mark.boundary

NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "hidden column": ({"hidden": ("employee.home_phone",)}, "employees.home_phone"),
    "hidden table": ({"hidden": ("employes",)}, "employees"),
    "sensitive column": ({"sensitive": ("employees.homephone",)}, "employees.home_phone"),
    "sensitive without table": ({"sensitive": ("home_phone",)}, "employees.home_phone"),
    "sensitive table": ({"sensitive": ("employees",)}, "employees.home_phone"),
    "shareable column": ({"shareable": ("employees.nam",)}, "employees.name"),
    "table": ({"tables": ("employees", "number")}, "numbers"),
    "column among tables": ({"tables": ("employees.name",)}, ""),
    "schema": ({"schemas": ("pubic",)}, ""),
    "qualified": ({"hidden": ("nowhere.employees.home_phone",)}, "employees.home_phone"),
    "one of several": ({"hidden": ("employees.home_phone", "employees.fax")}, ""),
    "empty": ({"hidden": ("",)}, ""),
    "with blanks": ({"hidden": (" employees.home_phone",)}, "employees.home_phone"),
}


@pytest.mark.parametrize("case", NOTHING)
@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_a_name_of_nothing_is_refused(data: Data, case: str) -> None:
    data.run(EMPLOYEES, "CREATE TABLE numbers (number VARCHAR(50))")
    options, near = NOTHING[case]
    with pytest.raises(errors.ConfigurationError) as caught:
        data.read(**options)
    (setting, names), *_ = options.items()
    assert f"{setting}: there is no {names[-1]}" in caught.value.message
    assert near in caught.value.message


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_qualified_names(data: Data) -> None:
    data.run(EMPLOYEES, "CREATE TABLE numbers (number VARCHAR(50))")
    url = sqlalchemy.make_url(data.url)
    place = {"sqlite": "main", "postgresql+psycopg": "public"}.get(url.drivername, url.database)
    for schemas in ((), (place,), (str(place).upper(),)):
        found = data.read(
            schemas=schemas if url.drivername.startswith(("sqlite", "postgres")) or not schemas else (place,),
            hidden=(f"{place}.employees.home_phone", f"{place}.numbers"),
            sensitive=(f"{place}.employees.name".upper(),),
            shareable=(f"{place}.employees.id",),
        )
        (table,) = found.tables
        assert table.hidden == ("home_phone",)
        assert [(c.name, c.sensitive, c.shareable) for c in table.columns] == [
            ("id", False, True),
            ("name", True, False),
        ]
    only = data.read(tables=(f"{place}.numbers",))
    assert [table.name for table in only.tables] == ["numbers"]
