"""The LitServe application that serves one version of a text classifier; imports nothing of ours outside it."""
