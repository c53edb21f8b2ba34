"""Names of objects: DNS labels made of what models and versions are called. Standard library only, as a rollback is."""

import base64
import functools
import hashlib
import itertools
import re
from typing import Final

NAME_CHARS_MAX: Final = 52  # what is made of an object's name adds up to 11: a Service has 63, as a label's value has
_LABEL_CHARS_MAX: Final = 63
_HASH_CHARS: Final = 10  # of 5 bits each: no two of ten thousand versions share one (1 in 20 million)
_NUMBERS_TRIED: Final = 10_000
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def resource_name(model: str, version: str) -> str:
    """The name of a version's objects: readable, and another for each model and version.

    A DNS label of 52 characters at most that begins with a letter. What it was made of cannot be read back from it:
    the true names stand in annotations.
    """
    return _named(f"{model}-v{version}", f"{len(model)}:{model}{version}", NAME_CHARS_MAX)


@functools.lru_cache(maxsize=1024)
def version_of(model: str, name: str) -> str | None:
    """The version whose objects bear the name; None where it is none of the model's.

    Of a long model's name the number is cut off: then it is one of the first ten thousand, or none.
    """
    found = re.fullmatch(names_like(model), name)
    if found is None:
        return None
    numbers = itertools.chain([found["number"]], map(str, range(_NUMBERS_TRIED)))
    return next((number for number in numbers if number and resource_name(model, number) == name), None)


def names_like(model: str) -> str:
    """The regular expression of what `resource_name` makes of the model and a version's number; a name of another
    model may match, too, which `version_of` tells apart."""
    stem = resource_name(model, "0").rpartition("-")[0].removesuffix("0")
    return f"{re.escape(stem)}(?P<number>[0-9]*)-[a-z2-7]{{{_HASH_CHARS}}}"


def model_name(model: str) -> str:
    """The name of what there is once for a model: its route, and the file that its replicas read."""
    return _named(model, model, NAME_CHARS_MAX)


def release_name(release_id: str) -> str:
    """The name of the object that shows a release."""
    return _named(release_id, release_id, NAME_CHARS_MAX)


def label_value(text: str) -> str:
    """The text as the value of a label: itself where it may be one, else what can be read of it and a hash."""
    return text if _LABEL_VALUE.fullmatch(text) else _named(text, text, _LABEL_CHARS_MAX)


def _named(read: str, of: str, chars_max: int) -> str:
    digest = hashlib.sha256(of.encode()).digest()
    suffix = base64.b32encode(digest).decode("ascii").lower()[:_HASH_CHARS]
    slug = re.sub(r"[^a-z0-9]+", "-", read.lower()).strip("-")
    if not slug[:1].isalpha():
        slug = f"m-{slug}"
    return f"{slug[: chars_max - _HASH_CHARS - 1].rstrip('-')}-{suffix}"
