"""``python -m sql_synthesizer``: the command line."""

from sql_synthesizer.cli import main

main()
