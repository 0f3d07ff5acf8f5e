"""Side-by-side measurements with other libraries; each result names the command that produced it."""
