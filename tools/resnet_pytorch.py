"""ResNets for CIFAR (He et al., 2015, section 4.2) in PyTorch with torchvision's names, and their last layers: what
Walsh is compared with."""
import numpy as np
import torch
from torch import nn

import walsh_numpy

FEATURES = 64
HEADS = "learned", "orthonormal", "hadamard"


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, padding_mode, eps):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False, padding_mode=padding_mode)
        self.bn1 = nn.BatchNorm2d(outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False, padding_mode=padding_mode)
        self.bn2 = nn.BatchNorm2d(outputs, eps)
        self.relu = nn.ReLU()
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs, eps)]
        self.downsample = nn.Sequential(*shortcut) if stride != 1 else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.downsample(x))


class FixedHead(nn.Module):
    """scale * Q x/|x| + bias; Q [classes, features] is not trained."""

    def __init__(self, q):
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(len(q)))
        self.register_buffer("q", torch.from_numpy(q.astype(np.float32)), persistent=False)

    def forward(self, x):
        unit = x / (x.square().sum(1, keepdim=True) + 1e-16).sqrt()
        return self.scale * (unit @ self.q.T) + self.bias


class ResNet(nn.Module):
    """Of 6n+2 layers; `head` maps the features to logits."""

    def __init__(self, depth, head, padding_mode="zeros", eps=1e-5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False, padding_mode=padding_mode)
        self.bn1, self.relu = nn.BatchNorm2d(16, eps), nn.ReLU()
        for stage, inputs, outputs, stride in (1, 16, 16, 1), (2, 16, 32, 2), (3, 32, FEATURES, 2):
            shapes = [(inputs, outputs, stride)] + [(outputs, outputs, 1)] * ((depth - 2) // 6 - 1)
            self.add_module(f"layer{stage}", nn.Sequential(*[Block(*s, padding_mode, eps) for s in shapes]))
        self.fc = head

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def make_head(kind, classes, seed):
    if kind == "learned":
        return nn.Linear(FEATURES, classes)
    if kind == "orthonormal":
        return FixedHead(walsh_numpy.orthonormal_q(classes, FEATURES, seed))
    return FixedHead(walsh_numpy.hadamard_q(classes, FEATURES))


def initialise(model):
    """The engine's initial values: He normal (fan out) for convolutions, alpha 10 and bias 0 for a fixed head. Those of
    batch norm and of a learned head are PyTorch's own."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, FixedHead):
            nn.init.constant_(module.scale, 10.0)
            nn.init.zeros_(module.bias)


def make_optimizer(model, lr, momentum, weight_decay, decay_scale=False):
    """SGD; weight decay on every trained parameter but a fixed head's scale."""
    scale = [p for name, p in model.named_parameters() if name == "fc.scale"]
    groups = [dict(params=[p for name, p in model.named_parameters() if name != "fc.scale"])]
    if scale:
        groups.append(dict(params=scale, weight_decay=weight_decay if decay_scale else 0.0))
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)
