"""The check of an artifact without serving it: ``python -m serving --check``."""

from dataclasses import dataclass
from pathlib import Path

from serving.inference.golden import golden_texts
from serving.package.artifact import (
    GRAPH_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Manifest,
    read_manifest,
    verify,
)
from serving.package.families import token_rows
from serving.package.reading import check_rows, read_saved
from serving.package.tensors import read_safetensors
from serving.resources.bounds import is_memory_refused, memory_refused
from serving.settings import Provider


@dataclass(frozen=True, slots=True)
class Checked:
    """A sound artifact."""

    manifest: Manifest
    fingerprint: str
    dimensions: int | None
    """Of an embedding, where the graph fixes it."""

    def __str__(self) -> str:
        manifest, rules = self.manifest, self.manifest.rules
        size = (
            f"{len(manifest.labels)} labels" if manifest.labels else f"{self.dimensions or 'any number of'} dimensions"
        )
        longer = f"cut on the {manifest.tokens.truncation_side}"
        if rules.windows is not None:
            longer = f"in windows ({rules.windows.aggregate})"
        return (
            f"{rules.task} ({size}), {manifest.family or 'family not recorded'}, {manifest.variant}, "
            f"texts to {manifest.max_tokens} tokens, longer ones {longer}, "
            f"{len(manifest.golden)} golden texts as packaged, fingerprint {self.fingerprint}"
        )


def check(artifact: Path, *, threads: int | None = None, provider: Provider = Provider.CPU) -> Checked:
    """Verify the files, probe the golden texts on the tokenizer as installed here, and answer them.

    A token without a row in the weights, which packages from before that was checked may have, is refused: whoever
    writes it gets an error for an answer.

    Raises:
        ArtifactError: which file is wrong, and how.
        ProviderError: this machine lacks what should run the graph.
    """
    from serving.inference.engine import Engine

    manifest = verify(artifact)
    check_rows(read_saved(artifact), token_rows(read_safetensors(artifact / WEIGHTS_FILE)))
    engine = Engine(artifact, manifest, threads=threads, provider=provider)
    for text in golden_texts(engine.tokenizer, manifest):
        try:
            engine.outputs([text])
        except FloatingPointError as error:
            raise ArtifactError(GRAPH_FILE, str(error)) from error
        except Exception as error:
            if not is_memory_refused(error):
                raise
            raise memory_refused(GRAPH_FILE, error) from error
    return Checked(manifest, read_manifest(artifact)[1], engine.dimensions)
