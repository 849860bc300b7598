"""Using a trained model: from contents to answers."""
