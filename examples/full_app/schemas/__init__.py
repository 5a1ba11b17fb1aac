"""The wire of the service: section 2's models, grown to the OpenAI API of today."""
