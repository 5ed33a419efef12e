#include "engine/op/conv_finish.h"

#include "engine/op/batchnorm.h"

/* cl/conv_epilogue.clh's; SUMS is followed by the gate, NORMALISE may be by either or both, added to it. */
enum { STORE_ONLY, STATISTICS, SUMS, NORMALISE = SUMS + WALSH_GATE_SCALED + 1, AND_RELU = 1, AND_ADD = 2 };

bool walsh_finish_knows(const walsh_conv *c)
{
    return !(c->fuse & WALSH_FUSE_NORM_SUMS) || c->gate != WALSH_GATE_SCALED;
}

int walsh_finish_of(const walsh_conv *c)
{
    if (c->fuse & WALSH_FUSE_NORM_SUMS) return SUMS + c->gate;
    if (c->fuse & WALSH_FUSE_NORMALISE) return NORMALISE + (c->relu ? AND_RELU : 0) + (c->add ? AND_ADD : 0);
    return c->fuse & WALSH_FUSE_STATS ? STATISTICS : STORE_ONLY;
}

walsh_status walsh_finish_statistics(walsh_list *list, const walsh_conv *c, const walsh_view *y,
                                     const walsh_view *partial)
{
    if (!(c->fuse & WALSH_FUSE_STATS) || !walsh_tiles_are_gpu(walsh_list_device(list)->tiles)) return WALSH_OK;
    const walsh_bn p = {.n = c->n, .h = walsh_conv_oh(c), .w = walsh_conv_ow(c), .c = c->oc};
    const walsh_view operand[WALSH_BN_STATS_OPERANDS] = {[WALSH_BN_STATS_X] = *y, [WALSH_BN_STATS_PARTIAL] = *partial};
    return walsh_bn_stats.variants[0]->emit(list, &p, operand, NULL);
}
