"""The shipped alerting rules, judged by promtool on series whose course is known."""
