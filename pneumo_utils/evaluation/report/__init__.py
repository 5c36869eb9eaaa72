"""One page about a model on a split: figures, decisions, failures, and what the model looks at."""
