"""What answers for an architecture without a predictor: published tables, and the training of children."""
