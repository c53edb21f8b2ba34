"""Where it is counted what users got: a gateway's own series, asked for by model and version."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.monitoring.rule import OF_VERSION, duration
from serving import contract as names

_OWN_BACKEND: Final = "(.+)-v([^-]+)"  # the name of a cluster of Serin's own Envoy: no version has a hyphen
_EDGE: Final = "le"


@dataclass(frozen=True, slots=True)
class UserSeries:
    """The series of one gateway, which is scraped as ``job``; by default those of Serin's own Envoy.

    ``failed`` and ``counted`` are matchers: of the server's errors, and of all that is users'. ``times`` is a histogram
    in units of ``unit_ms``; empty: the gateway has none. ``backend_of``: of a model, the regular expression of what
    ``backend_label`` says of its versions, whose group ``number`` is the version; None: as our own Envoy names them.
    """

    job: str = names.GATEWAY_JOB
    requests: str = names.GATEWAY_REQUESTS_METRIC
    times: str = names.GATEWAY_TIME_METRIC
    unit_ms: int = 1
    failed: str = f'{names.CODE_CLASS_LABEL}="5"'
    counted: Mapping[str, str] = field(default_factory=dict)
    backend_label: str = names.CLUSTER_LABEL
    backend_of: Callable[[str], str] | None = None

    @property
    def target(self) -> str:
        """The matcher of the gateway's targets."""
        return f"job={json.dumps(self.job)}"

    def can_tell(self, models: Collection[str]) -> bool:
        """Return whether there is anything to ask: other gateways than our own are asked for each model by name."""
        return self.backend_of is None or bool(models)

    def all_in(self, models: Iterable[str], window_s: float) -> str:
        """The query of users' requests within the window, by model and version."""
        return self._summed(models, lambda own: f"increase({self.requests}{{{own}}}[{duration(window_s)}])")

    def failed_in(self, models: Iterable[str], window_s: float) -> str:
        """The same of those that the server failed."""
        return self._summed(
            models, lambda own: f"increase({self.requests}{{{own}, {self.failed}}}[{duration(window_s)}])"
        )

    def quantile_ms(self, models: Iterable[str], quantile: float, window_s: float) -> str:
        """The query of a percentile of users' times in milliseconds; empty where the gateway tells none."""
        if not self.times:
            return ""
        found = self._summed(models, lambda own: f"rate({self.times}_bucket{{{own}}}[{duration(window_s)}])", _EDGE)
        scaled = f"{self.unit_ms} * " if self.unit_ms != 1 else ""
        return f"{scaled}histogram_quantile({quantile:g}, {found})"

    def _summed(self, models: Iterable[str], ask: Callable[[str], str], *more: str) -> str:
        """The sum by model and version of what ``ask`` makes of matchers."""
        by = f"sum by ({', '.join((OF_VERSION, *more))})"
        if self.backend_of is None:
            own = f'{self.target}, {self.backend_label}!~".*-shadow"'
            model = f'label_replace({ask(own)}, "{names.MODEL_LABEL}", "$1", "{self.backend_label}", "{_OWN_BACKEND}")'
            both = f'label_replace({model}, "{names.VERSION_LABEL}", "$2", "{self.backend_label}", "{_OWN_BACKEND}")'
            return f"{by} ({both})"
        return " or ".join(f"{by} ({self._of_model(model, self.backend_of(model), ask)})" for model in models)

    def _of_model(self, model: str, backend: str, ask: Callable[[str], str]) -> str:
        like = json.dumps(backend)
        more = [f"{label}=~{json.dumps(value)}" for label, value in self.counted.items()]
        asked = ask(", ".join((self.target, f"{self.backend_label}=~{like}", *more)))
        version = f'label_replace({asked}, "{names.VERSION_LABEL}", "${{number}}", "{self.backend_label}", {like})'
        return f'label_replace({version}, "{names.MODEL_LABEL}", {json.dumps(model)}, "", "")'


OWN: Final = UserSeries()
