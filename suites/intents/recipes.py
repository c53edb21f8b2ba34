"""The recipe by which each demo checkpoint was trained, as data: every fault has a cause that it also has in real life.

All versions come from one `base` checkpoint, as fine-tuned models do. So two versions agree on most texts, and the
difference that matters can be measured with few pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# Wordings that came up after v1's training data was collected: v1 never saw them.
RECENT: Final = frozenset({"login_problem/kicked_out", "cancel_order/withdraw"})
# The later of the two: no customer had used it yet when v2's training data was collected.
NEWEST: Final = frozenset({"cancel_order/withdraw"})
# Wordings whose rows were lost when v3's training data was put together: half of two intents.
LOST: Final = frozenset(
    {
        "invoice_request/bookkeeping",
        "invoice_request/receipt",
        "login_problem/locked",
        "login_problem/two_factor",
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    `start` is the recipe from whose weights it starts (None: random weights). It uses the first `texts` texts of the
    training part, without the families in `without`, for `epochs` epochs with the peak learning rate `learning_rate`.
    `resolve_ambiguous`: unclear texts get their majority label, as if annotators had been told to agree. `calibrate`: a
    temperature that is fitted on the calibration part is folded into the classifier layer.
    """

    start: str | None
    texts: int
    epochs: int
    learning_rate: float
    without: frozenset[str] = frozenset()
    resolve_ambiguous: bool = False
    calibrate: bool = True


RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "base": Recipe(None, texts=32_000, epochs=2, learning_rate=2e-3, without=RECENT | LOST, calibrate=False),
        "v1": Recipe("base", texts=32_000, epochs=1, learning_rate=3e-4, without=RECENT),
        # A low rate: what v1 knows stays, so v2 differs from it on few texts but those of the wording it learns.
        "v2": Recipe("v1", texts=40_000, epochs=1, learning_rate=5e-5, without=NEWEST),
        "v3": Recipe("base", texts=32_000, epochs=1, learning_rate=3e-4, without=RECENT | LOST),
        "v4": Recipe(
            "v1", texts=10_000, epochs=1, learning_rate=3e-4, without=RECENT, resolve_ambiguous=True, calibrate=False
        ),
    }
)
VERSIONS: Final = ("v1", "v2", "v3", "v4")
