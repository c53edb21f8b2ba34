"""From texts to answers: tokenizer, graph, batches, heads."""
