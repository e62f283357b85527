"""The load tester: a program of its own that answers rollout hooks."""
