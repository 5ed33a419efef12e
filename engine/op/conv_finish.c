#include "engine/op/conv_finish.h"

/* NORMALISE may be followed by either or both, added to it. */
enum {
    STORE_ONLY,
    STATISTICS,
    SUMS_GATE_COMPUTED,
    SUMS_GATE_STORED,
    SUMS_GATE_OPEN,
    NORMALISE = 6,
    AND_RELU = 1,
    AND_ADD = 2
};

bool walsh_finish_knows(const walsh_conv *c)
{
    return !(c->fuse & WALSH_FUSE_NORM_SUMS) || c->gate != WALSH_GATE_SCALED;
}

int walsh_finish_of(const walsh_conv *c)
{
    static const int gates[] = {[WALSH_GATE_COMPUTED] = SUMS_GATE_COMPUTED,
                                [WALSH_GATE_STORED] = SUMS_GATE_STORED,
                                [WALSH_GATE_OPEN] = SUMS_GATE_OPEN};
    if (c->fuse & WALSH_FUSE_NORM_SUMS) return gates[c->gate];
    if (c->fuse & WALSH_FUSE_NORMALISE) return NORMALISE + (c->relu ? AND_RELU : 0) + (c->add ? AND_ADD : 0);
    return c->fuse & WALSH_FUSE_STATS ? STATISTICS : STORE_ONLY;
}
