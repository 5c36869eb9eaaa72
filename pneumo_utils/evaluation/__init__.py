"""From probabilities to figures that can be trusted."""
