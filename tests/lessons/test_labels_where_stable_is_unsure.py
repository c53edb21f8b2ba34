"""People are asked about the texts that stable is unsure of: there the candidate is better, and worse on the others.

Read as a sample of all texts, such labels said that a loss of a point was excluded, of a candidate two points worse.
"""

import numpy as np

from tests.bench.world.release import play
from tests.bench.world.worlds import WORLDS


def test_labels_chosen_by_doubt_promote_nothing_worse() -> None:
    """Their probabilities are declared. The whole gate set, in shadow: six releases, none exposed, all rolled back."""
    for seed in range(6):
        ended, _ = play(WORLDS["-2 points by stable's doubt"], np.random.default_rng([9, seed]))
        assert ended.exposed_at is None
        assert ended.blamed == ("accuracy.shadow",)
