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


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids without padding, cut to the model's limit; ``tokens`` counts before the cut."""

    ids: tuple[int, ...]
    tokens: int
    unknown: int

    @property
    def truncated(self) -> bool:
        return self.tokens > len(self.ids)


@dataclass(frozen=True, slots=True)
class Padding:
    """How wide a batch becomes: a baked fixed width is a property of the version and is honoured, costly or not."""

    token_id: int
    fixed_tokens: int | None
    multiple_of: int

    def width(self, longest_tokens: int) -> int:
        width = max(longest_tokens, self.fixed_tokens or 0)
        return -(-width // self.multiple_of) * self.multiple_of


class Tokenizer:
    """A version's tokenizer, cutting at ``max_tokens``."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._tokenizer: Any = _Tokenizer.from_file(str(path))
        self.padding = _padding(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)
        self._special_tokens = int(self._tokenizer.num_special_tokens_to_add(is_pair=False))
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = self._tokenizer.token_to_id(unknown) if isinstance(unknown, str) else None

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [self._tokenized(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _tokenized(self, encoding: Encoding) -> TokenizedText:
        ids = tuple(encoding.ids)
        cut = encoding.overflowing
        tokens = len(ids) + sum(len(rest.ids) - self._special_tokens for rest in cut) if cut else len(ids)
        return TokenizedText(ids, tokens, ids.count(self._unknown_id) if self._unknown_id is not None else 0)


def _padding(tokenizer: Any) -> Padding:
    baked = tokenizer.padding or {}
    token_id = baked.get("pad_id")
    if token_id is None:
        token_id = tokenizer.token_to_id("[PAD]") or 0
    return Padding(token_id, baked.get("length"), baked.get("pad_to_multiple_of") or 1)
