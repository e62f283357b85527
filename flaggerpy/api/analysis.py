"""spec.analysis: how a new revision is judged and how traffic moves meanwhile."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from flaggerpy.api.base import ApiModel, Duration, DurationText, Number
from flaggerpy.api.hookcall import HookHeader, HookTls
from flaggerpy.api.matching import AudienceMatch
from flaggerpy.api.refs import NamespacedRef
from flaggerpy.api.schema import stored_default
from flaggerpy.api.sequential import SequentialTest
from flaggerpy.durations import parse_duration

DEFAULT_INTERVAL: Final = timedelta(seconds=60)
DEFAULT_HOOK_TIMEOUT: Final = timedelta(seconds=10)
DEFAULT_COOKIE_AGE: Final = 86_400
DEFAULT_ERROR_LIMIT: Final = 10
SUCCESS_RATE: Final = "request-success-rate"
REQUEST_DURATION: Final = "request-duration"
BUILT_IN: Final = frozenset({SUCCESS_RATE, REQUEST_DURATION})

_ONE_PLAN: Final[dict[str, Any]] = {
    "oneOf": [{"required": ["interval", "threshold", plan]} for plan in ("iterations", "stepWeight", "stepWeights")]
}


class Strategy(StrEnum):
    """How traffic moves; derived from the analysis, not declared."""

    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    AB_TESTING = "ab-testing"


class HookType(StrEnum):
    """When a webhook is called."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    PRE_ROLLOUT = "pre-rollout"
    ROLLOUT = "rollout"
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    CONFIRM_PROMOTION = "confirm-promotion"
    POST_ROLLOUT = "post-rollout"
    ROLLBACK = "rollback"
    EVENT = "event"


class Severity(StrEnum):
    """How bad an alert is; the least bad that is sent."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class OnNoData(StrEnum):
    """What it means that a metric has no value."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 -- no password
    WAIT = "wait"


class Window(StrEnum):
    """How far a measurement looks back."""

    INTERVAL = "interval"
    STEP = "step"


class ThresholdRange(ApiModel):
    """Accepted values of a metric; both bounds are inclusive."""

    min: float | None = None
    """Smallest accepted value; none if absent."""
    max: float | None = None
    """Largest accepted value; none if absent."""


class CanaryMetric(ApiModel):
    """One measurement of every check."""

    name: str
    """Name of the metric. request-success-rate (percent) and request-duration (ms) are built in."""
    interval_text: DurationText = Field(default="1m", alias="interval")
    """Time that a measurement looks back on."""
    threshold: float | None = None
    """Without thresholdRange: smallest success rate, or largest value of anything else (deprecated)."""
    threshold_range: ThresholdRange | None = None
    """Accepted values."""
    query: str | None = None
    """Query for the metrics server (deprecated: use templateRef)."""
    template_ref: NamespacedRef | None = None
    """MetricTemplate that measures."""
    template_variables: dict[str, str] = Field(default_factory=dict)
    """Values of {{ variables.… }} in the MetricTemplate."""
    on_no_data: OnNoData = OnNoData.FAIL
    """What it means that there is no value: fail, pass, or wait, which holds the rollout without counting."""
    min_samples: Number = 0
    """Fewest samples in the window to be judged by; with fewer the rollout waits. Built-in metrics count requests."""
    sample_query: str | None = None
    """Query that counts the samples in the window, asked where the metric is; built-in metrics have their own."""
    initial_delay: Duration | None = None
    """Time in which it is not measured after the canary got its first users; that of the analysis if absent."""
    window: Window = Window.INTERVAL
    """Whether a measurement looks back on all of interval, or with step no further than to the start of the step."""
    once_per_interval: bool = False
    """Whether it is measured once an interval of its own in the place of at every check."""
    failure_limit: Number | None = None
    """Most failures in a rollout; this metric is then not counted for the analysis' threshold."""
    consecutive_failure_limit: Number | None = None
    """Most failures in a row; this metric is then not counted for the analysis' threshold."""
    consecutive_error_limit: Number = DEFAULT_ERROR_LIMIT
    """Most measurements in a row without a verdict; after more of them the rollout pauses until there is one."""
    dry_run: bool = False
    """Whether it is measured and shown, and decides nothing."""
    compare_to: Literal["primary"] | None = None
    """Whose value it is compared with, measured by the same query; needs ratio or delta."""
    ratio: ThresholdRange | None = None
    """Accepted ratios of the canary's value to the primary's."""
    delta: ThresholdRange | None = None
    """Accepted differences of the canary's value from the primary's, in the metric's own unit."""
    sequential: SequentialTest | None = None
    """Judges by the evidence of the whole rollout; its failure rolls back at once unless a limit is given."""

    @property
    def interval(self) -> timedelta:
        """Time that a measurement looks back on."""
        return parse_duration(self.interval_text)

    @property
    def bounded(self) -> bool:
        """Whether the value itself has bounds, whatever it is compared with."""
        return self.threshold_range is not None or self.threshold is not None

    @property
    def valued(self) -> bool:
        """Whether a value is measured: one that nothing bounds is not, where a sequential test judges."""
        return self.sequential is None or self.bounded or self.compare_to is not None

    @property
    def unbounded(self) -> bool:
        """Whether a value is measured that nothing judges."""
        return self.valued and not self.bounded and self.compare_to is None

    @property
    def limited(self) -> bool:
        """Whether its failures have limits of their own and are not counted for the analysis' threshold."""
        return self.failure_limit is not None or self.consecutive_failure_limit is not None

    @property
    def error_limit(self) -> int:
        """Most measurements in a row without a verdict before people are told; as many as its test may ask for."""
        return max(self.consecutive_error_limit, self.sequential.max_extra if self.sequential else 0)

    @property
    def built_in(self) -> bool:
        """Whether the metrics server is asked a query of ours, by the metric's name."""
        return self.name in BUILT_IN


class CanaryAlert(ApiModel):
    """One receiver of alerts."""

    name: str
    """Name of the alert, for people."""
    severity: Annotated[
        Severity,
        BeforeValidator(lambda value: value or Severity.INFO),
        WithJsonSchema({"type": "string", "enum": ["", *(item.value for item in Severity)]}),
    ] = Severity.INFO
    """Least severity that is sent; info if empty."""
    provider_ref: NamespacedRef
    """AlertProvider that says where to send alerts."""


class CanaryWebhook(ApiModel):
    """One HTTP call; an answer 2xx passes."""

    name: str
    """Name of the webhook, for people and in events."""
    url: str = Field(json_schema_extra={"format": "url"})
    """Address to POST to, http or https."""
    type: Annotated[
        HookType,
        BeforeValidator(lambda value: value or HookType.ROLLOUT),
        WithJsonSchema({"type": "string", "enum": ["", *(item.value for item in HookType)]}),
    ] = HookType.ROLLOUT
    """When it is called; at every check (rollout) if empty."""
    timeout: Duration = DEFAULT_HOOK_TIMEOUT
    """Time limit of each attempt; 0s means the default."""
    retries: Number = 0
    """Further attempts after a failure to connect and after 429 and 5xx."""
    disable_tls: bool = Field(default=False, alias="disableTLS")
    """Whether the server's certificate is taken unseen."""
    mute_alert: bool = False
    """Whether a closed gate sends no alert (the event stays)."""
    metadata: dict[str, str] | None = None
    """Entries that are sent along."""
    headers: tuple[HookHeader, ...] = ()
    """Headers that are sent along; their values may be kept in Secrets."""
    tls: HookTls | None = None
    """Who may vouch for the server; whom the controller trusts otherwise if absent."""

    @field_validator("timeout")
    @classmethod
    def _never_endless(cls, timeout: timedelta) -> timedelta:
        return timeout or DEFAULT_HOOK_TIMEOUT


class SessionAffinity(ApiModel):
    """Cookies that keep a user on the version they have seen."""

    cookie_name: str
    """Name of the cookie that keeps users on the canary."""
    primary_cookie_name: str | None = None
    """Name of the cookie that keeps users on the primary; no such cookie if absent."""
    domain: str | None = None
    """Domain of the cookies."""
    http_only: bool = False
    """Whether scripts cannot read the cookies."""
    max_age: Number = Field(default=DEFAULT_COOKIE_AGE, json_schema_extra=stored_default(DEFAULT_COOKIE_AGE))
    """How long the cookies live, in seconds; 0 means the default."""
    partitioned: bool = False
    """Whether the cookies are kept apart by top-level site."""
    path: str | None = None
    """Path of the cookies."""
    same_site: Literal["Strict", "Lax", "None"] | None = None
    """Whether the cookies are sent along from other sites."""
    secure: bool = False
    """Whether the cookies are sent over https only."""

    @field_validator("max_age")
    @classmethod
    def _zero_is_default(cls, max_age: int) -> int:
        return max_age or DEFAULT_COOKIE_AGE


class CanaryScale(ApiModel):
    """How many pods a canary has while it is analysed."""

    match_traffic_weight: bool = False
    """Whether its pods are in proportion to its share of traffic, and there before the share grows."""
    min_replicas: Number = 1
    """Fewest pods of such a canary, but never more than the primary has."""


class TrafficByReplicas(ApiModel):
    """Shares of traffic by numbers of pods behind one Service, without a proxy."""

    label: str
    """Key of a label in the target's pod template, with a value that no other pods have."""


class CanaryAnalysis(ApiModel):
    """How a new revision is judged and how traffic moves meanwhile."""

    model_config = ConfigDict(json_schema_extra=_ONE_PLAN)

    interval: Duration = DEFAULT_INTERVAL
    """Time between two checks; what is shorter than the controller's --min-interval is raised to it."""
    threshold: Number = 1
    """Failed checks after which the canary is rolled back; below 1 counts as 1."""
    iterations: Number = 0
    """Number of checks of an A/B test or of Blue/Green."""
    max_weight: Number = 100
    """Share of traffic, in percent, at which the canary is promoted; 0 counts as 100. Not for stepWeights."""
    step_weight: Number = 0
    """Share of traffic, in percent, that every passed check adds."""
    step_weights: tuple[Number, ...] = ()
    """Shares of traffic, in percent and ascending, one for every passed check."""
    step_weight_promotion: Number = 0
    """Share of traffic, in percent, that returns to the primary at once while promoting; 0 for all of it."""
    mirror: bool = False
    """Whether the canary first gets copies of requests whose answers nobody sees."""
    mirror_weight: Number = 0
    """Share of requests to copy, in percent; 0 for the mesh's default."""
    primary_ready_threshold: Number = 100
    """Share of the primary's pods, in percent, that must be available."""
    canary_ready_threshold: Number = 100
    """Share of the canary's pods, in percent, that must be available."""
    match: tuple[AudienceMatch, ...] = ()
    """Who sees the canary in an A/B test; one of the conditions must hold."""
    match_first: bool = False
    """Whether all whom match describes get the canary with the first weight, and of all others the weight."""
    metrics: tuple[CanaryMetric, ...] = ()
    """What every check measures."""
    initial_delay: Duration = timedelta()
    """Time in which no metric is measured after the canary got its first users; the rollout waits meanwhile."""
    alerts: tuple[CanaryAlert, ...] = ()
    """Who is told; replaces the controller's own receiver."""
    webhooks: tuple[CanaryWebhook, ...] = ()
    """Gates, tests and other calls."""
    webhooks_parallel: bool = False
    """Whether webhooks of one type are called at the same time; if not, one by one, up to the first refusal."""
    session_affinity: SessionAffinity | None = None
    """Cookies that keep a user on the version they have seen."""
    canary_scale: CanaryScale | None = None
    """How many pods the canary has while it is analysed; as many as the primary if absent."""
    traffic_by_replicas: TrafficByReplicas | None = None
    """Let the provider kubernetes shift traffic by numbers of pods; it shifts none if absent."""

    @field_validator("threshold")
    @classmethod
    def _at_least_one(cls, threshold: int) -> int:
        return max(1, threshold)

    @field_validator("max_weight")
    @classmethod
    def _zero_is_all(cls, max_weight: int) -> int:
        return max_weight or 100

    @property
    def strategy(self) -> Strategy:
        """How traffic moves."""
        if self.iterations < 1:
            return Strategy.CANARY
        return Strategy.AB_TESTING if self.match else Strategy.BLUE_GREEN

    @property
    def audience_first(self) -> bool:
        """Whether all of an audience gets the canary with the first share, and everybody else by their share."""
        return self.match_first and bool(self.match) and self.strategy is Strategy.CANARY

    @property
    def sized_by_share(self) -> bool:
        """Whether the canary has as many pods as its share of the users needs."""
        return self.canary_scale is not None and self.canary_scale.match_traffic_weight

    @property
    def steps(self) -> tuple[int, ...]:
        """The canary's shares in percent, one after the other; promotion follows the last one.

        With ``stepWeight`` the last share may overshoot ``maxWeight``: 20, 40, 60 for step 20 and maximum 50.
        """
        if self.step_weight < 1:
            return self.step_weights
        top = min(self.max_weight, 100)
        count = -(-top // self.step_weight)
        return tuple(min(self.step_weight * step, 100) for step in range(1, count + 1))

    def hooks(self, kind: HookType) -> tuple[CanaryWebhook, ...]:
        """Select the webhooks of one type, in the order they are called."""
        return tuple(webhook for webhook in self.webhooks if webhook.type is kind)
