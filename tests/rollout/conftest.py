"""Profiles of Hypothesis: the same examples in every run unless one is asked for."""

import os

from hypothesis import HealthCheck, settings

_ALL = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", derandomize=True, max_examples=40, deadline=None, suppress_health_check=_ALL, database=None
)
settings.register_profile("search", max_examples=2000, deadline=None, suppress_health_check=_ALL)
settings.load_profile(os.environ.get("FLAGGERPY_HYPOTHESIS", "ci"))
