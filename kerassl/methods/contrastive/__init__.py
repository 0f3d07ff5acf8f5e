"""Contrastive methods: views of an example attract each other, other examples repel."""
