"""Folders of images as PyTorch tensors, with torchvision's transforms for what Walsh does to ImageNet's images."""
import torch
from torchvision import datasets, transforms

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FINISH = transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)


def training_transform(size):
    return transforms.Compose([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), *FINISH])


def evaluation_transform(size):
    return transforms.Compose([transforms.Resize(round(size * 256 / 224)), transforms.CenterCrop(size), *FINISH])


class ImageNet:
    """Batches of a folder with train/ and val/, each with a folder of images a class."""

    def __init__(self, folder, size):
        self.train_set = datasets.ImageFolder(folder / "train", training_transform(size))
        self.test_set = datasets.ImageFolder(folder / "val", evaluation_transform(size))
        self.classes, self.train_images = len(self.train_set.classes), len(self.train_set)

    def train(self, batch, generator):
        """An epoch in random order, without the last incomplete batch; the transforms draw from PyTorch's generator."""
        return torch.utils.data.DataLoader(self.train_set, batch, shuffle=True, drop_last=True, generator=generator)

    def test(self, batch):
        return torch.utils.data.DataLoader(self.test_set, batch)
