"""The distillation of POA's elastic student."""

from keras import KerasTensor, ops

from kerassl.losses.distillation.soft_cross_entropy import soft_cross_entropy


def poa(
    elastic_logits: KerasTensor,
    intact_logits: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Cross entropy `H(softmax(intact / T), softmax(elastic / T))` of one crop seen by both students.

    One direction: the intact student is detached. Unlike the loss with the teacher, nothing is centered or
    balanced, and a crop is compared with itself.

    Paper: Zhang et al., POA: Pre-training Once for Models of All Sizes, arXiv 2408.01031, section 3. Official
    code: alipay/POA, poa/train/ssl_meta_arch.py.

    Args:
        elastic_logits: `(batch, num_prototypes)` logits of the sub-network.
        intact_logits: `(batch, num_prototypes)` logits of the whole network on the same crops; detached here.
        temperature: temperature of both; positive number or scalar tensor.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; for equal logits the entropy of their softmax.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0.

    Example:
        >>> from kerassl.losses import poa
        >>> round(float(poa([[0.0, 0.0]], [[3.0, 5.0]])), 4)
        0.6931
    """
    loss = soft_cross_entropy(elastic_logits, intact_logits, temperature, reduction)
    # `soft_cross_entropy` multiplies by the square of the temperature, this loss does not.
    return loss / ops.square(ops.cast(temperature, "float32"))
