"""Views of images: augmentations in `keras.ops`, the preprocessing of an encoder, and presets of papers."""
