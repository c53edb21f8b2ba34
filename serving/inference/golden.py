"""The golden texts of a package, as the tokenizer that is installed here reads them."""

from serving.inference.tokenizer import TokenizedText, Tokenizer
from serving.package.artifact import TOKENIZER_FILE, ArtifactError, Manifest


def golden_texts(tokenizer: Tokenizer, manifest: Manifest) -> list[TokenizedText]:
    """The golden texts as they are tokenized here.

    Raises:
        ArtifactError: not as they were when the version was packaged: it would answer other questions than it was
            judged by.
    """
    try:
        tokenized = tokenizer.tokenize([golden.text for golden in manifest.golden])
    except Exception as error:  # the library raises Exception itself
        raise ArtifactError(TOKENIZER_FILE, f"fails on a golden text ({error})") from error
    for number, (golden, found) in enumerate(zip(manifest.golden, tokenized, strict=True)):
        if golden.token_ids != found.ids:
            raise ArtifactError(
                TOKENIZER_FILE, f"gives other token ids for golden text {number} than when it was packaged"
            )
    return tokenized
