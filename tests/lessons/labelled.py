"""A service whose samples and labels go through the real store, by name: labels come from a source with habits."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from controller.adapters.sql.store import Store
from controller.ports.samples import Label, Prediction
from tests.controller.service import CLASSES, MODEL, Service


def as_it_is(name: str) -> str:
    return name


class LabelledService(Service):
    """``says``: how the source calls a class; ``asks``: how it calls a request. A version in ``swapped`` takes the
    first two classes for each other."""

    def __init__(self, store: Store, *ports: Any, **options: Any) -> None:
        super().__init__(*ports, **options)
        self.samples = store.samples  # type: ignore[assignment]
        self.says: Callable[[str], str] = as_it_is
        self.asks: Callable[[str], str] = as_it_is
        self.swapped: set[str] = set()
        self.source = "helpdesk"
        self.tags: dict[str, str] = {}
        self._requests = 0
        self._late: deque[tuple[float, Label]] = deque()

    def _sample(self, live: str, shadow: str | None, difficulty: np.ndarray) -> None:
        now_s = self._clock.now_s()
        sampled: list[Prediction] = []
        for hard in difficulty.tolist():
            self._requests += 1
            request = f"r{self._requests}"
            truth = CLASSES[int(self._random.integers(len(CLASSES)))]
            sampled.append(self._predicted(request, live, "live", truth, hard))
            if shadow is not None:
                sampled.append(self._predicted(request, shadow, "shadow", truth, hard))
            if self._random.random() < self.labelled:
                at_s = now_s + self.label_delay_s
                label = Label(self.asks(request), truth, at_s, self.source, received_at_s=at_s)
                self._late.append((self._clock.monotonic_s() + self.label_delay_s, label))
        store: Any = self.samples
        store.add_predictions(sampled)

    def _predicted(self, request: str, version: str, traffic: str, truth: str, hard: float) -> Prediction:
        behaviour = self.behaviours[version]
        right = hard + self._random.normal(0.0, 0.02) < behaviour.accuracy
        label = truth if right else next(name for name in CLASSES if name != truth)
        if version in self.swapped:
            label = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}.get(label, label)
        confidence = behaviour.accuracy
        rest = (1 - confidence) / (len(CLASSES) - 1)
        return Prediction(
            request_id=request,
            model=MODEL,
            version=version,
            traffic=traffic,
            at_s=self._clock.now_s(),
            label=label,
            confidence=confidence,
            probabilities=dict.fromkeys(CLASSES, rest) | {label: confidence},
            inclusion_probability=self.captured,
            text_digest=request,
            tags=self.tags,
        )

    def _label(self, until_s: float) -> None:
        due = []
        while self._late and self._late[0][0] <= until_s:
            _, label = self._late.popleft()
            due.append(label)
        store: Any = self.samples
        store.add_labels([_named(label, self.says(label.label)) for label in due])


def _named(label: Label, name: str) -> Label:
    return Label(label.request_id, name, label.at_s, label.source, received_at_s=label.received_at_s)
