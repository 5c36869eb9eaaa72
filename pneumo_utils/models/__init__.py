"""Networks by name, and the files that trained ones are kept in."""
