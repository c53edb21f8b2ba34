"""What was saved with a tokenizer is carried: which end is cut, at which length, how rows are padded.

Where its two files contradict each other, the library's own choice is taken, or both values are named. No torch.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving.inference.engine import Engine, load
from serving.inference.tokenizer import Tokenizer
from serving.package.artifact import ArtifactError, Manifest, file_record, read_manifest, verify
from serving.package.families import FAMILIES, positions_max
from serving.package.rules import AnswerRules, Side, TokenRules, Windows
from serving.packaging.build import build_package, golden_texts
from serving.packaging.check import check
from tests.serving.graphs import PROBABILITIES_APART
from tests.serving.replica import replica
from tests.serving.shapes import configure, edit, settle, tokenize_with

BAKED = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
PADDING = {"strategy": "BatchLongest", "direction": "Right", "pad_type_id": 0, "pad_token": "[PAD]"}
LONG = "where is my order " * 30 + "cancel it please"


def _template(around: list[int], name: str = "[CLS]", type_id: int = 0) -> dict[str, Any]:
    tokens = [{"SpecialToken": {"id": name, "type_id": 0}}] * (len(around) or 1)
    text = [{"Sequence": {"id": part, "type_id": type_id}} for part in "AB"]
    known = {name: {"id": name, "ids": around[:1], "tokens": [name]}} if around else {}
    return {"type": "TemplateProcessing", "single": [*tokens, text[0]], "pair": text, "special_tokens": known}


def test_what_is_cut_on_the_left_keeps_its_end(checkpoint: Path, tmp_path: Path) -> None:
    """In the manifest, in the golden texts, and in what is served."""
    settle(checkpoint, truncation_side="left")
    manifest = build_package(checkpoint, tmp_path / "out")
    assert manifest.tokens.truncation_side is Side.LEFT
    engine = load(tmp_path / "out")
    (found,) = engine.tokenizer.tokenize([LONG])
    whole = Tokenizer(checkpoint / "tokenizer.json", 10_000).tokenize([LONG])[0].ids
    assert found.ids == (whole[0], *whole[-63:])
    assert (found.truncated, found.tokens) == (True, len(whole))
    last = manifest.golden[-1]
    assert last.token_ids == engine.tokenizer.tokenize([last.text])[0].ids
    assert "cut on the left" in str(check(tmp_path / "out"))


def test_a_direction_in_tokenizer_json_alone_is_carried(checkpoint: Path, tmp_path: Path) -> None:
    tokenize_with(checkpoint, truncation={**BAKED, "direction": "Left"})
    manifest = build_package(checkpoint, tmp_path / "out")
    assert (manifest.tokens.truncation_side, manifest.max_tokens) == (Side.LEFT, 64)


@pytest.mark.parametrize("length", [None, 10**30])
def test_a_length_that_training_left_is_no_limit_and_is_told(checkpoint: Path, tmp_path: Path, length: Any) -> None:
    """The library's own pipeline reads whole texts: `tokenizer.json` says what it was last used with, no more."""
    tokenize_with(checkpoint, truncation=BAKED)
    settle(checkpoint, model_max_length=length)
    manifest = build_package(checkpoint, tmp_path / "out")
    assert (manifest.max_tokens, manifest.tokens.limit_from) == (
        64,
        "the model's positions; tokenizer.json was last used with 16, which does not count",
    )
    whole = Tokenizer(checkpoint / "tokenizer.json", 64).tokenize([LONG])[0].ids
    assert load(tmp_path / "out").tokenizer.tokenize([LONG])[0].ids == whole


def test_a_limit_that_was_asked_for_goes_before_all_that_was_saved(checkpoint: Path, tmp_path: Path) -> None:
    tokenize_with(checkpoint, truncation=BAKED)
    settle(checkpoint, model_max_length=32)
    manifest = build_package(checkpoint, tmp_path / "out", max_tokens=24)
    assert (manifest.max_tokens, manifest.tokens.limit_from) == (24, "as was asked for")
    assert len(manifest.golden[-1].token_ids) == 24


@pytest.mark.parametrize("asked", [2, 65])
def test_a_limit_that_the_model_cannot_read_is_refused(checkpoint: Path, tmp_path: Path, asked: int) -> None:
    with pytest.raises(
        ArtifactError, match=f"max_tokens is {asked}: it must be from 3 to 64, the tokens that the model has positions"
    ):
        build_package(checkpoint, tmp_path / "out", max_tokens=asked)


def test_the_settings_count_where_both_say_something(checkpoint: Path, tmp_path: Path) -> None:
    """As in the library: what ``tokenizer.json`` was last used with is only what it was last used with."""
    tokenize_with(checkpoint, truncation={**BAKED, "direction": "Left"})
    settle(checkpoint, truncation_side="right", model_max_length=32)
    manifest = build_package(checkpoint, tmp_path / "out")
    assert (manifest.tokens.truncation_side, manifest.max_tokens) == (Side.RIGHT, 32)
    assert manifest.tokens.limit_from == (
        "model_max_length of tokenizer_config.json; tokenizer.json was last used with 16, which does not count"
    )


def test_a_changed_end_shows_in_the_golden_texts(checkpoint: Path, tmp_path: Path) -> None:
    """The text that is longer than the limit has two ends that differ, whatever the limit."""
    build_package(checkpoint, tmp_path / "out")
    manifest, _ = read_manifest(tmp_path / "out")
    turned = dataclasses.replace(manifest, tokens=dataclasses.replace(manifest.tokens, truncation_side=Side.LEFT))
    (tmp_path / "out" / "manifest.json").write_bytes(turned.to_bytes())
    with pytest.raises(ArtifactError, match="gives other token ids for golden text 19 than when it was packaged"):
        check(tmp_path / "out")


@pytest.mark.parametrize("limit", [3, 64, 512, 4096, 8192, 10**15])
def test_one_golden_text_is_longer_than_any_limit(limit: int, checkpoint: Path) -> None:
    *_, last = golden_texts(limit)
    assert len(last) <= 20_000, "the longest text that a replica takes"
    left, right = (
        Tokenizer(checkpoint / "tokenizer.json", limit, rules=TokenRules(truncation_side=side)).tokenize([last])[0]
        for side in (Side.LEFT, Side.RIGHT)
    )
    if limit > 8192:  # longer than any text that a replica takes: nothing is ever cut
        return
    assert left.truncated
    assert right.truncated
    assert left.ids != right.ids or limit == 3


@pytest.mark.parametrize(
    ("length", "limit", "origin"),
    [
        (16, 16, "model_max_length of tokenizer_config.json"),
        (16.0, 16, "model_max_length of tokenizer_config.json"),
        (64, 64, "the model's positions"),
        (512, 64, "the model's positions; model_max_length of tokenizer_config.json is 512"),
        (10**30, 64, "the model's positions"),
        (1e30, 64, "the model's positions"),
        (None, 64, "the model's positions"),
    ],
)
def test_the_limit_says_where_it_comes_from(
    checkpoint: Path, tmp_path: Path, length: Any, limit: int, origin: str
) -> None:
    settle(checkpoint, model_max_length=length)
    manifest = build_package(checkpoint, tmp_path / "out")
    assert (manifest.max_tokens, manifest.tokens.limit_from) == (limit, origin)


def test_a_tokenizer_that_keeps_case_keeps_it(checkpoint: Path, tmp_path: Path) -> None:
    edit(checkpoint / "tokenizer.json", lambda tokenizer: tokenizer["normalizer"].update(lowercase=False))
    settle(checkpoint, do_lower_case=False)
    build_package(checkpoint, tmp_path / "out")
    (small, large) = load(tmp_path / "out").tokenizer.tokenize(["where is my order", "WHERE IS MY ORDER"])
    assert small.unknown == 0
    assert large.unknown == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"do_lower_case": False}, "do_lower_case is False, and in tokenizer.json normalizer.lowercase is True"),
        ({"strip_accents": False}, "strip_accents is False, and in tokenizer.json normalizer.strip_accents is None"),
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars is False, and .*handle_chinese_chars is True"),
        ({"unk_token": "<unk>"}, "unk_token is '<unk>', and in tokenizer.json model.unk_token is '[UNK]'"),
        ({"pad_token": "<pad>"}, "pad_token '<pad>' is not a token of tokenizer.json"),
        ({"cls_token": {"content": "<s>"}}, "cls_token '<s>' is not a token of tokenizer.json"),
        ({"additional_special_tokens": ["<id>"]}, "the special token '<id>' is not a token of tokenizer.json"),
        ({"added_tokens_decoder": {"30": {"content": "<id>"}}}, "'<id>' the id 30, and tokenizer.json lacks it"),
        (
            {"added_tokens_decoder": {"9": {"content": "[SEP]"}}},
            "and tokenizer.json gives it 3",
        ),
        (
            {"added_tokens_decoder": {"3": {"content": "[SEP]"}}},
            "has '[SEP]', and in tokenizer.json added_tokens lacks it",
        ),
        ({"additional_special_tokens": 5}, "additional_special_tokens must be a list of tokens, but is 5"),
        ({"additional_special_tokens": [["a"]]}, "additional_special_tokens: the content of a token must be a text"),
        ({"extra_special_tokens": {"x": {"content": 1}}}, "extra_special_tokens: the content of a token .* but is 1"),
        ({"added_tokens_decoder": 5}, "added_tokens_decoder must be an object, but is 5"),
        ({"added_tokens_decoder": {"0": {"content": ["x"]}}}, "added_tokens_decoder.0: the content of a token must be"),
        ({"added_tokens_decoder": {"0": None}}, "added_tokens_decoder.0: the content of a token .* but is None"),
        ({"split_special_tokens": True}, "split_special_tokens is not supported"),
        (
            {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False},
            "False, and in .* the normalizer lowers case",
        ),
        ({"truncation_side": "middle"}, "truncation_side must be left or right, but is 'middle'"),
        ({"padding_side": 1}, "padding_side must be left or right, but is 1"),
        ({"model_max_length": "512"}, "model_max_length must be a whole number, but is '512'"),
        ({"model_max_length": 2}, "model_max_length of tokenizer_config.json is 2: it must be at least 3"),
        ({"auto_map": {"AutoTokenizer": ["x.Y", None]}}, "auto_map asks for code from the checkpoint"),
    ],
)
def test_files_that_contradict_each_other_are_refused_with_both_values(
    checkpoint: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    (checkpoint / "model.onnx").unlink()
    settle(checkpoint, **settings)
    words = words.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ArtifactError, match=words) as refusal:
        build_package(checkpoint, tmp_path / "out")
    assert refusal.value.file == "tokenizer_config.json"


def test_how_an_added_token_is_found_must_be_the_same(checkpoint: Path, tmp_path: Path) -> None:
    """Whether the space before it belongs to it decides about the token ids of a text."""
    token = {"content": "[MASK]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenize_with(checkpoint, added_tokens=[{**token, "id": 4, "special": True}])
    settle(checkpoint, added_tokens_decoder={"4": {**token, "special": True}})
    build_package(checkpoint, tmp_path / "same")
    settle(checkpoint, added_tokens_decoder={"4": {**token, "lstrip": True, "special": True}})
    with pytest.raises(ArtifactError, match=r"lstrip of '\[MASK\]' is True, and in tokenizer\.json it is False"):
        build_package(checkpoint, tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
            "is not a tokenizer that can be loaded",
        ),
        ({"post_processor": _template([], "[X]")}, "fails on a text"),
        ({"model": {"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0], ["b", -1.0]]}}, "fails on a text"),
        ({"post_processor": _template([2] * 70)}, "puts 70 tokens around a text, which may have only 64"),
        ({"padding": {**PADDING, "pad_id": 30}}, "pads with the id 30, but model.safetensors has 30 rows"),
    ],
)
def test_a_tokenizer_that_fails_on_some_text_is_refused_in_one_line(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """A client would end its worker, or get 500 at will; a panic of the library is no exception of Python's."""
    tokenize_with(checkpoint, **change)
    with pytest.raises(ArtifactError, match=words) as refusal:
        build_package(checkpoint, tmp_path / "out")
    assert refusal.value.file == "tokenizer.json"
    assert "\n" not in str(refusal.value)


def test_token_types_that_a_family_would_read_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A single text has the type 0 everywhere, as the exported graph has it."""
    tokenize_with(checkpoint, post_processor=_template([2], type_id=1))
    build_package(checkpoint, tmp_path / "without_types")
    configure(checkpoint, type_vocab_size=2)
    with pytest.raises(ArtifactError, match=r"gives a single text the token types \[0, 1\]; only 0 is served"):
        build_package(checkpoint, tmp_path / "out")


def test_the_check_finds_a_token_without_a_row(package: Path) -> None:
    """In a package from before registration looked for it."""
    added = {"id": 30, "content": "<id>", "single_word": False, "lstrip": False, "rstrip": False}
    tokenize_with(package, added_tokens=[{**added, "normalized": False, "special": True}])
    manifest, _ = read_manifest(package)
    files = {**manifest.files, "tokenizer.json": file_record(package / "tokenizer.json")}
    (package / "manifest.json").write_bytes(dataclasses.replace(manifest, files=files).to_bytes())
    with pytest.raises(ArtifactError, match="gives '<id>' the id 30"):
        check(package)


@pytest.mark.integration
def test_a_replica_cuts_where_the_manifest_says(checkpoint: Path, tmp_path: Path) -> None:
    """On the route of token ids, by which a release is probed, and in its answers."""
    settle(checkpoint, truncation_side="left", model_max_length=16)
    manifest = build_package(checkpoint, tmp_path / "out")
    (expected,) = load(tmp_path / "out").answer([LONG])
    with replica(tmp_path / "out") as running:
        body = {"texts": [golden.text for golden in manifest.golden]}
        found = httpx.post(f"{running.url}/tokenize", json=body, timeout=20).raise_for_status().json()
        answer = httpx.post(f"{running.url}/predict", json={"text": LONG}, timeout=20).raise_for_status().json()
        info = httpx.get(f"{running.url}/info", timeout=20).raise_for_status().json()
    assert found["token_ids"] == [list(golden.token_ids) for golden in manifest.golden]
    assert answer["truncated"]
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert (info["family"], info["max_tokens"]) == ("distilbert", 16)


def test_what_is_not_said_is_the_librarys_default(checkpoint: Path, tmp_path: Path) -> None:
    """Its tokenizers of this kind lower the case unless they are told not to."""
    edit(checkpoint / "tokenizer.json", lambda tokenizer: tokenizer["normalizer"].update(lowercase=False))
    (checkpoint / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}', encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"do_lower_case is True \(its default\), and in tokenizer.json"):
        build_package(checkpoint, tmp_path / "out")
    (checkpoint / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8"
    )
    build_package(checkpoint, tmp_path / "out")


def test_a_tokenizer_that_cuts_the_second_of_two_texts_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Each text that is too long would fail: requests have one."""
    tokenize_with(checkpoint, truncation={**BAKED, "strategy": "OnlySecond"})
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: truncation\.strategy OnlySecond"):
        build_package(checkpoint, tmp_path / "out")


def test_added_tokens_in_a_file_of_their_own_must_be_there(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "added_tokens.json").write_text('{"<id>": 30}', encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"added_tokens\.json: gives the token '<id>' the id 30"):
        build_package(checkpoint, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "baked", "padding_id"),
    [
        ({"pad_token": "[MASK]"}, 3, 4),
        ({"pad_token": {"content": "[MASK]", "lstrip": False}}, None, 4),
        ({}, 3, 3),
        ({}, None, 0),
    ],
)
def test_the_saved_padding_is_carried(
    checkpoint: Path, tmp_path: Path, settings: dict[str, Any], baked: int | None, padding_id: int
) -> None:
    settle(checkpoint, **settings)
    if baked is not None:
        padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": 8}
        tokenize_with(checkpoint, padding={**padding, "pad_id": baked, "pad_type_id": 0, "pad_token": "[SEP]"})
    build_package(checkpoint, tmp_path / "out")
    padding = load(tmp_path / "out").tokenizer.padding
    assert padding.token_id == padding_id
    assert padding.multiple_of == (8 if baked is not None else 1)


def test_a_pad_token_of_the_older_file_is_read(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "special_tokens_map.json").write_text('{"pad_token": "[MASK]"}', encoding="utf-8")
    assert build_package(checkpoint, tmp_path / "out").tokens.padding_id == 4


def test_padding_on_the_left_is_kept_where_it_moves_no_answer(checkpoint: Path, tmp_path: Path) -> None:
    """With positions counted from the left it moves them: there the right side is taken, on which a text answers in
    company as it does alone."""
    settle(checkpoint, padding_side="left")
    assert build_package(checkpoint, tmp_path / "out").tokens.padding_side is Side.RIGHT
    engine = load(tmp_path / "out")
    texts = ["refund", "where is my order i want to cancel it"]
    together = engine.answer(texts)
    for text, found in zip(texts, together, strict=True):
        np.testing.assert_allclose(found, engine.answer([text])[0], rtol=0, atol=PROBABILITIES_APART)


def test_padding_on_the_left_stays_where_states_are_averaged(tmp_path: Path) -> None:
    from serving.package.rules import Task
    from tests.serving.graphs import VECTORS_APART, embedding_checkpoint

    states = embedding_checkpoint(tmp_path / "states")
    settle(states, padding_side="left")
    manifest = build_package(states, tmp_path / "out", rules=AnswerRules(Task.EMBEDDING))
    assert manifest.tokens.padding_side is Side.LEFT
    engine = load(tmp_path / "out")
    texts = ["refund", "where is my order i want to cancel it"]
    np.testing.assert_allclose(
        engine.answer(texts), [engine.answer([text])[0] for text in texts], rtol=0, atol=VECTORS_APART
    )


def test_entities_are_found_where_rows_are_filled_up_on_the_left(tmp_path: Path) -> None:
    """A token's numbers are those of its place in its text, not in its row."""
    from serving.package.rules import Task
    from tests.serving.graphs import span_checkpoint

    spans = span_checkpoint(tmp_path / "spans")
    settle(spans, padding_side="left")
    build_package(spans, tmp_path / "out", rules=AnswerRules(Task.TOKEN_CLASSIFICATION))
    engine = load(tmp_path / "out")
    assert engine.tokenizer.padding.side is Side.LEFT
    texts = ["refund", "please cancel my order now", "i want to cancel it"]
    assert engine.answer(texts) == [engine.answer([text])[0] for text in texts]


def test_windows_leave_nothing_out_whichever_end_is_cut(checkpoint: Path, tmp_path: Path) -> None:
    settle(checkpoint, truncation_side="left")
    build_package(checkpoint, tmp_path / "out", rules=AnswerRules(windows=Windows(8)))
    (found,) = load(tmp_path / "out").tokenizer.tokenize([LONG])
    whole = Tokenizer(checkpoint / "tokenizer.json", 10_000).tokenize([LONG])[0].ids
    assert found.ids == (*whole[:63], whole[-1])
    assert found.tokens == len(whole)


def test_a_package_from_before_answers_as_it_was_judged(checkpoint: Path, tmp_path: Path) -> None:
    """It cut on the right whatever was saved, and its golden token ids hold it to that."""
    tokenize_with(checkpoint, truncation={**BAKED, "direction": "Left"})
    build_package(checkpoint, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert (document.pop("tokens")["truncation_side"], document.pop("family")) == ("left", "distilbert")
    document["max_tokens"] = 16
    before = Tokenizer(checkpoint / "tokenizer.json", 16)
    texts = [golden["text"] for golden in document["golden"]]
    for golden, found in zip(document["golden"], before.tokenize(texts), strict=True):
        golden["token_ids"] = list(found.ids)
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    manifest = verify(tmp_path / "out")
    assert (manifest.family, manifest.tokens) == (None, TokenRules())
    assert "family not recorded" in str(check(tmp_path / "out"))
    assert Engine(tmp_path / "out", manifest).tokenizer.tokenize([LONG])[0].ids == before.tokenize([LONG])[0].ids


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"truncation_side": "up"}, "tokens.truncation_side must be one of left, right"),
        ({"padding_id": -1}, "tokens.padding_id must be a token id or null"),
        ({"unknown_id": True}, "tokens.unknown_id must be a token id or null"),
        ({"limit_from": None}, "tokens.limit_from must be a string"),
        ({"more": 1}, "tokens must have exactly"),
    ],
)
def test_token_rules_that_mean_nothing_are_refused(built_package: Path, change: dict[str, Any], words: str) -> None:
    document = json.loads((built_package / "manifest.json").read_bytes())
    document["tokens"].update(change)
    with pytest.raises(ArtifactError, match=re.escape(words)):
        Manifest.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("family", "config", "positions"),
    [
        ("bert", {"max_position_embeddings": 512}, 512),
        ("roberta", {"max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ("roberta", {"max_position_embeddings": 514}, 512),
        ("xlm-roberta", {"max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ("mpnet", {"max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ("modernbert", {"max_position_embeddings": 8192, "pad_token_id": 50283}, 8192),
    ],
)
def test_positions_are_counted_as_the_family_counts_them(family: str, config: dict[str, Any], positions: int) -> None:
    assert positions_max(config, FAMILIES[family]) == positions


def test_a_family_without_a_name_of_its_own_says_which_are_served(checkpoint: Path, tmp_path: Path) -> None:
    configure(checkpoint, model_type="longformer")
    with pytest.raises(ArtifactError, match=r"model_type 'longformer' is not served; supported are dist.*modernbert"):
        build_package(checkpoint, tmp_path / "out")
