/* What distinguishes CIFAR-10 from CIFAR-100. */
#ifndef WALSH_ENGINE_DATA_CIFAR_VERSIONS_H
#define WALSH_ENGINE_DATA_CIFAR_VERSIONS_H

struct walsh_cifar_version {
    const char *name;
    const char *folder, *archive; /* official names */
    const char *train, *test;     /* file names; '#' stands for a number from 1 on */
    const char *meta;             /* class names, one a line */
    int classes;
    int label_bytes; /* before the pixels; the last of them is the label */
    float mean[3], deviation[3];
    const char *const *class_names; /* [classes]: used where `meta` is absent */
};

extern const struct walsh_cifar_version walsh_cifar10, walsh_cifar100;

#endif
