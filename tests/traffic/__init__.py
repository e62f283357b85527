"""A steady client that counts every answer of a service under rollout, and the statistics to judge the shares."""

from tests.traffic.binomial import two_sided
from tests.traffic.client import SteadyClient
from tests.traffic.plan import Plan, Refused
from tests.traffic.summary import Record, Summary, read_records

__all__ = ["Plan", "Record", "Refused", "SteadyClient", "Summary", "read_records", "two_sided"]
