"""Metric providers: HTTP outside, pure parsing inside."""
