"""What the client is to do, and the bounds it keeps: how much, how long, and to whom."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from urllib.parse import urlsplit

MOST_REQUESTS = 500_000
HIGHEST_RATE = 500.0
LONGEST = 2 * 3600.0
MOST_AT_ONCE = 2000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(ValueError):
    """A plan that the client will not carry out; the text says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A steady stream of requests to one address.

    `allow` lists private addresses or networks (a cluster's own) that may be called besides loopback.
    `upstream_header` is a header in which the proxy tells which pod answered, when it does. `headers` are sent along.
    """

    url: str
    host: str
    rate: float = 50.0
    duration: float = 30.0
    keep_alive: bool = False
    timeout: float = 5.0
    allow: tuple[str, ...] = ()
    upstream_header: str = "x-upstream"
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.rate <= HIGHEST_RATE:
            raise Refused(f"a rate of {self.rate:g} a second is not within 0 and {HIGHEST_RATE:g}")
        if not 0 < self.duration <= LONGEST:
            raise Refused(f"a duration of {self.duration:g} s is not within 0 and {LONGEST:g} s")
        if not 0 < self.timeout <= 60:
            raise Refused(f"a timeout of {self.timeout:g} s is not within 0 and 60 s")
        if self.count > MOST_REQUESTS:
            raise Refused(f"{self.count} requests are more than {MOST_REQUESTS}")
        _check_address(self.url, self.allow)

    @property
    def count(self) -> int:
        """How many requests it is all together."""
        return math.ceil(self.rate * self.duration)

    @property
    def at_once(self) -> int:
        """How many requests may be under way; more cannot be, unless the clock is behind."""
        return min(MOST_AT_ONCE, math.ceil(self.rate * self.timeout) + 10)


def _check_address(url: str, allow: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.username is not None:
        raise Refused(f"{url} is no plain http:// URL")
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        raise Refused(f"{url} names no address; names are not looked up, write an IP address") from None
    if address.is_loopback:
        return
    if not any(address in network for network in map(_private_network, allow)):
        raise Refused(f"{address} is neither loopback nor an allowed address of the cluster")


def _private_network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise Refused(f"{text} is neither an address nor a network: {error}") from None
    if not network.is_private or network.is_link_local or network.is_unspecified or network.prefixlen < 8:
        raise Refused(f"{text} is not a private network")
    return network
