"""What to know of a folder of films before a model is trained on it or judged by it."""
