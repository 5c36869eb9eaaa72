"""From films and a configuration to a trained model."""
