"""Views of methods that reduce redundancy or keep variance."""

from fractions import Fraction

from kerassl.views.image.presets import asymmetric
from kerassl.views.image.presets.preset import CIFAR, SMALL, Preset, jitter
from kerassl.views.multiview import MultiCrop

LEJEPA = {
    **asymmetric.LARGE,
    "blur_probability": 0.5,
    "solarize_probability": 0.2,
}

PRESETS = {
    "barlow_twins": Preset(
        summary='Barlow Twins on ImageNet: the settings of "byol".',
        source="arXiv 2103.03230, section 2.2; github.com/facebookresearch/barlowtwins",
        evidence="code",
        view=asymmetric.PRESETS["byol"].view,
        second=asymmetric.PRESETS["byol"].second,
    ),
    "barlow_twins_cifar": Preset(
        summary='Barlow Twins on CIFAR: the settings of "byol_cifar".',
        source="github.com/vturrisi/solo-learn, asymmetric CIFAR augmentation",
        evidence="solo-learn",
        view=asymmetric.PRESETS["byol_cifar"].view,
        second=asymmetric.PRESETS["byol_cifar"].second,
        statistics=CIFAR,
    ),
    "vicreg_cifar": Preset(
        summary="VICReg on CIFAR: crop .2-1, jitter (.4, .4, .2, .1), gray .2, solarize .1, no blur.",
        source="github.com/vturrisi/solo-learn, VICReg CIFAR augmentation",
        evidence="solo-learn",
        view={"scale": (0.2, 1.0), **asymmetric.COLOR, "solarize_probability": 0.1},
        statistics=CIFAR,
    ),
    "wmse_cifar": Preset(
        summary="W-MSE on CIFAR: crop .2-1 bicubic, jitter (.4, .4, .4, .1), gray .1, no blur.",
        source="arXiv 2007.06346; github.com/htdt/self-supervised",
        evidence="code",
        view={
            "scale": (0.2, 1.0),
            **jitter(0.4, 0.4, 0.4, 0.1),
            "grayscale_probability": 0.1,
            "interpolation": "bicubic",
        },
        statistics=CIFAR,
    ),
    "emp_ssl": Preset(
        summary=(
            "EMP-SSL: a square quarter of the image, jitter (.4, .4, .4, .2), gray .2, blur .1, solarize .1."
        ),
        source="arXiv 2304.03977, section 4.1; github.com/tsb0601/EMP-SSL, dataset/aug.py",
        evidence="code; its mean and standard deviation of a half are replaced by the data's",
        view={
            "scale": (0.25, 0.25),
            "ratio": (1.0, 1.0),
            **jitter(0.4, 0.4, 0.4, 0.2),
            "grayscale_probability": 0.2,
            "blur_probability": 0.1,
            "solarize_probability": 0.1,
        },
        statistics=SMALL,
    ),
    "lejepa": Preset(
        summary=(
            "LeJEPA and VISReg: global crops of scale .3-1, local ones of .05-.3, bicubic, jitter (.4, "
            ".4, .2, .1), gray .2, blur .5 and solarize .2 on all."
        ),
        source=(
            "arXiv 2511.08544; github.com/rbalestr-lab/lejepa; arXiv 2606.02572, which has four global "
            "crops; github.com/HaiyuWu/visreg"
        ),
        evidence="code",
        layer=MultiCrop,
        view={**LEJEPA, "scale": (0.3, 1.0)},
        local={**LEJEPA, "scale": (0.05, 0.3)},
        num_local_crops=6,
        local_share=Fraction(98, 224),
        patch_size=14,
    ),
}
