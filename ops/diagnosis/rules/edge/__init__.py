"""Causes between the viewer and the tasks: CDN, listeners, target groups, ports."""
