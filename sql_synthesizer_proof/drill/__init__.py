"""The drill: every alert is fired by a real fault, and the time to its notification is measured."""
