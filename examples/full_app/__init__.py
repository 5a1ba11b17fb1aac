"""The complete OpenAI-compatible service; start at `main.create_app`."""
