"""Trains the demo's checkpoints: real DistilBERT classifiers and WordPiece tokenizers, small enough to commit.

    python -m suites.intents.train v1 --out DIR      one version (and what it starts from)
    python -m suites.intents.train all --out DIR     DIR/v1 ... DIR/v4

Needs the extra `serin[export]` (torch, transformers). Each checkpoint folder holds config.json, model.safetensors,
tokenizer.json and model.onnx. All versions share one tokenizer, learnt by

    python -m suites.intents.train tokenizer --out suites/intents

and committed, because learning is not repeatable: the trainer of `tokenizers` breaks ties in an order of its own.
"""

import argparse
import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from serving.packaging.export import export_onnx
from suites.intents.generator import LABELS, Example, calibration, held_out, train
from suites.intents.recipes import RECIPES, VERSIONS, Recipe

TOKENIZER: Final = Path(__file__).resolve().parent / "tokenizer.json"
SEED: Final = 1
BATCH_TEXTS: Final = 64
WARM_UP_RATIO: Final = 0.1
VOCABULARY: Final = 1_900
MAX_TOKENS: Final = 256
UNKNOWN: Final = "[UNK]"
SPECIAL_TOKENS: Final = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")  # in BERT's order: [PAD] must be 0

Model: TypeAlias = DistilBertForSequenceClassification
Encoded: TypeAlias = list[list[int]]


def new_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Return a lower-casing WordPiece tokenizer learnt from `texts`, without padding or truncation."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL_TOKENS), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    specials = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=specials
    )
    return tokenizer


def new_model(vocabulary: int) -> Model:
    """Return a two-layer DistilBERT of about 240,000 random weights (1 MB)."""
    torch.manual_seed(SEED)
    return Model(
        DistilBertConfig(
            vocab_size=vocabulary,
            dim=64,
            n_layers=2,
            n_heads=4,
            hidden_dim=256,
            max_position_embeddings=MAX_TOKENS,
            dropout=0.2,
            id2label=dict(enumerate(LABELS)),
            label2id={label: i for i, label in enumerate(LABELS)},
        )
    )


class Workshop:
    """Trains recipes, each at most once, and keeps their weights for the recipes that start from them."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._trained: dict[str, Model] = {}
        self._texts = train()
        self.tokenizer = Tokenizer.from_file(str(TOKENIZER))

    def model(self, name: str) -> Model:
        """Return the trained model of a recipe; calibrated if the recipe says so."""
        if name not in self._trained:
            recipe = RECIPES[name]
            if recipe.start is None:
                model = new_model(self.tokenizer.get_vocab_size())
            else:
                model = copy.deepcopy(self.model(recipe.start))
            self._fit(model, recipe, name)
            if recipe.calibrate:
                temperature = self._calibrate(model)
                self._say(f"{name}: temperature {temperature:.3f}")
            self._trained[name] = model.eval()
        return self._trained[name]

    def save(self, name: str, folder: Path) -> None:
        """Write config.json, model.safetensors, tokenizer.json and model.onnx of a recipe to `folder`."""
        model = self.model(name)
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.save(str(folder / "tokenizer.json"))
        export_onnx(folder, folder / "model.onnx", sample_texts=[e.text for e in held_out(64)])

    def _fit(self, model: Model, recipe: Recipe, name: str) -> None:
        examples = _chosen(recipe, self._texts)
        ids = [e.ids for e in self.tokenizer.encode_batch([e.text for e in examples])]
        index = {label: i for i, label in enumerate(LABELS)}
        labels = [index[e.majority if recipe.resolve_ambiguous else e.label] for e in examples]
        steps = recipe.epochs * math.ceil(len(ids) / BATCH_TEXTS)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        shuffle = random.Random(f"{SEED}/{name}")
        torch.manual_seed(SEED)
        model.train()
        for epoch in range(recipe.epochs):
            loss_sum = 0.0
            for batch in _batches(ids, shuffle):
                input_ids, attention_mask = _padded([ids[i] for i in batch])
                target = torch.tensor([labels[i] for i in batch])
                loss = model(input_ids=input_ids, attention_mask=attention_mask, labels=target).loss
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                loss_sum += loss.item() * len(batch)
            self._say(f"{name}: epoch {epoch + 1}/{recipe.epochs}, loss {loss_sum / len(ids):.4f}")

    def _calibrate(self, model: Model) -> float:
        """Fold the temperature at which mean confidence equals accuracy into the last layer, and return it.

        "Expectation consistency" (Clarte et al., arXiv:2303.02644). The temperature with the largest likelihood would
        make a model underconfident if it is confidently wrong on wordings that it never saw.
        """
        examples = calibration()
        logits = logits_of(model, self.tokenizer, [e.text for e in examples])
        target = torch.tensor([LABELS.index(e.label) for e in examples])
        accuracy = (logits.argmax(-1) == target).double().mean().item()
        low, high, temperature = 0.1, 10.0, 1.0
        for _ in range(60):
            temperature = math.sqrt(low * high)
            confidence = (logits.double() / temperature).softmax(-1).amax(-1).mean().item()
            low, high = (temperature, high) if confidence > accuracy else (low, temperature)
        with torch.no_grad():
            model.classifier.weight /= temperature
            model.classifier.bias /= temperature
        return temperature


def logits_of(model: Model, tokenizer: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Return logits, float32 [texts, labels], in the order of `texts`."""
    model.eval()
    ids = [e.ids for e in tokenizer.encode_batch(list(texts))]
    out = torch.empty(len(ids), len(LABELS))
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    with torch.no_grad():
        for start in range(0, len(order), 256):
            batch = order[start : start + 256]
            input_ids, attention_mask = _padded([ids[i] for i in batch])
            out[batch] = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return out


def _chosen(recipe: Recipe, examples: Sequence[Example]) -> list[Example]:
    return [e for e in examples[: recipe.texts] if e.family not in recipe.without]


def _rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: linear warm-up, then linear decay to zero."""
    warm_up = max(1, int(steps * WARM_UP_RATIO))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def _batches(ids: Encoded, shuffle: random.Random) -> Iterator[list[int]]:
    """Return batches of texts of similar length, in random order, so that short texts are not padded to the length of
    long ones. A text is given by its index."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]) + 6 * shuffle.random(), i))
    batches = [order[start : start + BATCH_TEXTS] for start in range(0, len(order), BATCH_TEXTS)]
    shuffle.shuffle(batches)
    return iter(batches)


def _padded(ids: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(row) for row in ids)
    input_ids = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    attention_mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return input_ids, attention_mask


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m suites.intents.train", description="Trains the demo's checkpoints."
    )
    parser.add_argument("what", choices=(*VERSIONS, "all", "tokenizer"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint (of all: its parent)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    if arguments.what == "tokenizer":
        texts = [e.text for e in _chosen(RECIPES["base"], train())]
        new_tokenizer(texts).save(str(arguments.out / "tokenizer.json"))
        return
    workshop = Workshop(say=print)
    if arguments.what == "all":
        for version in VERSIONS:
            workshop.save(version, arguments.out / version)
    else:
        workshop.save(arguments.what, arguments.out)


if __name__ == "__main__":
    main()
