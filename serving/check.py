"""What can be known of an artifact without serving it: ``python -m serving --check``."""

from dataclasses import dataclass
from pathlib import Path

from serving.artifact import GRAPH_FILE, TOKENIZER_FILE, ArtifactError, Manifest, read_manifest, verify
from serving.settings import Provider


@dataclass(frozen=True, slots=True)
class Checked:
    """A sound artifact."""

    manifest: Manifest
    fingerprint: str


def check(artifact: Path, *, threads: int | None = None, provider: Provider = Provider.CPU) -> Checked:
    """Verify the files, probe the golden texts on the tokenizer as installed here, and run them through the graph.

    Raises:
        ArtifactError: which file is wrong, and how.
        ProviderError: this machine lacks what should run the graph.
    """
    from serving.engine import Engine

    manifest = verify(artifact)
    engine = Engine(artifact, manifest, threads=threads, provider=provider)
    tokenized = engine.tokenizer.tokenize([golden.text for golden in manifest.golden])
    for number, (golden, found) in enumerate(zip(manifest.golden, tokenized, strict=True)):
        if golden.token_ids != found.ids:
            raise ArtifactError(TOKENIZER_FILE, f"gives other token ids for golden text {number} than when packaged")
    for text in tokenized:
        try:
            engine.probabilities([text])
        except FloatingPointError as error:
            raise ArtifactError(GRAPH_FILE, str(error)) from error
    return Checked(manifest, read_manifest(artifact)[1])
