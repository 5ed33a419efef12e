"""ShuffleNet (Zhang et al., 2017, 3 groups, 1x) in PyTorch with Walsh's names: what Walsh is compared with. Which reading
of the paper it is, engine/model/shufflenet.c says."""
import torch
from torch import nn

GROUPS = 3
FEATURES = 960


class Unit(nn.Module):
    """A stride-2 unit concatenates its branch to the pooled input, another one adds it to the input."""

    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        width = outputs - inputs if stride == 2 else outputs
        middle = width // 4
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, middle, 1, groups=groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, width, 1, groups=GROUPS)
        self.bn3 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        y = nn.functional.channel_shuffle(y, GROUPS)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        if self.stride == 1:
            return nn.functional.relu(x + y)
        return nn.functional.relu(torch.cat([nn.functional.avg_pool2d(x, 3, 2, 1), y], 1))


class ShuffleNet(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, 2, 1)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 24
        for number, outputs, units in (2, 240, 4), (3, 480, 8), (4, 960, 4):
            stage = []
            for i in range(units):
                stage.append(Unit(channels, outputs, 1 if i else 2, GROUPS if i or number > 2 else 1))
                channels = outputs
            setattr(self, f"stage{number}", nn.Sequential(*stage))
        self.fc = nn.Linear(FEATURES, classes)

    def forward(self, x):
        x = self.maxpool(nn.functional.relu(self.conv1(x)))
        x = self.stage4(self.stage3(self.stage2(x)))
        return self.fc(x.mean((2, 3)))


def shufflenet(classes=1000):
    return ShuffleNet(classes)
