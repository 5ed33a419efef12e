"""Walsh's networks in PyTorch, with torchvision's names: CIFAR's ResNets are resnet_pytorch.py's, those for ImageNet
torchvision's own."""
from torch import nn

import shufflenet_pytorch
from resnet_pytorch import FEATURES, ResNet

CIFAR_RESNETS = "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"
SHUFFLENET = "shufflenet"
IMAGENET = "resnet18", "resnet34", "resnet50", "densenet121", "densenet169", SHUFFLENET
DENSENET_BC = "densenet-bc-100-12"
NAMES = (*CIFAR_RESNETS, DENSENET_BC, *IMAGENET)


def densenet_bc(classes):
    """DenseNet-BC for CIFAR (Huang et al., 2017, section 4.2), 100 layers of growth 12: torchvision's without a stem but
    a 3x3 convolution."""
    from torchvision.models import DenseNet  # only where needed: it takes time and memory

    model = DenseNet(growth_rate=12, block_config=(16, 16, 16), num_init_features=24, num_classes=classes)
    body = {name: part for name, part in model.features.named_children() if name not in ("norm0", "relu0", "pool0")}
    model.features = nn.Sequential()
    for name, part in {**body, "conv0": nn.Conv2d(3, 24, 3, padding=1, bias=False)}.items():
        model.features.add_module(name, part)
    return model


def image_size(name):
    return 224 if name in IMAGENET else 32


def make_network(name, classes):
    if name in CIFAR_RESNETS:
        return ResNet(int(name.removeprefix("resnet")), nn.Linear(FEATURES, classes))
    if name == DENSENET_BC:
        return densenet_bc(classes)
    if name == SHUFFLENET:
        return shufflenet_pytorch.shufflenet(classes)
    from torchvision import models

    return getattr(models, name)(num_classes=classes)
