"""iSogCLR: SogCLR with a learned temperature per image, from a robust optimization.

"Not All Semantics are Created Equal: Contrastive Self-supervised Learning with Automatic Temperature
Individualization", arXiv 2305.11965, algorithm 1. Official code: zhqiu/contrastive-learning-iSogCLR,
`unimodal_exps/losses.py`, `SogCLR_DRO_Loss`.

- An image that was never seen takes the normalizer of its batch. The official code would do so in epoch 0 but
  counts epochs from 1, so it starts from 0, with larger weights for some epochs.
- All else, including head, views and optimizer, is SogCLR's. In the official code the head has two hidden
  layers of 8192 and no batch norm at its end, and LARS scales all variables.
"""

from keras import KerasTensor, Model, ops

from kerassl.arguments import Annotated, Bound, NonNegativeFloat, PositiveFloat
from kerassl.losses import temperature_gradients
from kerassl.memory import SampleMemory
from kerassl.methods.contrastive.sogclr import SOGCLR_PAPER, SogCLR
from kerassl.training import Recipe


class iSogCLR(SogCLR):  # noqa: N801, the paper's name
    """iSogCLR (arXiv 2305.11965). It needs sample indices, as `SogCLR` explains.

    An unknown image takes the initial temperature.

    Args:
        num_examples: number of training examples; three numbers are remembered for each.
        temperature: initial temperature of all images, between the two bounds; 0.1 in the official command
            for CIFAR.
        gamma: weight of the batch's normalizer against the remembered one, in (0, 1].
        robustness: rho, the penalty on high temperatures: the higher it is, the lower the temperatures. 0.4
            in the command for CIFAR.
        temperature_learning_rate: eta, the step size of the temperatures; 0.03 in that command.
        temperature_momentum: weight of the new gradient against the remembered one, in (0, 1]; 0.5 in that
            command.
        min_temperature: the lowest temperature; > 0.
        max_temperature: the highest temperature.
        projection_dim: width of the embedding that the loss sees.
        hidden_dim: width of the projector's hidden layer.
        **kwargs: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for temperatures that are not in order, and as `SogCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.iSogCLR(encoder, num_examples=50_000)
        >>> temperatures = model.memories["temperatures"].values
        >>> print(f"{float(temperatures[0]):.2f}")
        0.07
    """

    terms, default_arguments = ("isogclr",), {"gamma": 0.8}

    # As in SogCLR.
    recipes = {
        "isogclr": Recipe(
            paper=SOGCLR_PAPER,
            short_arguments={
                "temperature": 0.2,
                "robustness": 0.4,
                "temperature_learning_rate": 0.03,
                "temperature_momentum": 0.5,
                "hidden_dim": 512,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.07,
        robustness: NonNegativeFloat = 6.0,
        temperature_learning_rate: NonNegativeFloat = 1e-3,
        temperature_momentum: Annotated[float, Bound(0, 1, open_low=True)] = 0.9,
        min_temperature: PositiveFloat = 0.05,
        max_temperature: PositiveFloat = 1.0,
        **kwargs,
    ) -> None:
        if not min_temperature <= temperature <= max_temperature:
            raise ValueError(
                "The temperatures must be positive and in the order min_temperature <= temperature <= "
                f"max_temperature, got {min_temperature}, {temperature}, {max_temperature}."
            )
        super().__init__(encoder, temperature=temperature, **kwargs)
        for name, start in (("temperatures", temperature), ("temperature_moments", 0.0)):
            self.memories[name] = SampleMemory(self, name, self.arguments.num_examples, start=start)

    def temperature_of(self, rows: KerasTensor) -> KerasTensor:
        """The temperature of each image."""
        return self.memories["temperatures"].read(rows)

    def memory_updates(
        self,
        rows: KerasTensor,
        z1: KerasTensor,
        z2: KerasTensor,
        log_normalizers: KerasTensor,
        temperature: float | KerasTensor,
        global_batch: dict,
    ) -> dict:
        """The new normalizers, and the temperatures after their gradient step, clipped to 3."""
        gradients = temperature_gradients(
            z1, z2, log_normalizers, temperature, self.arguments.robustness, **global_batch
        )
        old, new = self.memories["temperature_moments"].read(rows), ops.clip(gradients, -3.0, 3.0)
        moments = (1 - self.arguments.temperature_momentum) * old + self.arguments.temperature_momentum * new
        followed = temperature - self.arguments.temperature_learning_rate * moments
        return {
            **super().memory_updates(rows, z1, z2, log_normalizers, temperature, global_batch),
            "temperatures": ops.clip(
                followed, self.arguments.min_temperature, self.arguments.max_temperature
            ),
            "temperature_moments": moments,
        }
