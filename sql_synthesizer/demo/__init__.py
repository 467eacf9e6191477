"""The demo database: a small online shop, the same to the last digit each time it is made."""

from sql_synthesizer.demo.tables import CANARIES, create_demo, demo_settings, ensure_demo, load_demo

__all__ = ["CANARIES", "create_demo", "demo_settings", "ensure_demo", "load_demo"]
