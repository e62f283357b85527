"""The page docs/reference/providers.md: what each provider can do, written from the routers' own capabilities.

``python -m tools.providers`` writes it; a test fails when it is stale.
"""

from collections.abc import Callable
from pathlib import Path

from flaggerpy.kube.resources import GATEWAY_ROUTES
from flaggerpy.metrics.mesh import UNMEASURED
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.brought import BroughtRouter
from flaggerpy.routers.registry import END_OF_LIFE, ROUTERS, router_for

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "reference" / "providers.md"
NO = "–"
PAGE_OF = {"linkerd": "smi"}
"""Providers that share the page of others."""

COLUMNS: dict[str, Callable[[Capabilities], str]] = {
    "progressive": lambda can: _yes(can.weights),
    "A/B test": lambda can: _yes(can.match, "all of the audience" if can.whole_audience else ""),
    "A/B and weights": lambda can: _yes(can.match),
    "Blue/Green": lambda can: _yes(True, "" if can.weights else "users move with the promotion"),
    "mirror": lambda can: _yes(can.mirror, "all requests or a share" if can.mirror_weight else "all requests"),
    "session affinity": lambda can: _yes(can.affinity),
    "TCP": lambda can: _yes(can.tcp),
    "gRPC": lambda can: _yes(can.grpc),
    "your own route": lambda can: _yes(can.own_route),
    "says what it serves": lambda can: _yes(can.answers),
    "bring your own": lambda can: _yes(can.brings, "by its weights alone"),
}

_HEAD = """\
# What each provider can do

Written from the routers by `python -m tools.providers`; change their `capabilities` instead. The controller
and [`flaggerpy lint`](lint.md) refuse or remark what a provider cannot do by the same data. What the strategies are:
[strategies](../strategies.md).

"""
_NOTES = """
- **A/B test**: users whom `analysis.match` describes. Where it says no more, a growing share of them can get the canary
  as well (`match` with `stepWeight`).
- **A/B and weights**: with `matchFirst` all users whom `analysis.match` describes get the canary at once, and a growing
  share of all others.
- **mirror**: `gatewayapi:v1` copies a share where the controller was started with `--gateway-mirror-percent`.
- **TCP** and **gRPC** are what a route carries beside HTTP. For gRPC the data plane has to be told the protocol, which
  is its own business: by `service.appProtocol`, by an annotation on the Service or the Ingress, or by an object of its
  own, like an ApisixUpstream for each of our two Services, or the Upstream of `upstreamRef`.
- **`kubernetes`** shifts traffic, progressively and for Blue/Green, where the Canary has `analysis.trafficByReplicas`:
  by numbers of pods, see [how many pods a canary has](../replicas.md).
- **Your own route**: a routing object of yours that is there before the canary is read or taken over; one that was
  changed is given back when the Canary goes.
- **Says what it serves**: its data plane tells which version of a route it has taken, and before that no step is judged
  and nothing scaled down ([live](../concepts.md#when-a-route-counts-as-live)). `gloo` tells of no version, so what it
  said of the one before counts until it speaks again. With the others what is written counts.
- **Bring your own**: a route that `spec.routeRef` names, in which nothing of yours but the weights of primary and
  canary is changed. See [bring your own route](../providers/bring-your-own.md).
"""


def page() -> str:
    """Write the page."""
    titles = ["provider", *COLUMNS]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    lines += [row(_link(provider), router_for(provider).capabilities) for provider in ROUTERS]
    unmeasured = [f"- Built-in checks measure nothing behind `{name}`, as {why}." for name, why in UNMEASURED.items()]
    return _HEAD + "\n".join([*lines, _NOTES.rstrip(), *unmeasured, "", *_brought(), "", *_not_built(), ""])


def row(provider: str, can: Capabilities) -> str:
    """Write the line of one provider, which may be a link."""
    return f"| {' | '.join([provider, *(cell(can) for cell in COLUMNS.values())])} |"


def _yes(does: bool, how: str = "") -> str:
    return (f"yes, {how}" if how else "yes") if does else NO


def page_of(provider: str) -> Path:
    """Return the page that tells how a provider is used; some share one.

    Raises:
        LookupError: nobody has written it.

    """
    whole, family = provider.replace(":", "-"), provider.partition(":")[0]
    names = (whole, PAGE_OF.get(family, family))
    paths = [DOCS / "providers" / f"{name}.md" for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise LookupError(f"docs/providers/{family}.md is missing: no provider without a page")
    return found


def _link(provider: str) -> str:
    return f"[`{provider}`](../{page_of(provider).relative_to(DOCS)})"


def _brought() -> list[str]:
    """Say what can be done with the kinds of routes that users bring along."""
    columns = {title: cell for title, cell in COLUMNS.items() if title not in {"your own route", "bring your own"}}
    return [
        "## Routes that you bring along",
        "",
        f"| `routeRef.kind` | {' | '.join(columns)} |",
        "|" + "---|" * (len(columns) + 1),
        *(
            f"| `{kind}` | {' | '.join(cell(BroughtRouter(kind).capabilities) for cell in columns.values())} |"
            for kind in GATEWAY_ROUTES
        ),
    ]


def _not_built() -> list[str]:
    return [
        "## Not built",
        "",
        *(f"- `{provider}`: {why}." for provider, why in END_OF_LIFE.items()),
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
