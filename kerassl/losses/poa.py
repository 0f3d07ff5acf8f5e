"""The distillation of POA's elastic student."""

from keras import KerasTensor, ops

from kerassl.losses._common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def poa(
    elastic_logits: KerasTensor,
    intact_logits: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Cross entropy `H(softmax(intact / T), softmax(elastic / T))` of one crop seen by both students.

    One direction: the intact student is detached. Unlike the loss with the teacher, nothing is centred or
    balanced, and a crop is compared with itself.

    Paper: Zhang et al., POA: Pre-training Once for Models of All Sizes, arXiv 2408.01031, section 3. Official
    code: alipay/POA, poa/train/ssl_meta_arch.py.

    Args:
        elastic_logits: `(batch, num_prototypes)` of the sub-network.
        intact_logits: `(batch, num_prototypes)` of the whole network on the same crops; detached here.
        temperature: of both; positive number or scalar tensor.
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
    elastic, intact = to_float32(elastic_logits), ops.stop_gradient(to_float32(intact_logits))
    for name, x in (("elastic_logits", elastic), ("intact_logits", intact)):
        check_rank(name, x, ("batch", "num_prototypes"))
    check_same_shape("elastic_logits", elastic, "intact_logits", intact)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    temperature = ops.cast(temperature, "float32")
    log_p = ops.log_softmax(elastic / temperature, axis=-1)
    return reduce(-ops.sum(ops.softmax(intact / temperature, axis=-1) * log_p, axis=-1), reduction)
