"""A stand-in for the package that Colab has in every kernel: as much of it as the project meets."""

from google.colab import drive, files, output

__all__ = ["drive", "files", "output"]
