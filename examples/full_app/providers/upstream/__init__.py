"""Answers of any OpenAI-compatible server, with a fallback and a breaker."""
