"""The settings with which a checkpoint's tokenizer was saved: ``tokenizer.json`` and ``tokenizer_config.json`` held
together.

The first says how a text becomes token ids; the second, from where the library takes it, how they are cut and padded.
Where both say something, the second counts, as it does in the library; but what it says of the first (case, accents,
tokens) must be what stands there, since the ids of a version come from that file alone.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tokenizers

from serving.package.artifact import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, ArtifactError, parse_object
from serving.package.rules import Side, TokenRules
from serving.text.printable import shown

SETTINGS_FILE: Final = "tokenizer_config.json"
SPECIAL_TOKENS_FILE: Final = "special_tokens_map.json"
ADDED_TOKENS_FILE: Final = "added_tokens.json"

LIMIT_OF_SETTINGS: Final = f"model_max_length of {SETTINGS_FILE}"
LIMIT_MIN: Final = 3
"""Two special tokens and one of a text."""

_BYTES_MAX: Final = 256 * 2**20
_NO_LIMIT: Final = 10**20  # the library writes 10^30 where there is none
_SAVE_AGAIN: Final = (
    "save it again: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), and compare your answers"
)
_CASE: Final = (  # of tokenizer_config.json, its default in the library, of the normalizer
    ("do_lower_case", True, "lowercase"),
    ("strip_accents", None, "strip_accents"),
    ("tokenize_chinese_chars", True, "handle_chinese_chars"),
)
_LIKE_BERT: Final = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer")
_LIKE_ROBERTA: Final = ("RobertaTokenizer",)
_AS_WRITTEN: Final = ("PreTrainedTokenizer", "TokenizersBackend")
"""Classes of the library that take ``tokenizer.json`` as it is."""
_ADDED_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized")
_LIKE_BERT_FAMILIES: Final = ("bert", "distilbert", "electra", "mpnet")


@dataclass(frozen=True, slots=True)
class Saved:
    """The contents of a tokenizer's files, each as an object; empty where there is no such file.

    ``around``: how many tokens are put around a text; ``types``: the token types of a single text.
    """

    tokenizer: Mapping[str, Any]
    settings: Mapping[str, Any]
    added: Mapping[str, Any]
    vocabulary: Mapping[str, int]
    around: int
    types: frozenset[int]

    def token(self, name: str) -> str | None:
        """A special token by the name of its field, such as ``pad_token``."""
        value = self.settings.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        return text if isinstance(text, str) else None


def read_saved(directory: Path) -> Saved:
    """Read the files of a tokenizer.

    Raises:
        ArtifactError: one of them is not what it should be.
    """
    path = directory / TOKENIZER_FILE
    document = parse_object(TOKENIZER_FILE, path.read_bytes(), _BYTES_MAX)
    settings = _object(directory, SETTINGS_FILE)
    if "auto_map" in settings:
        raise ArtifactError(SETTINGS_FILE, "auto_map asks for code from the checkpoint, which is never run")
    with refusing("is not a tokenizer that can be loaded"):
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    with refusing("fails on a text"):
        tokenizer.no_truncation()
        tokenizer.no_padding()
        empty = tokenizer.encode("")
        types = {*empty.type_ids, *tokenizer.encode("a").type_ids}
    return Saved(
        document,
        {**_object(directory, SPECIAL_TOKENS_FILE), **settings},
        _object(directory, ADDED_TOKENS_FILE),
        vocabulary,
        len(empty.ids),
        frozenset(types),
    )


@contextmanager
def refusing(words: str) -> Iterator[None]:
    """Whatever the tokenizer raises, a panic of its Rust code too, becomes the file's fault, in one line.

    Raises:
        ArtifactError: with these words, and the tokenizer's own.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic is no Exception
        raise ArtifactError(TOKENIZER_FILE, f"{words} ({' '.join(str(error).split())[:200]})") from error


def token_rules(
    saved: Saved, config: Mapping[str, Any], positions: int, asked: int | None = None
) -> tuple[int, TokenRules]:
    """The limit of a text in tokens, and how it is cut and padded; ``positions`` is what the model has, ``asked`` the
    limit that somebody wants whatever was saved.

    Raises:
        ArtifactError: a setting that means nothing, named with its value.
    """
    limit, origin = _limit(saved, positions) if asked is None else _asked(asked, positions)
    if limit <= saved.around:
        raise ArtifactError(
            TOKENIZER_FILE, f"puts {saved.around} tokens around a text, which may have only {limit} ({origin})"
        )
    return limit, TokenRules(
        truncation_side=_side(saved, "truncation_side", "truncation"),
        padding_side=_side(saved, "padding_side", "padding"),
        padding_id=_padding_id(saved, config),
        unknown_id=_unknown_id(saved),
        limit_from=origin,
    )


def check_saved(saved: Saved, config: Mapping[str, Any], rows: int) -> None:
    """Refuse a tokenizer whose files contradict each other, or that gives ids for which the model has no row.

    Raises:
        ArtifactError: naming the setting or token, with both values.
    """
    check_rows(saved, rows)
    for token, number in saved.added.items():
        if saved.vocabulary.get(token) != number:
            raise ArtifactError(ADDED_TOKENS_FILE, _not_there(token, number, saved))
    _check_normalizer(saved, config)
    _check_tokens(saved)
    if saved.types - {0} and config.get("type_vocab_size") not in (None, 0, 1):
        raise ArtifactError(
            TOKENIZER_FILE, f"gives a single text the token types {sorted(saved.types)}; only 0 is served"
        )
    if (padding := _padding_id(saved, config)) is not None and padding >= rows:
        raise ArtifactError(TOKENIZER_FILE, f"pads with the id {padding}, but {WEIGHTS_FILE} has {rows} rows")
    if (strategy := (saved.tokenizer.get("truncation") or {}).get("strategy")) == "OnlySecond":
        raise ArtifactError(
            TOKENIZER_FILE, f"truncation.strategy {strategy} cuts the second of two texts, but only one is sent"
        )


def check_rows(saved: Saved, rows: int | None) -> None:
    """Refuse a tokenizer that gives ids for which the model has no row; None: it is not known how many it has.

    Raises:
        ArtifactError: naming the first of them.
    """
    if rows is None:
        return
    ids = {**saved.vocabulary, **dict(_template_ids(saved))}
    if beyond := sorted((number, token) for token, number in ids.items() if number >= rows):
        number, token = beyond[0]
        raise ArtifactError(
            TOKENIZER_FILE,
            f"gives {token!r} the id {number}, but {WEIGHTS_FILE} has {rows} rows (0 to {rows - 1}): "
            "model.resize_token_embeddings(len(tokenizer)), train, and save both",
        )


def _object(directory: Path, name: str) -> Mapping[str, Any]:
    path = directory / name
    return parse_object(name, path.read_bytes(), _BYTES_MAX) if path.is_file() else {}


def _asked(limit: int, positions: int) -> tuple[int, str]:
    if not LIMIT_MIN <= limit <= positions:
        raise ArtifactError(
            CONFIG_FILE,
            f"max_tokens is {limit}: it must be from {LIMIT_MIN} to {positions}, the tokens that the "
            "model has positions for",
        )
    return limit, "as was asked for"


def _limit(saved: Saved, positions: int) -> tuple[int, str]:
    """The library cuts at ``model_max_length``. A length in ``tokenizer.json`` is what it was last used with, by
    training more often than not: the library does not heed it, and nor is it heeded here."""
    baked = (saved.tokenizer.get("truncation") or {}).get("max_length")
    length = saved.settings.get("model_max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | float) or math.isnan(length)):
        raise ArtifactError(SETTINGS_FILE, f"model_max_length must be a whole number, but is {length!r}")
    limit = int(length) if length is not None and length < _NO_LIMIT else None
    left = f"; {TOKENIZER_FILE} was last used with {baked}, which does not count"
    told = left if baked not in (None, limit, positions) else ""
    if limit is None or limit >= positions:
        beyond = f"; {LIMIT_OF_SETTINGS} is {limit}" if limit is not None and limit > positions else ""
        return positions, f"the model's positions{beyond}{told}"
    if limit < LIMIT_MIN:
        raise ArtifactError(SETTINGS_FILE, f"{LIMIT_OF_SETTINGS} is {limit}: it must be at least {LIMIT_MIN}")
    return limit, f"{LIMIT_OF_SETTINGS}{told}"


def _side(saved: Saved, field: str, baked: str) -> Side:
    value = saved.settings.get(field)
    if value is None:
        value = str((saved.tokenizer.get(baked) or {}).get("direction", Side.RIGHT)).lower()
    try:
        return Side(value)
    except ValueError:
        raise ArtifactError(SETTINGS_FILE, f"{field} must be left or right, but is {value!r}") from None


def _padding_id(saved: Saved, config: Mapping[str, Any]) -> int | None:
    if (token := saved.token("pad_token")) is not None:
        return saved.vocabulary.get(token)
    baked = (saved.tokenizer.get("padding") or {}).get("pad_id")
    found = [value for value in (baked, config.get("pad_token_id")) if type(value) is int and value >= 0]
    return found[0] if found else None


def _unknown_id(saved: Saved) -> int | None:
    model = saved.tokenizer.get("model") or {}
    token = model.get("unk_token")
    found = saved.vocabulary.get(token) if isinstance(token, str) else model.get("unk_id")
    return found if type(found) is int else None


def _template_ids(saved: Saved) -> Iterator[tuple[str, int]]:
    """The tokens that are put around a text, whose ids are written again there."""
    post = saved.tokenizer.get("post_processor") or {}
    for step in [post, *(post.get("processors") or ())]:
        tokens = step.get("special_tokens") or {}
        for name, entry in tokens.items() if isinstance(tokens, dict) else ():
            for number in entry.get("ids") or ():
                yield name, number
        for pair in (step.get("cls"), step.get("sep")):
            if isinstance(pair, list) and len(pair) == 2:
                yield pair[0], pair[1]


def _check_normalizer(saved: Saved, config: Mapping[str, Any]) -> None:
    kind = saved.settings.get("tokenizer_class")
    kind = kind.removesuffix("Fast") if isinstance(kind, str) else None
    if saved.settings and (kind in _LIKE_BERT or (kind is None and config.get("model_type") in _LIKE_BERT_FAMILIES)):
        for normalizer in _steps(saved.tokenizer.get("normalizer"), "normalizers", "BertNormalizer"):
            for field, default, written in _CASE:
                wanted, found = saved.settings.get(field, default), normalizer.get(written)
                if wanted != found:
                    unsaid = "" if field in saved.settings else " (its default)"
                    raise _contradiction(f"{field} is {wanted!r}{unsaid}", f"normalizer.{written} is {found!r}")
    elif kind not in _AS_WRITTEN and (wanted := saved.settings.get("do_lower_case")) is not None:
        lowers = any(
            step.get("lowercase", True)
            for name in ("Lowercase", "BertNormalizer")
            for step in _steps(saved.tokenizer.get("normalizer"), "normalizers", name)
        )
        if lowers != bool(wanted):
            raise _contradiction(
                f"do_lower_case is {wanted!r}", f"the normalizer {'lowers' if lowers else 'keeps'} case"
            )
    if kind in _LIKE_ROBERTA:
        for step in _steps(saved.tokenizer.get("pre_tokenizer"), "pretokenizers", "ByteLevel"):
            wanted, found = bool(saved.settings.get("add_prefix_space", False)), bool(step.get("add_prefix_space"))
            if wanted != found:
                raise _contradiction(f"add_prefix_space is {wanted!r}", f"pre_tokenizer.add_prefix_space is {found!r}")


def _steps(part: Any, inner: str, kind: str) -> Iterator[Mapping[str, Any]]:
    for step in [part, *((part or {}).get(inner) or ())]:
        if isinstance(step, dict) and step.get("type") == kind:
            yield step


def _check_tokens(saved: Saved) -> None:
    unknown, model = saved.token("unk_token"), (saved.tokenizer.get("model") or {}).get("unk_token")
    if unknown is not None and isinstance(model, str) and unknown != model:
        raise _contradiction(f"unk_token is {unknown!r}", f"model.unk_token is {model!r}")
    if isinstance(model, str) and model not in saved.vocabulary:
        raise ArtifactError(
            TOKENIZER_FILE, f"model.unk_token {model!r} is not in its vocabulary: unknown words would fail"
        )
    for name in ("pad_token", "unk_token", "cls_token", "sep_token", "bos_token", "eos_token"):
        if (token := saved.token(name)) is not None and token not in saved.vocabulary:
            raise ArtifactError(SETTINGS_FILE, f"{name} {token!r} is not a token of {TOKENIZER_FILE}: {_SAVE_AGAIN}")
    _check_added(saved)
    if saved.settings.get("split_special_tokens"):
        raise ArtifactError(
            SETTINGS_FILE, "split_special_tokens is not supported: special tokens in a text are always read as such"
        )
    for text in _extra_tokens(saved.settings):
        if text not in saved.vocabulary:
            raise ArtifactError(
                SETTINGS_FILE, f"the special token {text!r} is not a token of {TOKENIZER_FILE}: {_SAVE_AGAIN}"
            )


def _extra_tokens(settings: Mapping[str, Any]) -> Iterator[str]:
    field = "additional_special_tokens" if settings.get("additional_special_tokens") else "extra_special_tokens"
    extra = settings.get(field) or []
    if not isinstance(extra, list | dict):
        raise ArtifactError(SETTINGS_FILE, f"{field} must be a list of tokens, but is {shown(repr(extra))}")
    for token in extra.values() if isinstance(extra, dict) else extra:
        yield _content(field, token)


def _content(field: str, token: Any) -> str:
    """The text of a token, which is written as itself or as an object that has it."""
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise ArtifactError(
            SETTINGS_FILE, f"{field}: the content of a token must be a text, but is {shown(repr(text))}"
        )
    return text


def _check_added(saved: Saved) -> None:
    """Check what the settings say of added tokens; how they are found in a text decides about ids, too."""
    decoder = saved.settings.get("added_tokens_decoder")
    entries = saved.tokenizer.get("added_tokens")
    there = {entry.get("content"): entry for entry in entries or () if isinstance(entry, dict)}
    if decoder is not None and not isinstance(decoder, dict):
        raise ArtifactError(SETTINGS_FILE, f"added_tokens_decoder must be an object, but is {shown(repr(decoder))}")
    for number, entry in (decoder or {}).items():
        token = _content(f"added_tokens_decoder.{shown(number)}", entry)
        if str(saved.vocabulary.get(token)) != str(number):
            raise ArtifactError(SETTINGS_FILE, _not_there(token, number, saved))
        if token not in there:
            raise _contradiction(f"added_tokens_decoder has {token!r}", "added_tokens lacks it")
        for flag in _ADDED_FLAGS if isinstance(entry, dict) else ():
            wanted, found = entry.get(flag), there[token].get(flag)
            if wanted is not None and wanted != found:
                raise _contradiction(f"{flag} of {token!r} is {wanted!r}", f"it is {found!r}")


def _contradiction(settings: str, tokenizer: str) -> ArtifactError:
    return ArtifactError(SETTINGS_FILE, f"{settings}, and in {TOKENIZER_FILE} {tokenizer}: {_SAVE_AGAIN}")


def _not_there(token: Any, number: Any, saved: Saved) -> str:
    found = saved.vocabulary.get(token)
    there = f"gives it {found}" if found is not None else "lacks it"
    return f"gives the token {token!r} the id {number}, and {TOKENIZER_FILE} {there}: {_SAVE_AGAIN}"
