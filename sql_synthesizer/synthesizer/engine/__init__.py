"""The embedded engine: plain questions to SQL over a schema never seen before, with no model and no network."""
