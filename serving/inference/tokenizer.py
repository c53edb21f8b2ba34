"""From texts to token ids, exactly as the version's own ``tokenizer.json`` says, padding included."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The engine's threads are what a replica may use; the tokenizer's own pool would compete with them.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Encoding
from tokenizers import Tokenizer as _Tokenizer

from serving.package.rules import Side, TokenRules

_PANIC = "PanicException"


class TokenizerPanicError(RuntimeError):
    """The tokenizer's library gave up on a text: as its own error, which is no Exception, it would end the process."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: its characters ``[start, end)``, and where its first token is, as (row, position in the row).

    Characters are Unicode code points, as in a Python string. Windows overlap, so a token may be in several rows.
    """

    start: int
    end: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids without padding, up to the model's limit; ``tokens`` counts all of the text.

    What is beyond the limit is cut off, or is in ``windows``. ``words`` are there if they were asked for.
    """

    ids: tuple[int, ...]
    tokens: int
    unknown: int
    windows: tuple[tuple[int, ...], ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def truncated(self) -> bool:
        return self.tokens > len(self.ids) and not self.windows

    @property
    def rows(self) -> int:
        """Return how many rows of an engine call the text takes."""
        return 1 + len(self.windows)

    def split(self) -> "tuple[TokenizedText, ...]":
        """The text as rows, each of which an engine call can take as a text of its own."""
        if not self.windows:
            return (self,)
        return tuple(TokenizedText(ids, len(ids), 0) for ids in (self.ids, *self.windows))


@dataclass(frozen=True, slots=True)
class Padding:
    """The width that a batch becomes: a baked fixed width is a property of the version and is honoured, costly or not.

    Rows are filled up at ``side`` with ``token_id``.
    """

    token_id: int
    fixed_tokens: int | None
    multiple_of: int
    side: Side = Side.RIGHT

    def width(self, longest_tokens: int) -> int:
        width = max(longest_tokens, self.fixed_tokens or 0)
        return -(-width // self.multiple_of) * self.multiple_of


class Tokenizer:
    """A version's tokenizer. It cuts at ``max_tokens``, on the side that ``rules`` name; with ``overlap_tokens`` it
    goes on in windows instead, from the left to the right.

    Raises:
        ValueError: windows that overlap by more than half of what they hold.
    """

    def __init__(
        self,
        path: Path,
        max_tokens: int,
        *,
        rules: TokenRules | None = None,
        overlap_tokens: int | None = None,
        with_words: bool = False,
    ) -> None:
        rules = rules or TokenRules()
        self._tokenizer: Any = _Tokenizer.from_file(str(path))
        self.padding = _padding(self._tokenizer, rules)
        self._tokenizer.no_padding()
        self._special_tokens = int(self._tokenizer.num_special_tokens_to_add(is_pair=False))
        overlap_max = (max_tokens - self._special_tokens) // 2
        if overlap_tokens is not None and overlap_tokens > overlap_max:
            raise ValueError(f"overlap_tokens may be at most {overlap_max} if a text may have {max_tokens} tokens")
        side = rules.truncation_side if overlap_tokens is None else Side.RIGHT  # windows leave nothing out
        self._tokenizer.enable_truncation(max_length=max_tokens, stride=overlap_tokens or 0, direction=str(side))
        self._overlap_tokens = overlap_tokens
        self._with_words = with_words
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = self._tokenizer.token_to_id(unknown) if isinstance(unknown, str) else rules.unknown_id

    def added_tokens(self) -> list[str]:
        """The tokens that are found in a text before anything else, special ones among them, by their ids."""
        return [token.content for _, token in sorted(self._tokenizer.get_added_tokens_decoder().items())]

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Raises TokenizerPanicError, or what else the library raises, where it fails on a text."""
        try:
            return self._all_tokenized(texts)
        except BaseException as error:
            if type(error).__name__ != _PANIC:  # its class is not to be had from the library
                raise
            raise TokenizerPanicError(f"the tokenizer panicked: {error}") from None

    def _all_tokenized(self, texts: Sequence[str]) -> list[TokenizedText]:
        if self._with_words:  # the quick way leaves out where tokens stand in the text
            return [self._tokenized(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]
        return [self._tokenized(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _tokenized(self, encoding: Encoding) -> TokenizedText:
        ids = tuple(encoding.ids)
        unknown = ids.count(self._unknown_id) if self._unknown_id is not None else 0
        cut = encoding.overflowing
        if not cut:
            return TokenizedText(ids, len(ids), unknown, words=self._words([encoding]))
        if self._overlap_tokens is None:
            tokens = len(ids) + sum(len(rest.ids) - self._special_tokens for rest in cut)
            return TokenizedText(ids, tokens, unknown, words=self._words([encoding]))
        windows = tuple(tuple(rest.ids) for rest in cut)
        repeated = encoding.special_tokens_mask.index(0) + self._overlap_tokens
        added = [ids[repeated:] for ids in windows]  # with the special tokens at their ends, which are not unknown
        specials_after = self._special_tokens - encoding.special_tokens_mask.index(0)
        return TokenizedText(
            ids,
            len(ids) + sum(len(ids) - specials_after for ids in added),
            unknown + sum(ids.count(self._unknown_id) for ids in added) if self._unknown_id is not None else 0,
            windows,
            self._words([encoding, *cut]),
        )

    def _words(self, rows: Sequence[Encoding]) -> tuple[Word, ...]:
        if not self._with_words:
            return ()
        spans: dict[int, tuple[int, int]] = {}  # word -> its characters
        first: dict[int, int] = {}  # word -> its first token, counted in the text
        places: dict[int, list[tuple[int, int]]] = {}
        begin = 0  # of the row, in tokens of the text
        for row, encoding in enumerate(rows):
            token = begin
            tokens = zip(encoding.special_tokens_mask, encoding.word_ids, encoding.offsets, strict=True)
            for position, (special, word, offsets) in enumerate(tokens):
                if special:
                    continue
                if word is not None:
                    start, end = spans.setdefault(word, offsets)
                    spans[word] = (start, max(end, offsets[1]))
                    if first.setdefault(word, token) == token:
                        places.setdefault(word, []).append((row, position))
                token += 1
            begin = token - (self._overlap_tokens or 0)
        return tuple(Word(*spans[word], tuple(places[word])) for word in sorted(spans))


def _padding(tokenizer: Any, rules: TokenRules) -> Padding:
    baked = tokenizer.padding or {}
    token_id = rules.padding_id
    if token_id is None:
        token_id = baked.get("pad_id")
    if token_id is None:
        token_id = tokenizer.token_to_id("[PAD]") or 0
    return Padding(token_id, baked.get("length"), baked.get("pad_to_multiple_of") or 1, rules.padding_side)
