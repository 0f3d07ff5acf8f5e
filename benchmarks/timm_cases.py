"""The models of timm whose weights are compared, {name: image size}, and some that are not supported."""

CASES = {
    "resnet18": 224,
    "resnet34": 224,
    "resnet50": 160,
    "vit_tiny_patch16_224": 224,
    "vit_small_patch16_224": 224,
    "vit_base_patch16_224": 160,
    "deit_small_patch16_224": 96,
    "vit_small_patch14_dinov2": 112,
}
NOT_SUPPORTED = (
    "wide_resnet50_2",
    "seresnet50",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
)
