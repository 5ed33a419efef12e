#include "engine/op/lanes.h"

#include "engine/op/channels.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_lanes_problem *p = problem;
    WALSH_TRY(walsh_channels_check("lanes", p->rows, 1, 1, p->in < p->out ? p->in : p->out));
    for (int i = 0; i < WALSH_LANE_RUNS; i++) {
        const walsh_lane_run *r = &p->run[i];
        if (r->count < 0 || r->from < 0 || r->to < 0 || r->from > p->in - r->count || r->to > p->out - r->count)
            WALSH_FAIL(WALSH_E_ARGUMENT, "lanes: %d channels from %d to %d do not lie within %d and %d", r->count,
                       r->from, r->to, p->in, p->out);
    }
    operand[WALSH_LANES_X] = walsh_shape_matrix(p->rows, p->in);
    operand[WALSH_LANES_Y] = walsh_shape_matrix(p->rows, p->out);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_lanes_problem *p = problem;
    *flops = 0;
    *bytes = 4.0 * p->rows * (p->in + p->out);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    (void)workspace;
    const walsh_lanes_problem *p = problem;
    const walsh_lane_run *r = p->run;
    const walsh_view *x = &operand[WALSH_LANES_X], *y = &operand[WALSH_LANES_Y];
    walsh_launch launch = {.file = "lanes",
                           .function = "lanes_plain",
                           .global = {((size_t)walsh_pad(p->out) + 63) / 64 * 64, (size_t)p->rows},
                           .local = {64, 1}};
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_INT(x->shape.pitch),
                        WALSH_INT(y->shape.pitch), WALSH_INT(walsh_pad(p->out)), WALSH_INT(r[0].from),
                        WALSH_INT(r[0].to), WALSH_INT(r[0].count), WALSH_INT(r[1].from), WALSH_INT(r[1].to),
                        WALSH_INT(r[1].count), WALSH_INT(r[2].from), WALSH_INT(r[2].to), WALSH_INT(r[2].count),
                        WALSH_INT(r[3].from), WALSH_INT(r[3].to), WALSH_INT(r[3].count));
}

static const walsh_variant plain = {.name = "lanes_plain", .suits = suits, .emit = emit};

const walsh_op walsh_lanes = {
    .name = "lanes",
    .problem_size = sizeof(walsh_lanes_problem),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
