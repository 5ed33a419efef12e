/* Graphs become plans: gradients of whole small networks against finite differences of their own forward pass, and
 * evaluation with everything fused against evaluation pass by pass, for every way in which layers can meet (fused or
 * not, one reader or several). */
#include "tests/op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/nn/lower.h"
#include "engine/op/add.h"
#include "engine/op/batchnorm.h"
#include "engine/op/conv.h"
#include "engine/op/relu.h"

enum { BATCH = 4, SIZE = 6, CHANNELS = 3 };

typedef void (*builder)(walsh_graph *graph);

/* A graph on the device with a plan that leaves the features where they can be read, and the gradient of
 * loss = sum(features * direction) in the parameters' gradient buffer. */
typedef struct net {
    walsh_graph *graph;
    walsh_plan *plan;
    walsh_arena *arena;
    walsh_tensor *image, *features, *direction, *zero;
    size_t count;     /* features of the batch */
    float *weighting; /* [count] the direction on the host */
} net;

static void fill(walsh_tensor *tensor, uint64_t seed, float *copy)
{
    size_t n = walsh_shape_rows(tensor->view.shape) * (size_t)tensor->view.shape.c;
    float *values = op_floats(n);
    for (size_t i = 0; i < n; i++) values[i] = (float)walsh_rng_normal((walsh_rng){seed, 0}, i);
    if (copy) memcpy(copy, values, n * sizeof *copy);
    assert_ok(walsh_tensor_upload(tensor, values));
    free(values);
}

static void open_net(net *n, builder build, bool train)
{
    walsh_device *device = op_device();
    walsh_lowering *lowering = NULL;
    *n = (net){0};
    assert_ok(walsh_graph_create(SIZE, SIZE, CHANNELS, &n->graph));
    build(n->graph);
    assert_ok(walsh_graph_check(n->graph));
    assert_ok(walsh_parameters_allocate(walsh_graph_parameters(n->graph), device, true));
    assert_ok(walsh_parameters_initialise(walsh_graph_parameters(n->graph), 5));
    int c = walsh_graph_features(n->graph);
    n->count = BATCH * (size_t)c;
    n->weighting = op_floats(n->count);
    assert_ok(walsh_tensor_create(device, BATCH, SIZE, SIZE, CHANNELS, &n->image));
    assert_ok(walsh_tensor_create(device, BATCH, 1, 1, c, &n->features));
    assert_ok(walsh_tensor_create(device, BATCH, 1, 1, c, &n->direction));
    assert_ok(walsh_tensor_create(device, BATCH, 1, 1, c, &n->zero));
    fill(n->image, 1, NULL);
    fill(n->direction, 2, n->weighting);
    assert_ok(walsh_plan_create(device, &n->plan));
    assert_ok(walsh_lowering_create(n->plan, n->graph, BATCH, train, &lowering));
    walsh_value features = walsh_lower_forward(lowering, walsh_plan_bind(n->plan, &n->image->view));
    walsh_add_problem copy = {.n = BATCH, .h = 1, .w = 1, .c = c};
    const walsh_value operands[] = {features, walsh_plan_bind(n->plan, &n->zero->view),
                                    walsh_plan_bind(n->plan, &n->features->view)};
    walsh_plan_add(n->plan, "copy", &walsh_add, &copy, operands);
    if (train) walsh_lower_backward(lowering, walsh_plan_bind(n->plan, &n->direction->view));
    walsh_lowering_destroy(&lowering);
    assert_ok(walsh_arena_create(device, &n->arena));
    assert_ok(walsh_plan_layout(n->plan, n->arena));
    assert_ok(walsh_arena_commit(n->arena));
    assert_ok(walsh_plan_emit(n->plan, n->arena));
}

static double loss_of(net *n)
{
    float *features = op_floats(n->count);
    double loss = 0;
    fill(n->direction, 2, NULL); /* the backward pass may use its memory */
    assert_ok(walsh_plan_run(n->plan));
    assert_ok(walsh_tensor_download(n->features, features));
    for (size_t i = 0; i < n->count; i++) loss += (double)features[i] * n->weighting[i];
    free(features);
    return loss;
}

static void close_net(net *n)
{
    walsh_plan_destroy(&n->plan);
    walsh_arena_destroy(&n->arena);
    walsh_graph_destroy(&n->graph);
    walsh_tensor_destroy(&n->image), walsh_tensor_destroy(&n->features);
    walsh_tensor_destroy(&n->direction), walsh_tensor_destroy(&n->zero);
    free(n->weighting);
}

/* The loss along a random direction in the space of one parameter: its slope against the gradient's projection. */
static void check_parameter(net *n, int index)
{
    walsh_parameters *parameters = walsh_graph_parameters(n->graph);
    const walsh_parameter *p = walsh_parameters_at(parameters, index);
    size_t extent = walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS), elements = walsh_parameter_elements(p);
    float *weights = op_floats(extent), *moved = op_floats(extent), *gradient = op_floats(extent),
          *dense = op_floats(elements);
    loss_of(n);
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_WEIGHTS, weights, NULL));
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_GRADIENT, gradient, NULL));
    double slope = 0, scale = 0, sides[2];
    const double step = 2e-4;
    walsh_parameter_pack(p, gradient, dense);
    for (size_t i = 0; i < elements; i++) {
        double along = walsh_rng_normal((walsh_rng){3, (uint64_t)index}, i);
        slope += along * dense[i];
        scale += fabs(along * dense[i]);
    }
    for (int side = 0; side < 2; side++) {
        walsh_parameter_pack(p, weights, dense);
        for (size_t i = 0; i < elements; i++)
            dense[i] += (float)((side ? -step : step) * walsh_rng_normal((walsh_rng){3, (uint64_t)index}, i));
        memcpy(moved, weights, extent * sizeof *moved);
        walsh_parameter_unpack(p, dense, moved);
        assert_ok(walsh_parameters_write(parameters, WALSH_COPY_WEIGHTS, moved));
        sides[side] = loss_of(n);
    }
    assert_ok(walsh_parameters_write(parameters, WALSH_COPY_WEIGHTS, weights));
    double measured = (sides[0] - sides[1]) / (2 * step);
    /* Float32 losses of size ~10 differ by 1e-6 relative at best, and ReLUs bend: a few per cent of the gradient's
     * size. */
    if (!(fabs(measured - slope) < 0.03 * scale + 2e-2))
        fail_msg("%s: slope %g by differences, %g by the backward pass (size %g)", p->name, measured, slope, scale);
    free(weights), free(moved), free(gradient), free(dense);
}

static void check_gradients(builder build)
{
    net n;
    open_net(&n, build, true);
    walsh_parameters *parameters = walsh_graph_parameters(n.graph);
    for (int i = 0; i < walsh_parameters_count(parameters); i++)
        if (walsh_parameters_at(parameters, i)->role == WALSH_ROLE_TRAINED) check_parameter(&n, i);
    close_net(&n);
}

static void global(walsh_graph *g, walsh_node x)
{
    walsh_graph_pool(g, WALSH_POOL_GLOBAL, x, 0, 0, 0);
}

/* conv - bn - relu, twice, with an identity shortcut: everything fuses. */
static void residual_block(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, walsh_graph_batchnorm(g, "b1", walsh_graph_conv(g, "c1", 0, 5, 3, 1, 1)));
    walsh_node y = walsh_graph_batchnorm(g, "b2", walsh_graph_conv(g, "c2", x, 5, 3, 1, 1));
    global(g, walsh_graph_relu(g, walsh_graph_add(g, y, x)));
}

/* A strided block whose shortcut is normalised too; the sum named in either order. */
static void projected_block(walsh_graph *g)
{
    walsh_node x = walsh_graph_conv(g, "c0", 0, 4, 3, 1, 1);
    walsh_node y = walsh_graph_batchnorm(g, "b1", walsh_graph_conv(g, "c1", x, 6, 3, 2, 1));
    walsh_node s = walsh_graph_batchnorm(g, "bs", walsh_graph_conv(g, "cs", x, 6, 1, 2, 0));
    global(g, walsh_graph_relu(g, walsh_graph_add(g, s, y)));
}

/* Nothing fuses: a bare ReLU, an addition of bare convolutions, a batch norm with two readers. */
static void bare_layers(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, walsh_graph_conv(g, "c1", 0, 4, 3, 1, 1));
    walsh_node a = walsh_graph_conv(g, "ca", x, 5, 1, 1, 0), b = walsh_graph_conv(g, "cb", x, 5, 3, 1, 1);
    walsh_node n = walsh_graph_batchnorm(g, "bn", walsh_graph_add(g, a, b));
    walsh_node m = walsh_graph_conv(g, "cm", n, 5, 3, 1, 1);
    global(g, walsh_graph_add(g, m, n));
}

/* A sum without ReLU that feeds a convolution and the next sum; the shortcut first. */
static void sums_of_sums(walsh_graph *g)
{
    walsh_node x = walsh_graph_batchnorm(g, "b0", walsh_graph_conv(g, "c0", 0, 8, 3, 1, 1));
    walsh_node s = walsh_graph_add(g, x, walsh_graph_batchnorm(g, "b1", walsh_graph_conv(g, "c1", 0, 8, 1, 1, 0)));
    walsh_node t = walsh_graph_add(g, s, walsh_graph_batchnorm(g, "b2", walsh_graph_conv(g, "c2", s, 8, 3, 1, 1)));
    global(g, walsh_graph_relu(g, t));
}

/* Pools whose input has other readers, so that gradients meet in one tensor. */
static void pools(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, walsh_graph_batchnorm(g, "b0", walsh_graph_conv(g, "c0", 0, 6, 3, 1, 1)));
    walsh_node m = walsh_graph_pool(g, WALSH_POOL_MAX, x, 3, 2, 1);
    walsh_node a = walsh_graph_pool(g, WALSH_POOL_AVERAGE, x, 2, 2, 0);
    walsh_node c = walsh_graph_conv(g, "c1", x, 6, 3, 2, 1);
    global(g, walsh_graph_add(g, walsh_graph_add(g, m, a), c));
}

static walsh_node conv_bn(walsh_graph *g, const char *conv, const char *bn, walsh_node x, int c, int side, int stride)
{
    return walsh_graph_batchnorm(g, bn, walsh_graph_conv(g, conv, x, c, side, stride, side / 2));
}

/* Blocks as in a ResNet: identity shortcut, then a strided one with a projection, then identity again. */
static void residual_stages(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 5, 3, 1));
    walsh_node y = walsh_graph_relu(g, conv_bn(g, "c1", "b1", x, 5, 3, 1));
    x = walsh_graph_relu(g, walsh_graph_add(g, conv_bn(g, "c2", "b2", y, 5, 3, 1), x));
    y = walsh_graph_relu(g, conv_bn(g, "c3", "b3", x, 6, 3, 2));
    y = conv_bn(g, "c4", "b4", y, 6, 3, 1);
    x = walsh_graph_relu(g, walsh_graph_add(g, y, conv_bn(g, "cs", "bs", x, 6, 1, 2)));
    y = walsh_graph_relu(g, conv_bn(g, "c5", "b5", x, 6, 3, 1));
    global(g, walsh_graph_relu(g, walsh_graph_add(g, conv_bn(g, "c6", "b6", y, 6, 3, 1), x)));
}

/* Batch norm and ReLU before the convolution: what a batch norm reads has other readers, or is no convolution. */
static void preactivation(walsh_graph *g)
{
    walsh_node x = walsh_graph_conv(g, "c0", 0, 5, 3, 1, 1);
    for (int i = 0; i < 2; i++) {
        walsh_node a = walsh_graph_relu(g, walsh_graph_batchnorm(g, i ? "b2" : "b1", x));
        x = walsh_graph_add(g, walsh_graph_conv(g, i ? "c2" : "c1", a, 5, 3, 1, 1), x);
    }
    global(g, walsh_graph_relu(g, walsh_graph_batchnorm(g, "b3", x)));
}

/* One convolution a block: it reads the gradient that the addition hands to its own input. */
static void short_blocks(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 6, 3, 1));
    x = walsh_graph_relu(g, walsh_graph_add(g, conv_bn(g, "c1", "b1", x, 6, 3, 1), x));
    x = walsh_graph_relu(g, walsh_graph_add(g, x, conv_bn(g, "c2", "b2", x, 6, 1, 1)));
    global(g, walsh_graph_add(g, x, x));
}

/* Two normalised branches of one input, which is also pooled; a join that two convolutions read. */
static void branches(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 4, 3, 1));
    walsh_node a = walsh_graph_add(g, conv_bn(g, "ca", "ba", x, 4, 3, 1), conv_bn(g, "cb", "bb", x, 4, 1, 1));
    walsh_node z = walsh_graph_relu(g, walsh_graph_add(g, walsh_graph_relu(g, a), x));
    walsh_node p = walsh_graph_relu(g, conv_bn(g, "cp", "bp", z, 6, 3, 2));
    walsh_node q = conv_bn(g, "cq", "bq", z, 6, 1, 2);
    walsh_node m = walsh_graph_conv(g, "cm", walsh_graph_pool(g, WALSH_POOL_MAX, x, 3, 2, 1), 6, 1, 1, 0);
    global(g, walsh_graph_add(g, walsh_graph_add(g, p, q), m));
}

/* A bottleneck layer of a dense block (Huang et al., 2017): x and what is made of it. */
static walsh_node dense_layer(walsh_graph *g, int i, walsh_node x, int growth)
{
    char name[4][16];
    for (int k = 0; k < 4; k++) snprintf(name[k], sizeof name[k], "%s%d", (const char *[]){"n", "c", "m", "d"}[k], i);
    walsh_node y = walsh_graph_conv(g, name[1], walsh_graph_relu(g, walsh_graph_batchnorm(g, name[0], x)), 8, 1, 1, 0);
    y = walsh_graph_conv(g, name[3], walsh_graph_relu(g, walsh_graph_batchnorm(g, name[2], y)), growth, 3, 1, 1);
    return walsh_graph_concat(g, x, y);
}

/* Two blocks with a transition; the second begins with a number of channels that leaves pad lanes within, so that the
 * features have holes. */
static void dense_blocks(walsh_graph *g)
{
    walsh_node x = walsh_graph_conv(g, "stem", 0, 8, 3, 1, 1);
    for (int i = 0; i < 2; i++) x = dense_layer(g, i, x, 4);
    x = walsh_graph_conv(g, "ct", walsh_graph_relu(g, walsh_graph_batchnorm(g, "nt", x)), 6, 1, 1, 0);
    x = walsh_graph_pool(g, WALSH_POOL_AVERAGE, x, 2, 2, 0);
    for (int i = 2; i < 5; i++) x = dense_layer(g, i, x, 5);
    global(g, walsh_graph_relu(g, walsh_graph_batchnorm(g, "nf", x)));
}

/* Pools that normalise what they read: an average with overlapping windows, and between blocks; the image's odd sizes
 * leave pixels that no window covers. */
static void pooled_blocks(walsh_graph *g)
{
    walsh_node x = dense_layer(g, 0, walsh_graph_conv(g, "stem", 0, 8, 3, 1, 1), 4);
    x = walsh_graph_pool(g, WALSH_POOL_AVERAGE, walsh_graph_relu(g, walsh_graph_batchnorm(g, "nt", x)), 3, 1, 0);
    x = dense_layer(g, 1, walsh_graph_conv(g, "ct", x, 6, 2, 1, 0), 5);
    x = walsh_graph_pool(g, WALSH_POOL_AVERAGE, walsh_graph_relu(g, walsh_graph_batchnorm(g, "nu", x)), 2, 2, 0);
    x = dense_layer(g, 2, walsh_graph_conv(g, "cu", x, 5, 1, 1, 0), 5);
    global(g, walsh_graph_relu(g, walsh_graph_batchnorm(g, "nf", x)));
}

/* A concatenation of a pool and a normalised branch behind a ReLU, as in ShuffleNet's strided units, and one of sums.
 */
static void joined_branches(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 6, 3, 1));
    walsh_node y = conv_bn(g, "c2", "b2", walsh_graph_relu(g, conv_bn(g, "c1", "b1", x, 5, 1, 1)), 7, 3, 2);
    walsh_node j = walsh_graph_relu(g, walsh_graph_concat(g, walsh_graph_pool(g, WALSH_POOL_AVERAGE, x, 3, 2, 1), y));
    walsh_node s = walsh_graph_add(g, conv_bn(g, "c3", "b3", j, 5, 1, 1), conv_bn(g, "c4", "b4", j, 5, 3, 1));
    global(g, walsh_graph_concat(g, walsh_graph_relu(g, walsh_graph_conv(g, "c5", j, 3, 1, 1, 0)), s));
}

/* What ImageNet's networks begin with: a maximum that alone reads a ReLU. */
static void stem(walsh_graph *g)
{
    walsh_node x =
        walsh_graph_pool(g, WALSH_POOL_MAX, walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 6, 3, 1)), 3, 2, 1);
    global(g, walsh_graph_add(g, conv_bn(g, "c1", "b1", x, 6, 3, 1), x));
}

static walsh_node conv_by(walsh_graph *g, const char *conv, const char *bn, walsh_node x, int c, int side, int stride,
                          int groups)
{
    return walsh_graph_batchnorm(g, bn, walsh_graph_conv_by(g, conv, x, c, side, stride, side / 2, groups));
}

/* ShuffleNet's units, of groups that no vector divides; a bias that no batch norm follows; a shuffle that a convolution
 * not by groups reads. */
static void shuffled_units(walsh_graph *g)
{
    walsh_node x = walsh_graph_relu(g, walsh_graph_conv_by(g, "c0", 0, 12, 3, 1, 1, 1));
    walsh_node y = walsh_graph_relu(g, conv_by(g, "c1", "b1", x, 18, 1, 1, 3));
    y = conv_by(g, "c2", "b2", walsh_graph_shuffle(g, y, 3), 18, 3, 2, 18);
    y = walsh_graph_relu(g, conv_by(g, "c3", "b3", y, 12, 1, 1, 3));
    x = walsh_graph_concat(g, walsh_graph_pool(g, WALSH_POOL_AVERAGE, x, 3, 2, 1), y);
    y = walsh_graph_shuffle(g, walsh_graph_relu(g, conv_by(g, "c4", "b4", x, 6, 1, 1, 3)), 3);
    y = conv_by(g, "c5", "b5", y, 6, 3, 1, 6);
    x = walsh_graph_relu(g, walsh_graph_add(g, conv_by(g, "c6", "b6", y, 24, 1, 1, 3), x));
    x = walsh_graph_shuffle(g, walsh_graph_relu(g, conv_by(g, "c7", "b7", x, 8, 3, 1, 2)), 4);
    global(g, walsh_graph_conv(g, "c8", x, 5, 1, 1, 0));
}

/* Bottlenecks whose sums are each made of the one before, which is not kept. */
static void chained_by(walsh_graph *g, int groups)
{
    static const char *const names[][3] = {{"r1", "e1", "n1"}, {"r2", "e2", "n2"}, {"r3", "e3", "n3"}, {"r4", "e4", "n4"}};
    walsh_node x = walsh_graph_relu(g, conv_bn(g, "c0", "b0", 0, 16, 3, 1));
    for (int i = 0; i < 4; i++) {
        walsh_node y = walsh_graph_conv_by(g, names[i][0], x, 8, 1, 1, 0, groups);
        y = conv_by(g, names[i][1], names[i][2], y, 16, 3, 1, groups);
        x = walsh_graph_relu(g, i % 2 ? walsh_graph_add(g, x, y) : walsh_graph_add(g, y, x));
    }
    global(g, x);
}
static void bottlenecks(walsh_graph *g)
{
    chained_by(g, 1);
}
static void grouped_bottlenecks(walsh_graph *g)
{
    chained_by(g, 2);
}

static const builder graphs[] = {residual_block,  projected_block, bare_layers,    sums_of_sums, pools,
                                 residual_stages, preactivation,   short_blocks,   branches,     dense_blocks,
                                 pooled_blocks,   joined_branches, shuffled_units, stem,         bottlenecks,
                                 grouped_bottlenecks};

static void gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) check_gradients(graphs[i]);
}

/* Calls `check` with only that variant disabled. */
static void without(const char *variant, void (*check)(void *), void *context)
{
    char *kept = getenv("WALSH_DISABLE") ? strdup(getenv("WALSH_DISABLE")) : NULL;
    setenv("WALSH_DISABLE", variant, 1);
    check(context);
    if (kept)
        setenv("WALSH_DISABLE", kept, 1);
    else
        unsetenv("WALSH_DISABLE");
    free(kept);
}

static void check_stages(void *context)
{
    (void)context;
    check_gradients(residual_stages);
    check_gradients(dense_blocks);
}

/* Whatever a variant does not fuse has passes of its own. */
static void gradients_without_some_variants(void **state)
{
    (void)state;
    without("conv_data_direct", check_stages, NULL);
    without("conv_filter_direct", check_stages, NULL);
    without("conv_forward_direct", check_stages, NULL);
}

/* Running statistics, gammas and betas as after some training. */
static void draw_parameters(net *n)
{
    walsh_parameters *parameters = walsh_graph_parameters(n->graph);
    size_t extent = walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS);
    float *weights = op_floats(extent), *dense = op_floats(extent);
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_WEIGHTS, weights, NULL));
    for (int i = 0; i < walsh_parameters_count(parameters); i++) {
        const walsh_parameter *p = walsh_parameters_at(parameters, i);
        size_t elements = walsh_parameter_elements(p);
        walsh_parameter_pack(p, weights, dense);
        for (size_t k = 0; k < elements; k++) dense[k] += 0.4f * walsh_rng_uniform((walsh_rng){7, (uint64_t)i}, k);
        walsh_parameter_unpack(p, dense, weights);
    }
    assert_ok(walsh_parameters_write(parameters, WALSH_COPY_WEIGHTS, weights));
    free(weights), free(dense);
}

typedef struct evaluated {
    builder build;
    float *features;
    size_t count;
} evaluated;

static void evaluate(void *context)
{
    evaluated *e = context;
    net n;
    open_net(&n, e->build, false);
    draw_parameters(&n);
    loss_of(&n);
    e->count = n.count;
    e->features = op_floats(n.count);
    assert_ok(walsh_tensor_download(n.features, e->features));
    close_net(&n);
}

/* Convolutions that normalise what they store give what passes of their own give. */
static void evaluation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        evaluated fused = {.build = graphs[i]}, apart = fused;
        evaluate(&fused);
        without("conv_forward_direct", evaluate, &apart);
        double size = 0, error = 0;
        for (size_t k = 0; k < fused.count; k++) {
            size = fmax(size, fabs(apart.features[k]));
            error = fmax(error, fabs(fused.features[k] - apart.features[k]));
        }
        if (!(error <= 2e-6 * size)) fail_msg("graph %zu: features of %g differ by %g", i, size, error);
        free(fused.features), free(apart.features);
    }
}

static int count_of(const walsh_plan *plan, const walsh_op *op)
{
    int count = 0;
    for (int i = 0; i < walsh_plan_count(plan); i++) count += walsh_plan_at(plan, i).op == op;
    return count;
}

/* Where convolutions can, they do what is elementwise on the way back: what is left is the mask of the last join, and
 * the sums of its batch norm and of the projection's. Of the three joins, that with the projection is not kept but
 * computed twice. A maximum goes through the ReLU and the batch norm before it. */
static void few_sweeps(void **state)
{
    (void)state;
    net n;
    walsh_conv c = {.n = BATCH, .h = SIZE, .w = SIZE, .ic = 5, .oc = 5, .kh = 3, .kw = 3, .stride = 1, .pad = 1};
    c.fuse = WALSH_FUSE_NORM_GRADIENT | WALSH_FUSE_NORM_SUMS | WALSH_FUSE_ACCUMULATE;
    if (!walsh_op_can(op_device(), &walsh_conv_data, &c)) skip();
    open_net(&n, residual_stages, true);
    assert_int_equal(count_of(n.plan, &walsh_relu_backward), 1);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_sums), 2);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_finalize), 8);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_apply), 0);
    /* And the first, whose readers are a join and a convolution. */
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 5);
    close_net(&n);
    open_net(&n, stem, true);
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 1);         /* the join's */
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_sums), 1); /* the join's */
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_apply), 0);
    close_net(&n);
}

/* The sums of bottlenecks are computed twice rather than kept, but for the last and for the stem's output; of grouped
 * ones each second. */
static void sums_again(void **state)
{
    (void)state;
    net n;
    open_net(&n, bottlenecks, true);
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 1 + 3 * 2 + 1);
    close_net(&n);
    open_net(&n, grouped_bottlenecks, true);
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 1 + 2 * 2 + 1 + 1);
    close_net(&n);
}

/* Where convolutions can, they take a dense layer's gradient through its first batch norm into the block's, as pools
 * do: what is left is the rest of the gradient of the pool that begins the second block. */
static void few_sweeps_of_dense_blocks(void **state)
{
    (void)state;
    net n;
    walsh_conv c = {.n = BATCH, .h = SIZE, .w = SIZE, .ic = 5, .oc = 5, .kh = 3, .kw = 3, .stride = 1, .pad = 1};
    c.fuse = WALSH_FUSE_NORM_GRADIENT | WALSH_FUSE_NORM_SUMS | WALSH_FUSE_ACCUMULATE;
    c.gate = WALSH_GATE_SCALED;
    if (!walsh_op_can(op_device(), &walsh_conv_data, &c)) skip();
    open_net(&n, dense_blocks, true);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_sums), 0);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_apply), 1);
    assert_int_equal(count_of(n.plan, &walsh_add), 1); /* the test's own */
    close_net(&n);
    open_net(&n, pooled_blocks, true);
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 0);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_sums), 0);
    assert_int_equal(count_of(n.plan, &walsh_bn_backward_apply), 0);
    close_net(&n);
}

/* Where convolutions can, they do all that is elementwise in evaluation. */
static void no_sweeps_in_evaluation(void **state)
{
    (void)state;
    net n;
    walsh_conv c = {.n = BATCH, .h = SIZE, .w = SIZE, .ic = 5, .oc = 5, .kh = 3, .kw = 3, .stride = 1, .pad = 1};
    c.fuse = WALSH_FUSE_NORMALISE;
    if (!walsh_op_can(op_device(), &walsh_conv_forward, &c)) skip();
    open_net(&n, residual_stages, false);
    assert_int_equal(count_of(n.plan, &walsh_conv_forward), 8);
    assert_int_equal(count_of(n.plan, &walsh_bn_eval), 8);
    assert_int_equal(count_of(n.plan, &walsh_bn_apply), 0);
    assert_int_equal(count_of(n.plan, &walsh_add), 1); /* the test's own */
    close_net(&n);
}

static void graphs_that_cannot_be(void **state)
{
    (void)state;
    walsh_graph *g = NULL;
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    walsh_node a = walsh_graph_conv(g, "a", 0, 4, 3, 1, 1), b = walsh_graph_conv(g, "b", 0, 5, 3, 1, 1);
    assert_int_equal(walsh_graph_add(g, a, b), -1);
    assert_int_equal(walsh_graph_relu(g, b), -1); /* the first failure stays */
    assert_fails(WALSH_E_ARGUMENT, "cannot add a (8x8x4) and b (8x8x5)", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    walsh_graph_conv(g, "same", walsh_graph_conv(g, "same", 0, 4, 3, 1, 1), 4, 3, 1, 1);
    assert_fails(WALSH_E_ARGUMENT, "same.weight", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    a = walsh_graph_conv(g, "a", 0, 4, 3, 1, 1), b = walsh_graph_conv(g, "b", 0, 4, 3, 2, 1);
    assert_int_equal(walsh_graph_concat(g, a, b), -1);
    assert_fails(WALSH_E_ARGUMENT, "cannot concatenate a (8x8x4) and b (4x4x4)", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    a = walsh_graph_conv(g, "a", 0, 4, 3, 1, 1), b = walsh_graph_conv(g, "b", 0, 4, 3, 1, 1);
    walsh_graph_concat(g, walsh_graph_concat(g, a, b), a);
    assert_fails(WALSH_E_ARGUMENT, "concat and a", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    a = walsh_graph_shuffle(g, walsh_graph_conv(g, "a", 0, 12, 3, 1, 1), 3);
    walsh_graph_conv_by(g, "b", a, 4, 1, 1, 0, 4);
    walsh_graph_conv_by(g, "c", a, 4, 1, 1, 0, 2);
    assert_fails(WALSH_E_ARGUMENT, "b: 4 groups of channels that do not lie side by side", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    assert_int_equal(walsh_graph_shuffle(g, walsh_graph_conv(g, "a", 0, 12, 3, 1, 1), 5), -1);
    assert_fails(WALSH_E_ARGUMENT, "a: its 12 channels cannot be shuffled in 5 groups", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_ok(walsh_graph_create(8, 8, 3, &g));
    walsh_graph_conv(g, "a", 0, 4, 3, 1, 1);
    assert_fails(WALSH_E_ARGUMENT, "8x8x4", walsh_graph_check(g));
    walsh_graph_destroy(&g);
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_graph_create(0, 8, 3, &g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(gradients_without_some_variants),
        cmocka_unit_test(few_sweeps),
        cmocka_unit_test(sums_again),
        cmocka_unit_test(few_sweeps_of_dense_blocks),
        cmocka_unit_test(evaluation),
        cmocka_unit_test(no_sweeps_in_evaluation),
        cmocka_unit_test(graphs_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
