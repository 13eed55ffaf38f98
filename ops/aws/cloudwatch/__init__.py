"""CloudWatch: the log lines of containers, and alarms."""
