"""Methods that assign views to prototypes or clusters."""
