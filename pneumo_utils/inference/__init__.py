"""From the bytes of one film to an answer."""
