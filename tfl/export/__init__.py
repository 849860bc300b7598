"""Models that leave the house: written whole, with their labels inside, and compared with the model they came from."""
