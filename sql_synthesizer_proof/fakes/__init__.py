"""Stand-ins for what the service talks to, with faults to order."""
