"""What `benchmarks.throughput` trains: the same sizes, heads, batches and optimizer on both sides."""

SIMCLR = {"temperature": 0.2}
BYOL = {"momentum": 0.99, "hidden_dim": 512, "projection_dim": 128}
# Head and momentum of lightly's example `dino.py`, views of its `DINOTransform` and of the paper.
DINO = {
    "momentum": 0.996,
    "num_prototypes": 2048,
    "hidden_dim": 512,
    "bottleneck_dim": 64,
    "freeze_last_layer_epochs": 0,
}
# Decoder of lightly's example `mae.py`, which predicts raw pixels.
MAE = {
    "mask_ratio": 0.75,
    "decoder_dim": 512,
    "decoder_depth": 1,
    "decoder_num_heads": 16,
    "normalize_target": False,
}
RESNET = {"width": 16, "image_size": 32, "batch_size": 256, "learning_rate": 2e-3, "weight_decay": 1e-4}

SETTINGS = {
    "simclr": {**RESNET, "method": SIMCLR},
    "byol": {**RESNET, "method": BYOL},
    "dino": {**RESNET, "method": DINO, "views": {"name": "dino", "num_local_crops": 4, "local_size": 16}},
    "mae": {
        "vit": "small",
        "patch_size": 16,
        "image_size": 224,
        "batch_size": 32,
        "learning_rate": 1.5e-4,
        "weight_decay": 0.05,
        "method": MAE,
    },
}
