"""The verbs that this package joins to the command line."""
