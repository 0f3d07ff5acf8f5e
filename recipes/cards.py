"""What the model card of an exported encoder says of the run that it comes from."""

from collections.abc import Mapping


def run_facts(config: Mapping, rows: Mapping[str, dict] | None) -> dict:
    """What a run's settings and table say, as arguments of `kerassl.export.model_card`.

    Args:
        config: the run's `config.json`; empty where there is no run.
        rows: its table; `None` where it is not finished.

    Example:
        >>> from recipes.cards import run_facts
        >>> run_facts({"method": "byol", "width": None, "about": {"keras": "3.15.1"}}, None)
        {'settings': {'method': 'byol', 'trained with keras': '3.15.1'}}
    """
    about = config.get("about", {})
    settings = {name: value for name, value in config.items() if name != "about" and value not in (None, {})}
    settings |= {
        f"trained with {name}": about[name] for name in ("kerassl", "keras", "backend") if name in about
    }
    if not rows or "eval_images" not in config:
        return {"settings": settings}
    if "eval_dataset" in config:
        limit = f"{config['eval_images']:,} images of each part at most."
        protocol = f"Frozen features of {config['eval_dataset']}, {limit}"
        return {"settings": settings, "numbers": rows, "protocol": protocol}
    counts = [min(config["eval_images"], about.get(name) or 0) for name in ("num_train", "num_test")]
    protocol = f"Frozen features, bank of {counts[0]:,} training images"
    protocol += f", {counts[1]:,} held-out images." if counts[1] else "."
    return {"settings": settings, "numbers": rows, "protocol": protocol}
