"""What the operator of the controller chose, as one frozen value; the command line fills it."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of the controller; names and defaults are Flagger's where it has the same one.

    Attributes:
        mesh_provider: provider of canaries that name none; empty means that each must name one.
        ingress_class: who among several Contours serves the HTTPProxies of canaries; empty leaves it open.
        ingress_annotations_prefix: what the annotations begin with that the Ingress controller of NGINX reads.
        gateway_mirror_percent: the Gateway API and its proxies can copy a share of the requests.
        namespaces: namespaces to watch; empty means all.
        workers: how many canaries may be worked on at the same time.
        min_interval: shorter analysis intervals are raised to this.
        alert_link: where alerts lead to, with ``{{ namespace }}``, ``{{ name }}`` and ``{{ target }}``.
        fail_fast_after: how long pods that cannot start are waited for; zero: until the progress deadline.

    """

    model_config = ConfigDict(frozen=True)

    mesh_provider: str = "istio"
    ingress_class: str = ""
    ingress_annotations_prefix: str = "nginx.ingress.kubernetes.io"
    gateway_mirror_percent: bool = False
    metrics_server: str = "http://prometheus:9090"
    namespaces: tuple[str, ...] = ()
    selector_labels: str = "app,name,app.kubernetes.io/name"
    include_label_prefix: str = ""
    config_tracking: bool = True
    leader_election: bool = False
    leader_election_namespace: str = "kube-system"
    min_interval: timedelta = timedelta(seconds=10)
    accept_within: timedelta = timedelta(seconds=60)
    fail_fast_after: timedelta = timedelta(seconds=30)
    no_cross_namespace_refs: bool = False
    cluster_name: str = ""
    alert_link: str = ""
    event_webhook: str = ""
    slack_url: str = ""
    slack_token: str = ""
    slack_proxy_url: str = ""
    slack_user: str = "flagger"
    slack_channel: str = ""
    msteams_url: str = ""
    msteams_proxy_url: str = ""
    kubeconfig: str = ""
    qps: float = 100
    burst: int = 250
    workers: int = 20
    port: int = 8080
    log_level: str = "info"
    log_format: str = "json"
