"""What the databases hold: reading their schemas, keeping them for a while, looking up values."""

from sql_synthesizer.schema.cache import SchemaCache
from sql_synthesizer.schema.reflection import reflect_schema

__all__ = ["SchemaCache", "reflect_schema"]
