"""The HTTP application, under the name that code outside this product imports."""

from sql_synthesizer.web.app import create_app

__all__ = ["create_app"]
