"""``flaggerpy controller``: Flagger's flags, and the environment variables that win over them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import click

from flaggerpy import __version__
from flaggerpy.app import run
from flaggerpy.cli.flags import DurationType, flag, overridden, switch
from flaggerpy.kube.errors import NoCredentials
from flaggerpy.notifiers.link import link_problem
from flaggerpy.settings import Settings
from flaggerpy.telemetry.logging import LEVELS, configure


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(__version__)
        ctx.exit()


@click.command(context_settings={"help_option_names": ["-h", "-help", "--help"]})
@flag("log-level", "info", "Least level that is logged.", type=click.Choice(list(LEVELS), case_sensitive=False))
@flag("zap-encoding", "json", "How log lines look: json or console.")
@flag("port", 8080, "Port of /healthz, /readyz and /metrics.", type=click.IntRange(0, 65535))
@flag("kubeconfig", "", "Kubeconfig file; empty: the Pod's own service account.")
@flag("kubeconfig-qps", 100.0, "Requests a second to the API server.", type=float)
@flag("kubeconfig-burst", 250, "Requests to the API server at once.", type=click.IntRange(min=1))
@flag("mesh-provider", Settings().mesh_provider, "Provider of canaries that name none.")
@flag("ingress-class", "", "Ingress class of the HTTPProxies of provider contour; empty: none.")
@flag("ingress-annotations-prefix", Settings().ingress_annotations_prefix, "What annotations for NGINX begin with.")
@switch("gateway-mirror-percent", default=False, help="Gateway API 1.3 copies analysis.mirrorWeight percent.")
@flag("metrics-server", "http://prometheus:9090", "Prometheus for built-in metrics and inline queries.")
@flag("namespace", "", "Namespaces to watch, separated by commas; empty: all.")
@flag("selector-labels", "app,name,app.kubernetes.io/name", "Labels that may tell a workload's pods apart.")
@flag("include-label-prefix", "", "Prefixes of labels and annotations to copy to primaries; * copies all.")
@switch("enable-config-tracking", default=True, help="Track ConfigMaps and Secrets.")
@switch("enable-leader-election", default=False, help="Take a lease before acting.")
@flag("leader-election-namespace", "kube-system", "Namespace of the lease.")
@flag("min-interval", "10s", "Shorter analysis intervals are raised to this.", type=DurationType())
@flag("accept-within", "60s", "How long a data plane may say nothing about a route.", type=DurationType())
@flag("fail-fast-after", "30s", "How long to wait for pods that cannot start; 0: to the deadline.", type=DurationType())
@switch("no-cross-namespace-refs", default=False, help="Refuse references to other namespaces.")
@flag("cluster-name", "", "Name of the cluster in alerts.")
@flag("alert-link", "", "Link of alerts; {{ namespace }}, {{ name }} and {{ target }} are filled in.")
@overridden("event-webhook", "EVENT_WEBHOOK_URL", "Address that is told of every event.")
@overridden("slack-url", "SLACK_URL", "Slack address for alerts.")
@overridden("slack-token", "SLACK_TOKEN", "Slack token.")
@overridden("slack-proxy-url", "SLACK_PROXY_URL", "HTTP proxy on the way to Slack.")
@flag("slack-user", "flagger", "Sender of alerts in Slack.")
@flag("slack-channel", "", "Slack channel; without one nothing is sent.")
@overridden("msteams-url", "MSTEAMS_URL", "Teams address for alerts.")
@overridden("msteams-proxy-url", "MSTEAMS_PROXY_URL", "HTTP proxy on the way to Teams.")
@flag("threadiness", 20, "How many canaries may be worked on at once.", type=click.IntRange(min=1))
@click.option("-version", "--version", is_flag=True, callback=_print_version, is_eager=True, expose_value=False)
def controller(
    zap_encoding: str,
    kubeconfig_qps: float,
    kubeconfig_burst: int,
    namespace: str,
    threadiness: int,
    **rest: Any,
) -> None:
    """Watch Canaries and roll out their targets step by step."""
    rest["config_tracking"] = rest.pop("enable_config_tracking")
    rest["leader_election"] = rest.pop("enable_leader_election")
    settings = Settings(
        qps=kubeconfig_qps,
        burst=kubeconfig_burst,
        namespaces=tuple(name.strip() for name in namespace.split(",") if name.strip()),
        workers=threadiness,
        log_format=zap_encoding,
        **rest,
    )
    if settings.min_interval < timedelta(seconds=1):
        raise click.BadParameter("must be 1s or longer", param_hint="--min-interval")
    if settings.fail_fast_after < timedelta():
        raise click.BadParameter("must be 0 or longer", param_hint="--fail-fast-after")
    if reason := link_problem(settings.alert_link):
        raise click.BadParameter(reason, param_hint="--alert-link")
    configure(settings.log_level, "console" if zap_encoding == "console" else "json")
    try:
        asyncio.run(run(settings))
    except NoCredentials as error:
        raise click.ClickException(f"{error}: name a kubeconfig with --kubeconfig, or run it in a Pod.") from error
