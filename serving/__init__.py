"""The LitServe application that serves one version of a text classifier. Imports nothing of Serin's outside this folder."""
