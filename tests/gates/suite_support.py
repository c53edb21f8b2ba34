"""Answers to suites, seeded: how good and how sure a version is, is data."""

from dataclasses import replace

import numpy as np

from gates.offline.suite import SuiteResult

CLASSES = ("refund", "cancel", "other")


def results(count, *, signal=5.0, sharpness=1.0, seed=0, slices=("all",)):
    """Three classes with true probabilities; ``sharpness`` above 1 makes the answers overconfident."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * signal
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = np.exp(logits * sharpness) / np.exp(logits * sharpness).sum(axis=1, keepdims=True)
    found = []
    for place in range(count):
        truth = CLASSES[rng.choice(3, p=true[place])]
        label = int(said[place].argmax())
        answer = float(said[place][label]), tuple(float(p) for p in said[place])
        found.append(SuiteResult(str(place), truth, CLASSES[label], *answer, CLASSES, slices))
    return found


def flipped(cases, count):
    """The same answers, with the first ``count`` right ones made wrong."""
    left, changed = count, []
    for case in cases:
        if left and case.correct:
            other = CLASSES[(CLASSES.index(case.label) + 1) % 3]
            left -= 1
            changed.append(replace(case, label=other))
        else:
            changed.append(case)
    return changed
