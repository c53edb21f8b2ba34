"""Makes ``tiny/``: a random 1-layer DistilBERT of 16 dimensions, for tests of everything but accuracy.

Needs torch and transformers: ``python tests/serving/data/make_tiny.py`` from the repository's root.
"""

import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from serving.packaging.export import export_onnx

HERE = Path(__file__).parent / "tiny"
LABELS = ("cancel order", "track order", "refund")
WORDS = (
    *("where", "is", "my", "order", "i", "want", "to", "cancel", "it", "please", "refund", "the", "money", "back"),
    *("track", "parcel", "a", "e", "o", "s", "t", "##s", "##t", "##e", "##r"),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(7)
    config = DistilBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=64,
        n_layers=1,
        n_heads=2,
        dim=16,
        hidden_dim=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = DistilBertForSequenceClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # wide enough that answers differ between texts
    model.save_pretrained(HERE)
    tokenizer.save(str(HERE / "tokenizer.json"))
    export_onnx(HERE, HERE / "model.onnx", sample_texts=["where is my order", "refund please"])


if __name__ == "__main__":
    main()
