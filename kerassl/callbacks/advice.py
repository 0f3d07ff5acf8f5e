"""What to try when an embedding has collapsed, by the kind of collapse and the family of the method.

Models with prototypes get the advice for clustering, regardless of their family.
"""

from kerassl.training import SSLModel

ADVICE = {
    "complete": {
        "any": "a lower learning rate, a longer warm-up, a larger batch, or float32",
        # SimSiam, arXiv 2011.10566, section 4; BYOL, arXiv 2006.07733, section 5.
        "asymmetric": "a momentum nearer to 1, batch norm in encoder and heads, a predictor whose learning "
        "rate does not fall",
        # DINO, arXiv 2104.14294, section 5.3: centering prevents one winner, sharpening a uniform output.
        "clustering": "a lower teacher temperature (or Sinkhorn epsilon) at a loss of ln K, more centering "
        "at a loss of 0, prototypes frozen for longer",
        "contrastive": "a higher temperature",
        "redundancy": "a larger weight of the term that spreads the embeddings (variance, regularizer)",
    },
    "dimensional": {
        # Jing et al., arXiv 2110.09348, section 4: views that vary more than the images do.
        "any": "weaker views, a projection head (or a wider one), less weight decay",
        # Hua et al., arXiv 2105.00470: standardizing leaves correlation, decorrelating does not.
        "asymmetric": "a decorrelating norm (kerassl.heads.IterNorm), or VICReg or Barlow Twins, whose "
        "losses forbid it",
        "clustering": "more prototypes, and assignments that are balanced more strictly",
        # Wang and Liu, arXiv 2012.09740: the lower, the more uniform.
        "contrastive": "a lower temperature, more negatives",
        "redundancy": "a larger weight of the covariance (redundancy) term, a larger batch",
    },
    "cluster": {
        "any": "weaker views, a lower learning rate, fewer epochs",
        # Swapped assignments: arXiv 2006.09882, section 3.
        "clustering": "more prototypes, a smaller Sinkhorn epsilon, a queue, prototypes frozen for longer",
        "contrastive": "a higher temperature; with labels in the loss this is what it asks for",
        "asymmetric": "a momentum nearer to 1",
        "redundancy": "a larger weight of the term that spreads the embeddings",
    },
}


def what_to_try(kind: str, model: SSLModel) -> str:
    """A sentence of advice against a kind of collapse.

    Args:
        kind: "complete", "dimensional" or "cluster".
        model: the method that is trained.

    Example:
        >>> import kerassl
        >>> from kerassl.callbacks.advice import what_to_try
        >>> encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
        >>> what_to_try("dimensional", kerassl.methods.SimCLR(encoder, projection_dim=8))[:40]
        'Try a lower temperature, more negatives;'
    """
    advice = ADVICE[kind]
    own = advice.get("clustering" if model.step_metrics.usages else model.family)
    first = f"{own}; or " if own else ""
    return f"Try {first}{advice['any']}; see docs/collapse.md."
