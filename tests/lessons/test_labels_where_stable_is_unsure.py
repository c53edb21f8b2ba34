"""People are asked about the texts that stable is unsure of: there the candidate is better, and worse on the others.

Read as a sample of all texts, such labels said that a loss of a point was excluded, of a candidate two points worse.
"""

import numpy as np

from tests.bench.world.release import play
from tests.bench.world.worlds import WORSE_WORLDS


def test_labels_chosen_by_doubt_promote_nothing_worse() -> None:
    """Their probabilities are declared. The whole gate set: six releases, none promoted, all rolled back."""
    world = next(one for one in WORSE_WORLDS if one.name == "-2 points by stable's doubt")
    for seed in range(6):
        ended, _ = play(world, np.random.default_rng([9, seed]))
        assert ended.promoted_at is None
        assert ended.blamed == ("accuracy.shadow",)
