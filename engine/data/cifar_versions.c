#include "engine/data/cifar_versions.h"

static const char *const names10[] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
};

static const char *const names100[] = {
    "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
    "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
    "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
    "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
    "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
    "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
    "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
    "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
    "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
    "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
    "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
    "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
    "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
    "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
    "woman",      "worm",
};

const struct walsh_cifar_version walsh_cifar10 = {
    .name = "cifar10",
    .folder = "cifar-10-batches-bin",
    .archive = "cifar-10-binary.tar.gz",
    .train = "data_batch_#.bin",
    .test = "test_batch.bin",
    .meta = "batches.meta.txt",
    .classes = 10,
    .label_bytes = 1,
    .mean = {.4914f, .4822f, .4465f},
    .deviation = {.2470f, .2435f, .2616f},
    .class_names = names10,
};

const struct walsh_cifar_version walsh_cifar100 = {
    .name = "cifar100",
    .folder = "cifar-100-binary",
    .archive = "cifar-100-binary.tar.gz",
    .train = "train.bin",
    .test = "test.bin",
    .meta = "fine_label_names.txt",
    .classes = 100,
    .label_bytes = 2,
    .mean = {.5071f, .4865f, .4409f},
    .deviation = {.2673f, .2564f, .2762f},
    .class_names = names100,
};
