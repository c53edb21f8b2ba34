"""What a text's prediction looks like as JSON; written once, in the worker, and passed on as it is."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PROBABILITY_DECIMALS = 7


class Answers:
    """Writes ``{"label", "probabilities", "truncated"}``. A template, since this is done for every text served."""

    def __init__(self, labels: Sequence[str]) -> None:
        names = [json.dumps(label, ensure_ascii=False) for label in labels]
        entries = ", ".join(f"{name.replace('%', '%%')}: %.{PROBABILITY_DECIMALS}f" for name in names)
        self._names = names
        self._template = f'{{"label": %s, "probabilities": {{{entries}}}, "truncated": %s}}'

    def write(self, probabilities: npt.NDArray[np.float64], truncated: Sequence[bool]) -> list[bytes]:
        """One JSON object for each row of ``probabilities`` [texts, labels]."""
        best = probabilities.argmax(axis=1).tolist()
        return [
            (self._template % (self._names[label], *row, "true" if cut else "false")).encode()
            for label, row, cut in zip(best, probabilities.tolist(), truncated, strict=True)
        ]
