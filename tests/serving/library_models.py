"""Small checkpoints of every family, made and saved by the real library: random weights, tokenizers of its own classes.

Needs torch and transformers (``make test-export``).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from serving.packaging.export import quiet_library

LABELS: Final = ("cancel order", "track order", "refund")
SENTENCES: Final = (
    "where is my order", "i want to cancel it please", "refund the money", "my parcel is late, where is it?",
    "Please CANCEL my Order now", "the café is naïve", "i want my money back", "track the parcel",
)  # fmt: skip
_SIZES: Final = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "dim": 32,
    "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "embedding_size": 16, "pooler_hidden_size": 32,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a family's model is made small: its tokenizer's class, and what its configuration needs besides sizes."""

    tokenizer: str
    positions: int = 64
    settings: dict[str, Any] = field(default_factory=dict)


RECIPES: Final[dict[str, Recipe]] = {
    "distilbert": Recipe("DistilBertTokenizer"),
    "bert": Recipe("BertTokenizer"),
    "electra": Recipe("ElectraTokenizer"),
    "mpnet": Recipe("MPNetTokenizer", 66),
    "roberta": Recipe("RobertaTokenizer", 66, {"type_vocab_size": 1}),
    "xlm-roberta": Recipe("XLMRobertaTokenizer", 66, {"type_vocab_size": 1}),
    "camembert": Recipe("CamembertTokenizer", 66, {"type_vocab_size": 1}),
    "deberta": Recipe(
        "DebertaTokenizer", 64, {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0}
    ),
    "deberta-v2": Recipe(
        "DebertaV2Tokenizer",
        64,
        {
            "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "norm_rel_ebd":
            "layer_norm", "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0,
        },
    ),
    "modernbert": Recipe(
        "TokenizersBackend", 64, {"local_attention": 16, "global_attn_every_n_layers": 2, "num_hidden_layers": 3}
    ),
}  # fmt: skip


def save(
    directory: Path, family: str, *, task: str = "SequenceClassification", dtype: Any = None, **config: Any
) -> Any:
    """Make the family's small model and save it with its tokenizer; returns the model."""
    import torch
    import transformers

    recipe = RECIPES[family]
    tokenizer = make_tokenizer(recipe.tokenizer)
    torch.manual_seed(5)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: at for at, label in enumerate(LABELS)}}
    settings = {
        **_SIZES, **labels, **recipe.settings, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": recipe.positions, "bos_token_id": None, "eos_token_id": None, **config,
    }  # fmt: skip
    made = transformers.AutoConfig.for_model(family, **settings)
    model = getattr(transformers, f"AutoModelFor{task}" if task else "AutoModel").from_config(made).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3 if "embeddings" not in name else 1.0)
    if dtype is not None:
        model = model.to(dtype)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model


def pipeline_of(checkpoint: Path, limit: int) -> Any:
    """What a user of the library has: text to probabilities by label, cut where the version cuts."""
    import torch
    import transformers

    with quiet_library():
        pipeline = transformers.pipeline("text-classification", model=str(checkpoint), top_k=None, dtype=torch.float32)

    def answer(text: str) -> list[float]:
        (found,) = pipeline([text], truncation=True, max_length=limit)
        scores = {entry["label"]: entry["score"] for entry in found}
        return [scores[label] for label in LABELS]

    return answer


def make_tokenizer(kind: str, **settings: Any) -> Any:
    """A tokenizer of the library's class with a small vocabulary."""
    import transformers

    made = getattr(transformers, kind)
    if kind in ("RobertaTokenizer", "DebertaTokenizer"):
        first = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if kind == "DebertaTokenizer":
            first = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
        vocabulary, merges = _byte_pairs(first)
        return made(vocab=vocabulary, merges=merges, **settings)
    if kind == "TokenizersBackend":
        names = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "mask")}
        inputs = ["input_ids", "attention_mask"]
        return made(tokenizer_object=_byte_tokenizer(), model_input_names=inputs, **names, **settings)
    if kind in ("XLMRobertaTokenizer", "CamembertTokenizer", "DebertaV2Tokenizer"):
        return made(vocab=_pieces(kind), **settings)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind == "MPNetTokenizer":
        names = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", "<unk>"]
    return made(vocab={word: at for at, word in enumerate([*names, *_words()])}, **settings)


def _words() -> list[str]:
    words = sorted({word.strip(",?").lower() for text in SENTENCES for word in text.split()})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?!-'"
    return [*dict.fromkeys((*words, "cafe", "naive", *letters)), *(f"##{letter}" for letter in letters)]


def _trained() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _byte_pairs(first: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    import json

    model = json.loads(_trained().to_str())["model"]
    vocabulary = {word: at for at, word in enumerate([*first, *sorted(model["vocab"], key=model["vocab"].get)])}
    return vocabulary, [tuple(pair) for pair in model["merges"]]


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary, merges = _byte_pairs(first)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _pieces(kind: str) -> list[tuple[str, float]]:
    first = {
        "XLMRobertaTokenizer": ["<s>", "<pad>", "</s>", "<unk>"],
        "CamembertTokenizer": ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"],
        "DebertaV2Tokenizer": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
    }[kind]
    words = sorted({word.strip(",?") for text in SENTENCES for word in text.split()})
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!-'▁"
    last = {"XLMRobertaTokenizer": ["<mask>"], "CamembertTokenizer": ["<mask>"], "DebertaV2Tokenizer": ["[MASK]"]}[kind]
    scored = [(f"▁{word}", -2.0) for word in words] + [(letter, -5.0) for letter in letters]
    return [(name, 0.0) for name in first] + scored + [(name, 0.0) for name in last]
