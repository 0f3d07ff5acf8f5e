"""Methods whose two branches differ: a predictor, a teacher, a stop of the gradient."""
