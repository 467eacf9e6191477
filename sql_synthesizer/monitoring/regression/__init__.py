"""Has something become worse? By Prometheus' series of a service: over time, and of one version beside another."""
