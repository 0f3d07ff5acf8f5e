"""Command lines: `python -m recipes.pretrain|evaluate|distill|export`, on kerassl's public API only."""
