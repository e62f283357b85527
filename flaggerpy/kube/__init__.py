"""API machinery that knows no canary: transport, client, reflectors, caches, work queue, lease, events."""
