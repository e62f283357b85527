"""Logging, flagger_* series, health endpoints."""
