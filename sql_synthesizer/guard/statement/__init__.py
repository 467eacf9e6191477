"""May this SQL run? The boundary: what is not understood is refused."""

from sql_synthesizer.guard.statement.judging import StatementGuard

__all__ = ["StatementGuard"]
