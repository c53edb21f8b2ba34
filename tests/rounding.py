"""How far two computations of the same numbers may lie apart by rounding alone, on any processor.

Kernels for SSE, AVX2 and AVX-512 add up a dot product in different orders, with and without fused multiplications, and
a library chooses among them by the processor, the number of threads and the shape of a call. In any order, a dot
product of ``n`` terms in float32 lies within ``gamma(n)`` times the sum of its terms' sizes of the exact one, and a
chain of them within ``gamma`` of all their terms together (N. J. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd edition, 2002: equation 3.5, lemma 3.3). Two computations lie within twice that. Between the layers of
an encoder sizes stay what they are, as each layer's input is normalised; that is taken for granted here, not proved.
"""

from typing import Final

UNIT_ROUNDOFF: Final = 2.0**-24  # of float32
DECIMALS_APART: Final = 1.001e-7  # of two numbers that lie as close as can be, each rounded to seven decimals


def gamma(terms: int) -> float:
    """Higham's bound on the relative error of so many operations in a row."""
    return terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def apart(terms: int, size: float = 1.0) -> float:
    """Of two results of ``terms`` operations each, whose terms' sizes add up to at most ``size``."""
    return 2 * gamma(terms) * size


def encoder_terms(*, dim: int, hidden: int, layers: int, tokens: int) -> int:
    """Of a logit of a DistilBERT: the longest chain of sums from the embeddings to it."""
    normalised = 2 * dim  # the mean, and the variance
    attention = dim + dim + 2 * tokens + dim  # queries and keys, their products, the softmax and its mean, the output
    forward = dim + hidden
    return normalised + layers * (attention + forward + 2 * normalised) + 2 * dim


def probabilities_apart(terms: int, logits_max: float) -> float:
    """Of softmax probabilities of such logits, rounded to seven decimals. A probability moves by at most half of
    what the logits move by: the sizes in a row of the softmax's Jacobian add up to ``2 p (1 - p)``."""
    return apart(terms, logits_max) / 2 + DECIMALS_APART
