"""The names of objects: DNS labels made from the names of models and versions. Standard library only, because the
on-call rollback uses it."""

import base64
import functools
import hashlib
import itertools
import re
from typing import Final

NAME_CHARS_MAX: Final = 52  # Kubernetes adds up to 11 for pods; a Service's name and a label's value may have 63
_LABEL_CHARS_MAX: Final = 63
_HASH_CHARS: Final = 10  # of 5 bits each: that two of ten thousand versions share one has a chance of 1 in 20 million
_NUMBERS_TRIED: Final = 10_000
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def resource_name(model: str, version: str) -> str:
    """Return the name of a version's objects: readable, and different for each model and version.

    It is a DNS label of at most 52 characters that begins with a letter. Model and version cannot be read back from it:
    their true names are in annotations.
    """
    return _named(f"{model}-v{version}", f"{len(model)}:{model}{version}", NAME_CHARS_MAX)


@functools.lru_cache(maxsize=1024)
def version_of(model: str, name: str) -> str | None:
    """Return the version whose objects have this name; None if it is no version of the model.

    The name of a long model's version does not hold its number: then the version is found only if it is one of the
    first ten thousand.
    """
    found = re.fullmatch(names_like(model), name)
    if found is None:
        return None
    numbers = itertools.chain([found["number"]], map(str, range(_NUMBERS_TRIED)))
    return next((number for number in numbers if number and resource_name(model, number) == name), None)


def names_like(model: str) -> str:
    """Return a regular expression that matches what `resource_name` makes of the model and any number. It may also
    match names of another model, which `version_of` tells apart."""
    stem = resource_name(model, "0").rpartition("-")[0].removesuffix("0")
    return f"{re.escape(stem)}(?P<number>[0-9]*)-[a-z2-7]{{{_HASH_CHARS}}}"


def model_name(model: str) -> str:
    """Return the name of what exists once for each model: its route, and the file that its replicas read."""
    return _named(model, model, NAME_CHARS_MAX)


def release_name(release_id: str) -> str:
    """Return the name of the object that shows a release."""
    return _named(release_id, release_id, NAME_CHARS_MAX)


def label_value(text: str) -> str:
    """Return the text as the value of a label: unchanged if it is allowed, otherwise its readable part and a hash."""
    return text if _LABEL_VALUE.fullmatch(text) else _named(text, text, _LABEL_CHARS_MAX)


def _named(read: str, of: str, chars_max: int) -> str:
    digest = hashlib.sha256(of.encode()).digest()
    suffix = base64.b32encode(digest).decode("ascii").lower()[:_HASH_CHARS]
    slug = re.sub(r"[^a-z0-9]+", "-", read.lower()).strip("-")
    if not slug[:1].isalpha():
        slug = f"m-{slug}"
    return f"{slug[: chars_max - _HASH_CHARS - 1].rstrip('-')}-{suffix}"
