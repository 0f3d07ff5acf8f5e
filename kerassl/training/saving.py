"""`Saving`: how a method is written to `.keras` files and read from them, and how its encoder is exported."""

import dataclasses
import os
import pathlib
from typing import Self

import keras

from kerassl.views import InputFormat


class Saving:
    """The configs of a method and of its `compile`, and the export of its encoder."""

    def get_config(self) -> dict:
        """The constructor's arguments, and what is attached."""
        config = {**super().get_config(), "dtype": keras.saving.serialize_keras_object(self.dtype_policy)}
        if self.image_preprocess is not None and self.image_preprocess.trained_on is not None:
            config["trained_on"] = dataclasses.asdict(self.image_preprocess.trained_on)
        objectives = [keras.saving.serialize_keras_object(objective) for objective in self.objectives]
        return config | ({"objectives": objectives} if objectives else {})

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Rebuilds a method; its weights come from the file, its teacher is made anew."""
        config = dict(config)
        objectives, trained_on = config.pop("objectives", ()), config.pop("trained_on", None)
        # What the constructor makes, such as heads, takes the global policy.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(keras.saving.deserialize_keras_object(config.pop("dtype", before)))
        try:
            model = cls(**cls.arguments_of(config))
            if trained_on and model.image_preprocess is not None:
                model.image_preprocess.trained_on = InputFormat.get(trained_on)
            for objective in objectives:
                model.attach(keras.saving.deserialize_keras_object(objective))
            return model
        finally:
            keras.config.set_dtype_policy(before)

    def get_compile_config(self) -> dict:
        """The arguments of `compile`."""
        config = super().get_compile_config()
        if not config:
            return config
        # Keras notes what "auto" meant on this machine.
        config["jit_compile"] = self.asked_jit_compile
        own = {"chunk_size": self.chunk_size, "nonfinite": self.nonfinite}
        return {**config, **own, "diagnostics": self.step_metrics.diagnostics is not None}

    def compile_from_config(self, config: dict) -> None:
        """Compiles a loaded model as it was; Keras leaves that to classes with a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(self.compile_config_here(config)))

    def export_encoder(
        self,
        path: str | os.PathLike,
        format: str = "tf_saved_model",
        image_size: int | tuple[int, int] | None = None,
        resize_to: int | tuple[int, int] | None = None,
    ) -> pathlib.Path:
        """Writes the encoder for use elsewhere; see `kerassl.export.export_encoder`."""
        from kerassl.export import export_encoder

        return export_encoder(self, path, format=format, image_size=image_size, resize_to=resize_to)

    def export(self, filepath: str | os.PathLike, format: str = "tf_saved_model", **kwargs) -> None:
        """Writes what `call` computes, as `export_encoder`, which has more options, does.

        Args:
            filepath: as `path` of `export_encoder`.
            format: as of `export_encoder`.
            **kwargs: `verbose` of `keras.Model.export`, and the options of `export_encoder`.
        """
        kwargs.pop("verbose", None)
        self.export_encoder(filepath, format=format, **kwargs)
