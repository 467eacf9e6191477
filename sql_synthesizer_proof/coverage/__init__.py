"""Which of the critical paths leave a metric, a span, a log line and an audit record, each found under one trace id."""
