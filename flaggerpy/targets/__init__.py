"""Workloads as pure translators of JSON."""
