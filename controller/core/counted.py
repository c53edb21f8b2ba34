"""Counts in words, with the noun or verb in the singular or plural."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return the count with its noun: ``1 label``, ``1,204 labels``. ``plural``: if it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def agreed(count: int, verb: str) -> str:
    """Return the verb in agreement with the count of its subject: ``names`` for 1, otherwise ``name``."""
    return f"{verb}{'es' if verb.endswith(('s', 'ch')) else 's'}" if count == 1 else verb
