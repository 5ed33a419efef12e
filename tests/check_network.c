/* Networks that run: a training step in parts against the same step at once, memory as it was measured, evaluation of
 * weights that change. */
#include "tests/op_case.h"

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/nn/network.h"
#include "engine/op/conv_winograd.h"

enum { SIZE = 8, CLASSES = 10, BATCH = 12, STEPS = 3, PIXELS = SIZE * SIZE * 4 };

static uint8_t pixels[STEPS * BATCH * PIXELS];
static int32_t labels[STEPS * BATCH];

static int make_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = i % 4 == 3 ? 0 : (uint8_t)walsh_rng_below((walsh_rng){3, 0}, i, 256);
    for (size_t i = 0; i < STEPS * BATCH; i++) labels[i] = (int32_t)walsh_rng_below((walsh_rng){4, 0}, i, CLASSES);
    return 0;
}

/* A network of a graph, which it takes over, and a head. */
static walsh_network *complete(walsh_graph *graph, walsh_head_kind head)
{
    walsh_network *network = NULL;
    const walsh_network_options options = {
        .head = {.spec = {.kind = head, .features = walsh_graph_features(graph), .classes = CLASSES}},
        .head_name = "fc",
        .alpha = 10,
        .trains = true,
        .mean = {0.5f, 0.4f, 0.3f},
        .deviation = {0.3f, 0.3f, 0.3f},
    };
    assert_ok(walsh_network_create(op_device(), &graph, &options, &network));
    assert_ok(walsh_parameters_initialise(walsh_network_parameters(network), 7));
    return network;
}

/* Two convolutions, with a batch norm between them where `norm`, and a head. */
static walsh_network *make(walsh_head_kind head, bool norm)
{
    walsh_graph *graph = NULL;
    assert_ok(walsh_graph_create(SIZE, SIZE, 3, &graph));
    walsh_node x = walsh_graph_conv(graph, "conv1", 0, 8, 3, 1, 1);
    if (norm) x = walsh_graph_batchnorm(graph, "bn1", x);
    x = walsh_graph_relu(graph, x);
    x = walsh_graph_relu(graph, walsh_graph_conv(graph, "conv2", x, 12, 3, 2, 1));
    walsh_graph_pool(graph, WALSH_POOL_AVERAGE, x, SIZE / 2, SIZE / 2, 0);
    return complete(graph, head);
}

/* Two convolutions, the second of which Winograd's variants take where the device has room for them. */
static walsh_network *make_wide(void)
{
    walsh_graph *graph = NULL;
    assert_ok(walsh_graph_create(SIZE, SIZE, 3, &graph));
    walsh_node x = walsh_graph_relu(graph, walsh_graph_conv(graph, "conv1", 0, 16, 3, 1, 1));
    x = walsh_graph_relu(graph, walsh_graph_conv(graph, "conv2", x, 16, 3, 1, 1));
    walsh_graph_pool(graph, WALSH_POOL_AVERAGE, x, SIZE, SIZE, 0);
    return complete(graph, WALSH_HEAD_LEARNED);
}

/* What STEPS steps make of the weights, and their metrics; steps in `parts` parts of the same images. Two steps are
 * under way at a time, and an evaluation comes between them. */
typedef struct outcome {
    float *weights, *momentum;
    size_t extent, trained;
    walsh_batch_metrics metrics[STEPS];
} outcome;

static outcome train(walsh_head_kind head, bool norm, int parts, bool nesterov, bool half)
{
    outcome o = {0};
    walsh_network *network = make(head, norm);
    walsh_parameters *parameters = walsh_network_parameters(network);
    const walsh_hyper hyper = {.lr = 0.2f, .momentum = 0.9f, .weight_decay = 1e-2f};
    walsh_batch_metrics ignored;
    assert_ok(walsh_network_prepare(network, &(walsh_network_purpose){.batch = BATCH / parts,
                                                                      .parts = parts,
                                                                      .train = true,
                                                                      .half = half,
                                                                      .nesterov = nesterov,
                                                                      .label_smoothing = 0.1f}));
    for (int s = 0; s < STEPS; s++) {
        assert_ok(walsh_network_train(network, pixels + s * BATCH * PIXELS, labels + s * BATCH, BATCH, &hyper));
        assert_ok(walsh_network_evaluate(network, pixels, labels, 1));
        assert_ok(walsh_network_metrics(network, &o.metrics[s]));
        assert_ok(walsh_network_metrics(network, &ignored));
    }
    o.extent = walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS);
    o.trained = walsh_parameters_extent(parameters, WALSH_COPY_MOMENTUM);
    o.weights = op_floats(o.extent);
    o.momentum = op_floats(o.trained);
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_WEIGHTS, o.weights, NULL));
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_MOMENTUM, o.momentum, NULL));
    walsh_network_destroy(&network);
    return o;
}

static void release(outcome *o)
{
    free(o->weights);
    free(o->momentum);
}

/* L2 difference of two arrays over the size of the first. */
static double difference(const float *a, const float *b, size_t count)
{
    double apart = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        apart += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)a[i] * a[i];
    }
    return sqrt(apart / size);
}

static void assert_parts_add_up(walsh_head_kind head, bool nesterov)
{
    outcome whole = train(head, false, 1, nesterov, false);
    for (int parts = 2; parts <= BATCH; parts++) {
        if (BATCH % parts) continue;
        outcome divided = train(head, false, parts, nesterov, false);
        assert_true(difference(whole.weights, divided.weights, whole.extent) < 1e-6);
        assert_true(difference(whole.momentum, divided.momentum, whole.trained) < 1e-5);
        for (int s = 0; s < STEPS; s++) {
            assert_true(fabs(whole.metrics[s].loss - divided.metrics[s].loss) < 1e-5 * whole.metrics[s].loss);
            assert_true(whole.metrics[s].top1_wrong == divided.metrics[s].top1_wrong);
            assert_true(whole.metrics[s].top5_wrong == divided.metrics[s].top5_wrong);
        }
        release(&divided);
    }
    release(&whole);
}

/* Without batch norm, a step in parts is the step at once but for rounding: gradients, loss and errors. */
static void parts_add_up_to_the_step(void **state)
{
    (void)state;
    assert_parts_add_up(WALSH_HEAD_LEARNED, false);
    assert_parts_add_up(WALSH_HEAD_LEARNED, true);
    assert_parts_add_up(WALSH_HEAD_HADAMARD, false);
}

/* Batch norm normalises each part by itself, and its running statistics move with each part: so the above can fail. */
static void batch_norm_sees_the_parts(void **state)
{
    (void)state;
    outcome whole = train(WALSH_HEAD_LEARNED, true, 1, false, false),
            divided = train(WALSH_HEAD_LEARNED, true, 3, false, false),
            again = train(WALSH_HEAD_LEARNED, true, 3, false, false);
    assert_true(difference(whole.weights, divided.weights, whole.trained) > 1e-3);
    /* Running means begin at 0 and keep 0.9 of themselves: after three steps 0.271 of the mean, after nine 0.613. */
    double ratio = 0;
    for (size_t i = whole.trained; i < whole.trained + 8; i++)
        ratio += (double)divided.weights[i] / whole.weights[i] / 8;
    assert_true(ratio > 1.8 && ratio < 2.7);
    assert_memory_equal(divided.weights, again.weights, divided.extent * sizeof *divided.weights);
    release(&whole), release(&divided), release(&again);
}

/* With halves the forward pass is as it was, and so is the first loss, to the bit; gradients are but for the rounding
 * of what the backward pass reads, about 2^-12 of it, and the same again each time. */
static void halves_round_gradients_alone(void **state)
{
    (void)state;
    for (int norm = 0; norm < 2; norm++)
        for (int parts = 1; parts <= 2; parts++) {
            outcome full = train(WALSH_HEAD_HADAMARD, norm, parts, false, false),
                    half = train(WALSH_HEAD_HADAMARD, norm, parts, false, true),
                    again = train(WALSH_HEAD_HADAMARD, norm, parts, false, true);
            const double momentum = difference(full.momentum, half.momentum, full.trained);
            assert_true(full.metrics[0].loss == half.metrics[0].loss);
            assert_true(momentum > 1e-6 && momentum < 2e-3);
            assert_true(difference(full.weights, half.weights, full.extent) < 1e-3);
            assert_memory_equal(half.weights, again.weights, half.extent * sizeof *half.weights);
            assert_memory_equal(half.momentum, again.momentum, half.trained * sizeof *half.momentum);
            release(&full), release(&half), release(&again);
        }
}

/* Bytes of the arena, of training in batches of 12. */
static size_t arena_of(walsh_network *network, bool half)
{
    walsh_network_memory memory;
    const walsh_network_purpose purpose = {.batch = BATCH, .train = true, .half = half};
    assert_ok(walsh_network_measure(network, &purpose, &memory));
    assert_ok(walsh_network_prepare(network, &purpose));
    assert_int_equal(walsh_network_arena_bytes(network), memory.activations);
    return memory.activations;
}

/* Ten tensors that the backward pass needs, each once: five of the size of one, and those that are in use. */
static void halves_take_less(void **state)
{
    enum { LAYERS = 10, TENSOR = BATCH * SIZE * SIZE * 16 * 4 };
    walsh_graph *graph = NULL;
    walsh_node x = 0;
    (void)state;
    assert_ok(walsh_graph_create(SIZE, SIZE, 3, &graph));
    for (int i = 0; i < LAYERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "conv%d", i);
        x = walsh_graph_relu(graph, walsh_graph_conv(graph, name, x, 16, 3, 1, 1));
    }
    walsh_graph_pool(graph, WALSH_POOL_AVERAGE, x, SIZE, SIZE, 0);
    walsh_network *network = complete(graph, WALSH_HEAD_HADAMARD);
    const size_t full = arena_of(network, false), half = arena_of(network, true);
    assert_true(full >= LAYERS * TENSOR);
    assert_true(full - half >= 3 * TENSOR);
    walsh_network_destroy(&network);
}

/* What is measured beforehand is what is taken then, and grows with what is asked. */
static void measures_are_true(void **state)
{
    (void)state;
    walsh_network *network = make(WALSH_HEAD_HADAMARD, true);
    const walsh_parameters *parameters = walsh_network_parameters(network);
    size_t weights = walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS) * sizeof(float),
           trained = walsh_parameters_extent(parameters, WALSH_COPY_MOMENTUM) * sizeof(float);
    walsh_network_memory before = {0}, now;
    assert_ok(walsh_network_prepare(network, &(walsh_network_purpose){.batch = 3}));
    for (int parts = 1; parts <= 2; parts++)
        for (int batch = 1; batch <= 100; batch += 33) {
            const walsh_network_purpose purpose = {.batch = batch, .parts = parts, .train = true};
            assert_ok(walsh_network_measure(network, &purpose, &now));
            assert_int_equal(walsh_network_batch(network), 3); /* the plans that were there stay */
            assert_ok(walsh_network_prepare(network, &purpose));
            assert_int_equal(walsh_network_arena_bytes(network), now.activations);
            assert_true(now.parameters > weights + (size_t)(1 + parts) * trained);
            assert_true(now.parameters < weights + (size_t)(1 + parts) * trained + 2000); /* tables of the head */
            assert_int_equal(now.batches, batch * (PIXELS + 4 + 4 * ((CLASSES + 3) / 4 * 4)));
            assert_true(batch == 1 || now.activations > 5 * before.activations / 4);
            before = now;
            assert_ok(walsh_network_prepare(network, &(walsh_network_purpose){.batch = 3}));
        }
    /* conv1 stores 16.4 GB then. */
    const walsh_network_purpose huge = {.batch = 8000000, .train = true};
    if (walsh_device_describe(op_device())->max_alloc < 16000000000)
        assert_fails(WALSH_E_MEMORY, "a tensor of 15625 MiB", walsh_network_measure(network, &huge, &now));
    walsh_network_destroy(&network);
}

static void read_logits(walsh_network *network, float logits[BATCH * CLASSES])
{
    walsh_batch_metrics ignored;
    assert_ok(walsh_network_evaluate(network, pixels, labels, BATCH));
    assert_ok(walsh_network_metrics(network, &ignored));
    assert_ok(walsh_network_logits(network, logits));
}

/* Logits of the network as it is, and of another one that has only ever seen these weights, are the same. */
static void assert_logits_are_of_the_weights(walsh_network *network, float logits[BATCH * CLASSES])
{
    walsh_parameters *parameters = walsh_network_parameters(network);
    walsh_network *fresh = make(WALSH_HEAD_LEARNED, true);
    float *weights = op_floats(walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS)), expected[BATCH * CLASSES];
    assert_ok(walsh_parameters_read(parameters, WALSH_COPY_WEIGHTS, weights, NULL));
    assert_ok(walsh_parameters_write(walsh_network_parameters(fresh), WALSH_COPY_WEIGHTS, weights));
    assert_ok(walsh_network_prepare(fresh, &(walsh_network_purpose){.batch = BATCH}));
    read_logits(fresh, expected);
    read_logits(network, logits);
    assert_memory_equal(logits, expected, sizeof expected);
    free(weights);
    walsh_network_destroy(&fresh);
}

/* What evaluation keeps of the weights from batch to batch is made anew when they have changed, by training or by
 * writing them, and when a step has used the arena. */
static void evaluation_follows_the_weights(void **state)
{
    (void)state;
    walsh_network *network = make(WALSH_HEAD_LEARNED, true);
    walsh_parameters *parameters = walsh_network_parameters(network);
    float before[BATCH * CLASSES], now[BATCH * CLASSES];
    walsh_batch_metrics ignored;
    assert_ok(walsh_network_prepare(network, &(walsh_network_purpose){.batch = BATCH, .train = true}));
    assert_logits_are_of_the_weights(network, before);
    for (int step = 0; step < 3; step++) { /* the last one without effect on the weights */
        const walsh_hyper hyper = {.lr = step < 2 ? 0.1f : 0};
        assert_ok(walsh_network_train(network, pixels, labels, BATCH, &hyper));
        assert_ok(walsh_network_metrics(network, &ignored));
        assert_logits_are_of_the_weights(network, now);
        assert_memory_not_equal(now, before, sizeof now);
        read_logits(network, before);
        assert_memory_equal(now, before, sizeof now);
    }
    assert_ok(walsh_parameters_initialise(parameters, 8));
    assert_logits_are_of_the_weights(network, now);
    assert_memory_not_equal(now, before, sizeof now);
    walsh_network_destroy(&network);
}

/* Approximate variants in all plans of a network. */
static int approximate(const walsh_network *network)
{
    int count = 0;
    for (int phase = WALSH_NETWORK_TRAIN; phase <= WALSH_NETWORK_EVALUATE; phase++) {
        const walsh_plan *plan = walsh_network_plan(network, (walsh_network_phase)phase);
        for (int i = 0; plan && i < walsh_plan_count(plan); i++) count += walsh_plan_at(plan, i).variant->approximate;
    }
    return count;
}

static bool is_exact(void *context, const walsh_tuned_problem *problem)
{
    int *tuned = context;
    assert_false(problem->tuned.fastest->approximate || problem->tuned.by_rule->approximate);
    ++*tuned;
    return false;
}

/* Exact plans, and what is measured for them, do without approximate variants, and leave other networks alone. */
static void exactness_is_of_the_plans(void **state)
{
    (void)state;
    walsh_network *networks[2] = {NULL};
    walsh_wisdom *wisdom = NULL;
    int tuned = 0;
    for (int i = 0; i < 2; i++) {
        networks[i] = make_wide();
        const walsh_network_purpose purpose = {.batch = BATCH, .train = true, .exact = i == 0};
        assert_ok(walsh_network_prepare(networks[i], &purpose));
        assert_false(op_device()->exact);
    }
    assert_int_equal(approximate(networks[0]), 0);
    if (walsh_tiles_are_gpu(op_device()->tiles) || op_device()->info.local_memory < WALSH_WINOGRAD_LOCAL_BYTES)
        print_message("no approximate variant suits this device\n");
    else
        assert_true(approximate(networks[1]) > 0);
    assert_ok(walsh_wisdom_create(&wisdom));
    assert_ok(walsh_network_tune(networks[0], 0.1, wisdom, is_exact, &tuned));
    assert_true(tuned > 0);
    assert_false(op_device()->exact);
    walsh_wisdom_destroy(&wisdom);
    for (int i = 0; i < 2; i++) walsh_network_destroy(&networks[i]);
}

static void wrong_counts_are_refused(void **state)
{
    (void)state;
    walsh_network *network = make(WALSH_HEAD_LEARNED, false);
    const walsh_hyper hyper = {.lr = 0.1f};
    assert_fails(WALSH_E_ARGUMENT, "a batch of 0",
                 walsh_network_prepare(network, &(walsh_network_purpose){.batch = 0}));
    assert_ok(walsh_network_prepare(network, &(walsh_network_purpose){.batch = 4, .parts = 3, .train = true}));
    assert_fails(WALSH_E_ARGUMENT, "3 parts of 4 images: expected them all, found 11",
                 walsh_network_train(network, pixels, labels, 11, &hyper));
    walsh_network_destroy(&network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_add_up_to_the_step),
        cmocka_unit_test(batch_norm_sees_the_parts),
        cmocka_unit_test(measures_are_true),
        cmocka_unit_test(evaluation_follows_the_weights),
        cmocka_unit_test(exactness_is_of_the_plans),
        cmocka_unit_test(wrong_counts_are_refused),
        cmocka_unit_test(halves_round_gradients_alone),
        cmocka_unit_test(halves_take_less),
    };
    return cmocka_run_group_tests(tests, make_images, op_device_close);
}
