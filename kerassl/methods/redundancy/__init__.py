"""Methods that keep the dimensions of an embedding apart."""
