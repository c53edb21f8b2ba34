"""Redaction: recognisers say where something personal stands, and each place is replaced by the name of its kind.

What no recogniser knows stays: names of people, street addresses, what is spelled out or disguised. Redaction makes a
sample less harmful, it does not make it anonymous. That is why texts leave only where that was asked for.
"""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from serving.redaction.hosts import find_hosts
from serving.redaction.identities import find_national_ids
from serving.redaction.numbers import find_cards, find_ibans, find_phones
from serving.redaction.people import find_emails
from serving.redaction.secrets import find_secrets
from serving.redaction.spans import Span


class Recogniser(Protocol):
    """Finds one kind of thing, or several. A plain function will do.

    Called with the whole text, from one thread. Spans may overlap each other and those of others. What it raises keeps
    the text from leaving at all.
    """

    def __call__(self, text: str, /) -> Iterable[Span]: ...


OWN: Final[tuple[Recogniser, ...]] = (
    find_secrets,  # first: among spans that begin together, the first and longest names the kind
    find_emails,
    find_ibans,
    find_national_ids,
    find_cards,
    find_hosts,
    find_phones,
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Our own recognisers and whatever is added."""

    recognisers: Sequence[Recogniser] = OWN

    def redact(self, text: str) -> str:
        """The text with every place found replaced: ``<EMAIL>``, ``<CARD>``, ...

        Overlapping places become one, so nothing of either is left.

        Raises:
            Exception: what a recogniser raised; nothing may be sent then.
        """
        found = [span for recognise in self.recognisers for span in recognise(text)]
        if not found:
            return text
        parts: list[str] = []
        end = 0
        for span in _merged(found):
            parts += [text[end : span.start], f"<{span.kind}>"]
            end = span.end
        return "".join([*parts, text[end:]])


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    ordered = sorted(spans, key=lambda span: (span.start, -span.end))  # stable: recognisers keep their order
    current = ordered[0]
    for span in ordered[1:]:
        if span.start < current.end:
            current = Span(current.start, max(current.end, span.end), current.kind)
        else:
            yield current
            current = span
    yield current


def redactor_of(names: Sequence[str]) -> Redactor:
    """Our recognisers, and those named ``module:name``, each a factory without arguments.

    Raises:
        ValueError: a name that leads nowhere.
    """
    return Redactor((*OWN, *(_load(name) for name in names)))


def _load(name: str) -> Recogniser:
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
        return cast("Recogniser", factory())
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"recogniser {name}: give module:factory of what is installed ({error})") from error
