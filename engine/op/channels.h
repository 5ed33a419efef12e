/* The launch geometry of kernels that keep channels apart: normalisation, pooling, elementwise.
 *
 * Dimension 0 counts vectors of VW channels, dimension 1 rows. On CPUs a work-item takes wide vectors and many rows,
 * of elementwise kernels with all their channels, and is a work-group alone; on GPUs neighbouring work-items take
 * neighbouring float4s of a row, and the work-group's dimension 1 is its *lanes*, which share the rows among them. */
#ifndef WALSH_ENGINE_OP_CHANNELS_H
#define WALSH_ENGINE_OP_CHANNELS_H

#include "engine/device/list.h"

typedef struct walsh_channels {
    const char *options; /* -DVW=..., and -DGROUPED=1 where there may be more than one lane */
    int vectors;         /* that cover walsh_pad(c) channels exactly */
    int across;          /* work-items that a row takes in elementwise kernels */
    int each;            /* rows a work-item takes in elementwise kernels */
    size_t local[2];     /* vectors and lanes of a work-group; lanes are a power of two */
} walsh_channels;

/* Fails with WALSH_E_ARGUMENT, in the name of `op`, unless every size is at least 1 and there are at most 2^30 rows
 * (kernels count rows in int). */
walsh_status walsh_channels_check(const char *op, int n, int h, int w, int c);

/* A function of the device's tiles and of c alone. */
walsh_channels walsh_channels_for(const walsh_device *device, int c);

/* A launch of `across` work-items for each `each` rows; file, function and cost are left to fill in. */
walsh_launch walsh_channels_rows(const walsh_channels *channels, size_t rows);

/* A launch of one work-group for each `local[0]` vectors of each group of rows, which its lanes share. */
walsh_launch walsh_channels_groups(const walsh_channels *channels, size_t groups);

#endif
