"""The ladder: small apps, one idea each, that lead up to the five sections."""
