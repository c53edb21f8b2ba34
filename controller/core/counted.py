"""Counts as people read them, in agreement with what is counted."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return ``1 label``, ``1,204 labels``; ``plural`` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def agreed(count: int, verb: str) -> str:
    """Return the verb as it agrees with the count of what does it: ``names`` of one, ``name`` of all others."""
    return f"{verb}{'es' if verb.endswith(('s', 'ch')) else 's'}" if count == 1 else verb
