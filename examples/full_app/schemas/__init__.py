"""What goes over the wire: section 2's models, grown to the OpenAI API of today."""
