"""Using a trained model: from image files to labels."""
