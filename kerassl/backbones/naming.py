"""Names of models that are unique in a process, as Keras makes for layers."""

import keras


def unique_name(prefix: str) -> str:
    """Returns `prefix`, then `prefix_1`, `prefix_2` and so on at later calls.

    Args:
        prefix: the name wanted.

    Returns:
        A name that no earlier call returned.

    Example:
        >>> from kerassl.backbones.naming import unique_name
        >>> unique_name("my_net"), unique_name("my_net")
        ('my_net', 'my_net_1')
    """
    uid = keras.backend.get_uid(prefix)
    return prefix if uid == 1 else f"{prefix}_{uid - 1}"
