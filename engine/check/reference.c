#include "engine/check/reference.h"

#include <string.h>

const walsh_reference *walsh_reference_of(const walsh_op *op)
{
    static const walsh_reference *const tables[] = {walsh_reference_convolutions, walsh_reference_norms,
                                                    walsh_reference_pools, walsh_reference_rows, walsh_reference_heads};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const walsh_reference *r = tables[i]; r->op; r++)
            if (!strcmp(r->op->name, op->name)) return r;
    return NULL;
}
