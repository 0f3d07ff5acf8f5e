"""Methods that hide a part of the input and predict it."""
