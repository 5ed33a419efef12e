/* What conv_forward and conv_data share: each output pixel gathers its taps (cl/conv_gather.cl, cl/conv_direct.cl).
 *
 * Forward, output pixel (y, x) and tap (kh, kw) read the input pixel (stride*y - pad + kh, ...). Data with stride s
 * falls apart into s*s classes by (y mod s, x mod s): those pixels of dX have the taps kh = (y + pad) mod s, + s, + 2s,
 * ... and no others, so that each class is a dense gather of dY, with no multiplication by inserted zeros. */
#ifndef WALSH_ENGINE_OP_CONV_GATHER_H
#define WALSH_ENGINE_OP_CONV_GATHER_H

#include "engine/op/conv.h"

/* What differs between rows and columns. */
typedef struct walsh_gather_axis {
    int in, out;         /* pixels of the gathered and of the written image */
    int first, count;    /* written pixels: first, first + out_step, ...: count of them */
    int in_first;        /* the first tap of the q-th written pixel reads pixel in_step*q + in_first, the next one the
                            pixel after it, ... */
    int tap_first, taps; /* the packed taps that are used: tap_first, tap_first + tap_by, ...: taps of them */
} walsh_gather_axis;

typedef struct walsh_gather {
    walsh_gather_axis y, x;
    int in_step, out_step, tap_by;
    int images;
    int kh, kw;  /* the filter that was packed */
    int in, out; /* channels, padded */
    int accumulate;
    const walsh_view *bias; /* [out], or absent */
    double flops, bytes;    /* for profiles */
} walsh_gather;

/* How the packing reads W: element (tap, in, out) at first + tap*by_tap + in*by_in + out*by_out. Taps are packed in the
 * order of the pixels that they read, which in data is against that of W. */
typedef struct walsh_gather_weights {
    const walsh_view *w;
    int first, taps, in, out, by_tap, by_in, by_out;
} walsh_gather_weights;

/* How packed weights lie: blocks of `block` output channels one after the other, [block][tap][in][block]; or
 * interleaved, [tap][in][blocks*block]. A zero pixel comes before them. */
typedef struct walsh_packing {
    int block;
    bool interleaved;
} walsh_packing;

/* What walsh_gather_emit reads. */
walsh_packing walsh_gather_packing(const walsh_device *device);

/* Bytes of workspace for the packed weights of `taps` taps, in blocks of at most WALSH_PACKED_BLOCK. */
enum { WALSH_PACKED_BLOCK = 16 };
size_t walsh_packed_bytes(int taps, int in, int out);

/* Appends the launch that packs the weights into the workspace, and the plain one that gathers with packed weights. */
walsh_status walsh_gather_pack(walsh_list *list, walsh_packing packing, const walsh_gather_weights *weights,
                               const walsh_view *packed);
walsh_status walsh_gather_emit(walsh_list *list, const walsh_gather *gather, const walsh_view *x,
                               const walsh_view *packed, const walsh_view *y);

#endif
