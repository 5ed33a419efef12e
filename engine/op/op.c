#include "engine/op/op.h"

#include <stdlib.h>
#include <string.h>

walsh_status walsh_variant_emit(const walsh_variant *variant, walsh_list *list, const void *problem,
                                const walsh_view *operand, const walsh_view *workspace)
{
    if (variant->pack) WALSH_TRY(variant->pack(list, problem, operand, workspace));
    return variant->emit(list, problem, operand, workspace);
}

int walsh_op_operands(const walsh_op *op)
{
    int n = 0;
    while (op->operands[n].name) n++;
    return n;
}

walsh_shape walsh_op_shape(const walsh_op *op, const void *problem, int operand)
{
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    return op->shapes(problem, shapes) ? walsh_shape_absent : shapes[operand];
}

static bool is_disabled(const char *name)
{
    const char *list = getenv("WALSH_DISABLE");
    size_t n = strlen(name);
    while (list && *list) {
        size_t item = strcspn(list, ",");
        if (item == n && !strncmp(list, name, n)) return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* How well a variant suits a problem, extras and $WALSH_DISABLE considered; 0: not at all. */
static int suitability(const walsh_device *device, const walsh_op *op, const walsh_variant *variant,
                       const void *problem)
{
    unsigned wanted = *(const unsigned *)problem; /* every problem begins with its `fuse` */
    const walsh_variant *const *last = op->variants;
    while (last[1]) last++;
    if ((wanted & ~variant->fuses) || (variant != *last && is_disabled(variant->name))) return 0;
    if (variant->approximate && device->exact) return 0;
    return variant->suits(device, problem);
}

bool walsh_op_takes(const walsh_device *device, const walsh_op *op, const walsh_variant *variant, const void *problem)
{
    return suitability(device, op, variant, problem) > 0;
}

const walsh_variant *walsh_op_variant(const walsh_op *op, const char *name)
{
    const walsh_variant *const *v = op->variants;
    while (*v && strcmp((*v)->name, name)) v++;
    return *v;
}

static const walsh_variant *best(const walsh_device *device, const walsh_op *op, const void *problem)
{
    const walsh_variant *chosen = NULL;
    int most = 0;
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        int suits = suitability(device, op, *v, problem);
        if (suits > most) most = suits, chosen = *v;
    }
    return chosen;
}

walsh_status walsh_op_choose(const walsh_device *device, const walsh_op *op, const void *problem,
                             const walsh_variant **variant)
{
    *variant = best(device, op, problem);
    if (!*variant)
        WALSH_FAIL(WALSH_E_ARGUMENT, "no variant of %s takes this problem (fused extras 0x%x)", op->name,
                   *(const unsigned *)problem);
    return WALSH_OK;
}

bool walsh_op_can(const walsh_device *device, const walsh_op *op, const void *problem)
{
    return best(device, op, problem);
}

walsh_status walsh_op_check(const walsh_op *op, const void *problem, const walsh_view *operand)
{
    walsh_shape want[WALSH_MAX_OPERANDS];
    WALSH_TRY(op->shapes(problem, want));
    for (int i = 0; op->operands[i].name; i++) {
        walsh_shape w = want[i], have = operand[i].shape;
        char expected[48], found[48];
        bool fits = w.n == have.n && w.h == have.h && w.w == have.w && w.c == have.c && w.type == have.type &&
                    have.pitch >= w.pitch && (!walsh_type_is_padded(w.type) || have.pitch % 4 == 0) &&
                    operand[i].offset % 4 == 0;
        if (!fits && !(walsh_shape_is_absent(w) && walsh_shape_is_absent(have)))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: operand %s is %s, expected %s", op->name, op->operands[i].name,
                       walsh_shape_text(have, found), walsh_shape_text(w, expected));
    }
    return WALSH_OK;
}
