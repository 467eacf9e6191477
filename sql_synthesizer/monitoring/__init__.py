"""The watchers: they turn what the telemetry facade reports into metrics, spans, log lines and health."""
