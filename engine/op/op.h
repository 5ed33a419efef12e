/* The contract of an operation.
 *
 * An operation is described once, by a walsh_op: its operands and their shapes, what it costs, and its variants. That
 * one description drives the plan (which variant, how much memory), the checks, the benchmarks and the profiles.
 *
 * A *problem* is a plain struct that says which instance of the operation is meant (sizes, strides, flags); it begins
 * with `unsigned fuse`, the WALSH_FUSE_* extras that are asked of it. A *variant* is one way to compute it, and
 * declares which extras it can fuse. Who builds a plan asks for a fused problem first and adds a pass of its own where
 * no variant takes it (walsh_op_can). Each operation's last variant is the plain one: it applies everywhere and is the
 * oracle. */
#ifndef WALSH_ENGINE_OP_OP_H
#define WALSH_ENGINE_OP_OP_H

#include "engine/device/list.h"
#include "engine/device/view.h"

enum { WALSH_MAX_OPERANDS = 10 };

/* Extras that a variant may fuse. An operation's header says which operands each of them adds. */
enum {
    WALSH_FUSE_BIAS = 1,           /* epilogue: + bias[channel] */
    WALSH_FUSE_ACCUMULATE = 2,     /* epilogue: the output operand is added to, not overwritten */
    WALSH_FUSE_STATS = 4,          /* epilogue: batch-norm partial statistics of the output */
    WALSH_FUSE_AFFINE = 8,         /* prologue: the input is relu(scale[channel]*x + shift[channel]), stored nowhere */
    WALSH_FUSE_NORM_GRADIENT = 16, /* prologue: the gradient that comes in is still to go back through a batch norm */
    WALSH_FUSE_NORM_SUMS = 32,     /* epilogue: a ReLU's mask on the output, and the sums that a batch norm behind it
                                      needs on the way back */
    WALSH_FUSE_NORMALISE = 64,     /* epilogue: the output goes through a batch norm whose statistics are known before,
                                      an addition and a ReLU */
    WALSH_FUSE_COLUMN_SUMS = 128,  /* epilogue: the sum of the output's rows, which is a bias's gradient */
};

typedef enum walsh_role { WALSH_READ, WALSH_WRITE, WALSH_UPDATE } walsh_role;

typedef struct walsh_operand {
    const char *name; /* "x", for messages */
    walsh_role role;
} walsh_operand;

typedef struct walsh_variant {
    const char *name; /* of its own over all operations: what WALSH_DISABLE takes */
    unsigned fuses;   /* WALSH_FUSE_* that it can take on, in any combination */
    /* 0 if it cannot compute this problem on this device; else how well it suits it: the highest is chosen by rule.
     * The plain variant answers 1, or 2 where another one shall not be chosen by rule and answers 1. */
    int (*suits)(const walsh_device *device, const void *problem);
    /* Bytes of scratch memory it needs during its own launches; NULL: none. */
    size_t (*workspace)(const walsh_device *device, const void *problem);
    /* Appends its launches, but for pack's. `operand` are views as in walsh_op.operands; `workspace` is an F32 vector
     * view. */
    walsh_status (*emit)(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace);
    /* The part of the work that depends on the operands in `packs` alone (bit i: operand i): appends launches that fill
     * some of the workspace from them, which emit's launches, coming later, read but do not change. Where these operands
     * are constant a plan runs it once. NULL: there is no such part. */
    walsh_status (*pack)(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace);
    unsigned packs;
    bool starts_slowly; /* its first use may take many seconds, so that tuning tries it last */
    bool approximate;   /* its error is larger than rounding makes it: a device that is to be exact does without */
} walsh_variant;

typedef struct walsh_op {
    const char *name;    /* "conv_forward": also its files, engine/op/conv_forward.c, cl/conv_forward.cl */
    size_t problem_size; /* bytes of the problem struct */
    walsh_operand operands[WALSH_MAX_OPERANDS + 1]; /* ended by a NULL name */
    /* The shape rules: checks the problem and writes the shape of every operand (walsh_shape_absent for optional ones
     * that this problem does not have). Fails with WALSH_E_ARGUMENT. Pitches are the densest; a view may be wider. */
    walsh_status (*shapes)(const void *problem, walsh_shape *operand);
    /* Useful floating-point operations (a fused multiply-add counts two) and bytes that must move at least. */
    void (*cost)(const void *problem, double *flops, double *bytes);
    const walsh_variant *const *variants; /* ended by NULL; the plain one last */
} walsh_op;

/* Appends all launches of a variant: pack's, and then emit's. */
walsh_status walsh_variant_emit(const walsh_variant *variant, walsh_list *list, const void *problem,
                                const walsh_view *operand, const walsh_view *workspace);

/* Number of operands. */
int walsh_op_operands(const walsh_op *op);

/* The shape of one operand, absent where the problem is not valid. */
walsh_shape walsh_op_shape(const walsh_op *op, const void *problem, int operand);

/* The variant that the rule chooses: the highest `suits` among those that $WALSH_DISABLE (names, comma-separated) does
 * not name and that fuse what the problem asks for; the first in the table among equals. The plain variant cannot be
 * disabled. Fails with WALSH_E_ARGUMENT where the problem asks for a fusion that no variant has. */
walsh_status walsh_op_choose(const walsh_device *device, const walsh_op *op, const void *problem,
                             const walsh_variant **variant);

/* Whether a variant may compute a problem: it suits the device, fuses the extras, and is not disabled. */
bool walsh_op_takes(const walsh_device *device, const walsh_op *op, const walsh_variant *variant, const void *problem);

/* The variant of that name, or NULL. */
const walsh_variant *walsh_op_variant(const walsh_op *op, const char *name);

/* Whether some variant would be chosen: with the extras in problem->fuse. */
bool walsh_op_can(const walsh_device *device, const walsh_op *op, const void *problem);

/* Checks that the views fit the problem's shapes: same sizes and type, pitch at least the dense one. */
walsh_status walsh_op_check(const walsh_op *op, const void *problem, const walsh_view *operand);

#endif
