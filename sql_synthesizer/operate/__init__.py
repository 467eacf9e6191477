"""What people run beside the service every day: the watched stack, an inbox for alerts, ordinary traffic."""
