"""The dialogue in which a reader chooses nothing."""


def upload() -> dict[str, bytes]:
    """The chosen files."""
    return {}
