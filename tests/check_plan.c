/* Plans of real operations: memory is shared only where lives allow it, results do not depend on it, mistakes are
 * named. */
#include "tests/op_case.h"

#include <limits.h>
#include <math.h>

#include "engine/op/add.h"
#include "engine/op/gemm.h"
#include "engine/op/reduce.h"
#include "engine/op/sgd.h"

enum { ROWS = 500, COLUMNS = 20, DEPTH = 30 }; /* rows: two stages, so that the sum has a workspace */

/* Small integers, whose products and sums are exact in floats. */
static int small(int i)
{
    return (i * 7 + i / 11) % 9 - 4;
}

static walsh_tensor *tensor(walsh_device *device, walsh_shape shape, int seed)
{
    walsh_tensor *t = NULL;
    size_t count = walsh_shape_rows(shape) * (size_t)shape.c;
    float *dense = op_floats(count);
    for (size_t i = 0; i < count; i++) dense[i] = (float)small((int)i + seed);
    assert_ok(walsh_tensor_make(device, shape, &t));
    assert_ok(walsh_view_upload(device, &t->view, dense));
    free(dense);
    return t;
}

/* c = a b; d = c + c; s = column sums of d; also e = d + c at the very end, so that c and d live through the sum. */
typedef struct model {
    walsh_device *device;
    walsh_tensor *a, *b, *s, *e;
    walsh_value c, d;
    walsh_plan *plan;
} model;

static void build(model *m, walsh_device *device)
{
    *m = (model){.device = device};
    m->a = tensor(device, walsh_shape_matrix(ROWS, DEPTH), 1);
    m->b = tensor(device, walsh_shape_matrix(DEPTH, COLUMNS), 2);
    m->s = tensor(device, walsh_shape_vector(COLUMNS), 3);
    m->e = tensor(device, walsh_shape_matrix(ROWS, COLUMNS), 4);
    assert_ok(walsh_plan_create(device, &m->plan));
    walsh_plan *p = m->plan;
    const walsh_gemm_problem gemm = {.m = ROWS, .n = COLUMNS, .k = DEPTH};
    const walsh_add_problem add = {.n = ROWS, .h = 1, .w = 1, .c = COLUMNS};
    const walsh_reduce_problem reduce = {.rows = ROWS, .c = COLUMNS};
    walsh_value a = walsh_plan_bind(p, &m->a->view), b = walsh_plan_bind(p, &m->b->view);
    walsh_value s = walsh_plan_bind(p, &m->s->view), e = walsh_plan_bind(p, &m->e->view);
    m->c = walsh_plan_value(p, walsh_shape_matrix(ROWS, COLUMNS));
    m->d = walsh_plan_value(p, walsh_shape_matrix(ROWS, COLUMNS));
    walsh_plan_add(p, "product", &walsh_gemm, &gemm, (walsh_value[]){a, b, WALSH_NO_VALUE, m->c});
    walsh_plan_add(p, "double", &walsh_add, &add, (walsh_value[]){m->c, m->c, m->d});
    walsh_plan_add(p, "sum", &walsh_reduce, &reduce, (walsh_value[]){m->d, s});
    walsh_plan_add(p, "end", &walsh_add, &add, (walsh_value[]){m->c, m->d, e});
}

static void close_model(model *m)
{
    walsh_plan_destroy(&m->plan);
    walsh_tensor_destroy(&m->a);
    walsh_tensor_destroy(&m->b);
    walsh_tensor_destroy(&m->s);
    walsh_tensor_destroy(&m->e);
}

static void assert_results(model *m)
{
    static float e[ROWS * COLUMNS], s[COLUMNS];
    assert_ok(walsh_view_download(m->device, &m->e->view, e));
    assert_ok(walsh_view_download(m->device, &m->s->view, s));
    for (int j = 0; j < COLUMNS; j++) {
        int sum = 0;
        for (int i = 0; i < ROWS; i++) {
            int c = 0;
            for (int k = 0; k < DEPTH; k++) c += small(i * DEPTH + k + 1) * small(k * COLUMNS + j + 2);
            assert_true(e[i * COLUMNS + j] == (float)(3 * c));
            sum += 2 * c;
        }
        assert_true(s[j] == (float)sum);
    }
}

static bool share(walsh_view a, walsh_view b)
{
    return a.memory == b.memory && a.offset < b.offset + walsh_shape_elements(b.shape) &&
           b.offset < a.offset + walsh_shape_elements(a.shape);
}

/* Two plans in one arena, run in turns, twice each: right and bit for bit the same. */
static void results(void **state)
{
    model m[2];
    walsh_arena *arena = NULL;
    (void)state;
    assert_ok(walsh_arena_create(op_device(), &arena));
    for (int i = 0; i < 2; i++) {
        build(&m[i], op_device());
        assert_ok(walsh_plan_layout(m[i].plan, arena));
    }
    assert_ok(walsh_arena_commit(arena));
    for (int i = 0; i < 2; i++) {
        assert_ok(walsh_plan_emit(m[i].plan, arena));
        assert_false(share(walsh_plan_view(m[i].plan, m[i].c), walsh_plan_view(m[i].plan, m[i].d)));
    }
    assert_true(share(walsh_plan_view(m[0].plan, m[0].c), walsh_plan_view(m[1].plan, m[1].c)));
    for (int run = 0; run < 2; run++)
        for (int i = 0; i < 2; i++) {
            assert_ok(walsh_plan_run(m[i].plan));
            assert_results(&m[i]);
        }
    close_model(&m[0]);
    close_model(&m[1]);
    walsh_arena_destroy(&arena);
}

/* x -> 2x -> 4x -> ...: two values are enough for a chain of any length. */
static void chain(void **state)
{
    enum { LENGTH = 12, COUNT = 4096 };
    const walsh_add_problem add = {.n = COUNT / 16, .h = 1, .w = 1, .c = 16};
    const walsh_shape shape = walsh_shape_matrix(COUNT / 16, 16);
    walsh_device *device = op_device();
    walsh_tensor *x = tensor(device, shape, 0), *y = tensor(device, shape, 0);
    walsh_plan *plan = NULL;
    walsh_arena *arena = NULL;
    (void)state;
    assert_ok(walsh_plan_create(device, &plan));
    assert_ok(walsh_arena_create(device, &arena));
    walsh_value v = walsh_plan_bind(plan, &x->view), end = walsh_plan_bind(plan, &y->view);
    for (int i = 0; i < LENGTH; i++) {
        walsh_value next = i + 1 < LENGTH ? walsh_plan_value(plan, shape) : end;
        walsh_plan_add(plan, "twice", &walsh_add, &add, (walsh_value[]){v, v, next});
        v = next;
    }
    assert_ok(walsh_plan_layout(plan, arena));
    assert_int_equal(walsh_arena_bytes(arena), 2 * walsh_shape_bytes(shape));
    assert_ok(walsh_arena_commit(arena));
    assert_ok(walsh_plan_emit(plan, arena));
    assert_ok(walsh_plan_run(plan));
    static float got[COUNT];
    assert_ok(walsh_view_download(device, &y->view, got));
    for (int i = 0; i < COUNT; i++) assert_true(got[i] == (float)(small(i) * (1 << LENGTH)));
    walsh_plan_destroy(&plan);
    walsh_arena_destroy(&arena);
    walsh_tensor_destroy(&x);
    walsh_tensor_destroy(&y);
}

/* Reports what layout says of a plan with one operation on values of the given shapes, then a second wrong one. */
static walsh_status one_step(const walsh_op *op, const void *problem, const walsh_value *operands,
                             const walsh_shape *shapes, int bound)
{
    walsh_plan *plan = NULL;
    walsh_arena *arena = NULL;
    assert_ok(walsh_plan_create(op_device(), &plan));
    assert_ok(walsh_arena_create(op_device(), &arena));
    for (int i = 0; !walsh_shape_is_absent(shapes[i]); i++) {
        if (i < bound)
            walsh_plan_bind(plan, &(walsh_view){.shape = shapes[i]});
        else
            walsh_plan_value(plan, shapes[i]);
    }
    walsh_plan_add(plan, "layer1", op, problem, operands);
    const walsh_add_problem wrong = {.n = 0};
    walsh_plan_add(plan, "layer2", &walsh_add, &wrong, (walsh_value[]){0, 0, 0});
    walsh_status status = walsh_plan_layout(plan, arena);
    walsh_plan_destroy(&plan);
    walsh_arena_destroy(&arena);
    return status;
}

static void mistakes(void **state)
{
    const walsh_gemm_problem gemm = {.m = 8, .n = 5, .k = 3};
    const walsh_shape absent = walsh_shape_absent, a = walsh_shape_matrix(8, 3), b = walsh_shape_matrix(3, 5),
                      c = walsh_shape_matrix(8, 5);
    const walsh_shape right[] = {a, b, c, absent}, wrong[] = {a, walsh_shape_matrix(5, 3), c, absent};
    const walsh_value operands[] = {0, 1, WALSH_NO_VALUE, 2}, missing[] = {0, WALSH_NO_VALUE, WALSH_NO_VALUE, 2};
    (void)state;
    /* The first failure is the one that is told, though layer2 fails too. */
    assert_fails(WALSH_E_ARGUMENT, "layer1: gemm: operand b is 5x1x1x3, expected 3x1x1x5",
                 one_step(&walsh_gemm, &gemm, operands, wrong, 3));
    assert_fails(WALSH_E_ARGUMENT, "layer1: gemm: operand b is", one_step(&walsh_gemm, &gemm, missing, right, 3));
    assert_fails(WALSH_E_ARGUMENT, "layer1: gemm: operand b is read before anything wrote it",
                 one_step(&walsh_gemm, &gemm, operands, right, 1));
    assert_fails(WALSH_E_ARGUMENT, "layer2", one_step(&walsh_gemm, &gemm, operands, right, 2));

    walsh_shape misaligned[] = {a, b, c, absent};
    misaligned[0].pitch = 5;
    assert_fails(WALSH_E_ARGUMENT, "operand a", one_step(&walsh_gemm, &gemm, operands, misaligned, 3));
    walsh_gemm_problem fused = gemm;
    fused.fuse = WALSH_FUSE_STATS;
    assert_false(walsh_op_can(op_device(), &walsh_gemm, &fused));
    assert_fails(WALSH_E_ARGUMENT, "layer1: no variant of gemm", one_step(&walsh_gemm, &fused, operands, right, 3));
}

static const char *chosen(const char *disabled, unsigned fuse)
{
    const walsh_gemm_problem p = {.fuse = fuse, .m = 100, .n = 100, .k = 100};
    const walsh_variant *variant = NULL;
    assert_int_equal(setenv("WALSH_DISABLE", disabled, 1), 0);
    assert_ok(walsh_op_choose(op_device(), &walsh_gemm, &p, &variant));
    assert_int_equal(unsetenv("WALSH_DISABLE"), 0);
    return variant->name;
}

static void disabling(void **state)
{
    (void)state;
    const char *best = chosen("", 0);
    assert_string_not_equal(best, "gemm_plain");
    assert_string_equal(chosen("gemm", 0), best);
    assert_string_equal(chosen("gemm_packed,gemm_clblast", 0), "gemm_plain");
    assert_string_equal(chosen("add_plain,gemm_clblast,gemm_packed", WALSH_FUSE_BIAS), "gemm_plain");
    /* The plain variant cannot be disabled. */
    assert_string_equal(chosen("gemm_packed,gemm_clblast,gemm_plain", 0), "gemm_plain");
}

/* Products, sums and steps of many values: the same bits on one thread and on all. */
static void threads_change_nothing(void **state)
{
    enum { N = 700, K = 300, C = 36 };
    walsh_device *shared = op_device();
    (void)state;
    if (!op_device_divides()) skip();
    float w[2][C];
    for (int run = 0; run < 2; run++) {
        const walsh_device_options options = {.threads = 1};
        walsh_device *device = shared;
        if (run) assert_ok(walsh_device_open(&options, &device));
        walsh_tensor *a = tensor(device, walsh_shape_matrix(N, K), 1), *b = tensor(device, walsh_shape_matrix(K, C), 5);
        walsh_tensor *v = tensor(device, walsh_shape_vector(C), 2), *weight = tensor(device, walsh_shape_vector(C), 3);
        walsh_tensor *hyper = tensor(device, walsh_shape_vector(4), 0);
        assert_ok(walsh_view_upload(device, &hyper->view, (const float[]){0.037f, 0.9f, 1e-3f, 1}));
        walsh_plan *plan = NULL;
        walsh_arena *arena = NULL;
        assert_ok(walsh_plan_create(device, &plan));
        assert_ok(walsh_arena_create(device, &arena));
        walsh_value y = walsh_plan_value(plan, walsh_shape_matrix(N, C)),
                    g = walsh_plan_value(plan, walsh_shape_vector(C));
        walsh_value av = walsh_plan_bind(plan, &a->view), bv = walsh_plan_bind(plan, &b->view);
        const walsh_value step[] = {walsh_plan_bind(plan, &hyper->view), g, walsh_plan_bind(plan, &v->view),
                                    walsh_plan_bind(plan, &weight->view)};
        const walsh_gemm_problem gemm = {.m = N, .n = C, .k = K};
        const walsh_reduce_problem reduce = {.rows = N, .c = C};
        const walsh_sgd_problem sgd = {.elements = C, .decayed = 16};
        walsh_plan_add(plan, "product", &walsh_gemm, &gemm, (walsh_value[]){av, bv, WALSH_NO_VALUE, y});
        walsh_plan_add(plan, "sum", &walsh_reduce, &reduce, (walsh_value[]){y, g});
        walsh_plan_add(plan, "step", &walsh_sgd, &sgd, step);
        assert_ok(walsh_plan_layout(plan, arena));
        assert_ok(walsh_arena_commit(arena));
        assert_ok(walsh_plan_emit(plan, arena));
        for (int i = 0; i < 3; i++) assert_ok(walsh_plan_run(plan));
        assert_ok(walsh_view_download(device, &weight->view, w[run]));
        walsh_plan_destroy(&plan);
        walsh_arena_destroy(&arena);
        walsh_tensor *all[] = {a, b, v, weight, hyper};
        for (int i = 0; i < 5; i++) walsh_tensor_destroy(&all[i]);
        if (run) walsh_device_close(&device);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
}

/* y = w + w is made once, as w is constant; z = 5x + 2y by passes that would use y's memory again, were it not kept. */
typedef struct keeper {
    walsh_tensor *w, *x, *z;
    walsh_plan *plan;
    walsh_arena *arena;
} keeper;

static void open_keeper(keeper *k, walsh_device *device)
{
    const walsh_shape shape = walsh_shape_matrix(ROWS, COLUMNS);
    const walsh_add_problem add = {.n = ROWS, .h = 1, .w = 1, .c = COLUMNS};
    *k = (keeper){.w = tensor(device, shape, 1), .x = tensor(device, shape, 2), .z = tensor(device, shape, 3)};
    assert_ok(walsh_plan_create(device, &k->plan));
    walsh_plan *p = k->plan;
    walsh_value w = walsh_plan_bind_constant(p, &k->w->view), x = walsh_plan_bind(p, &k->x->view);
    walsh_value y = walsh_plan_value(p, shape), z = walsh_plan_bind(p, &k->z->view);
    walsh_value before = walsh_plan_value(p, shape),
                after[2] = {walsh_plan_value(p, shape), walsh_plan_value(p, shape)};
    walsh_plan_add(p, "before", &walsh_add, &add, (walsh_value[]){x, x, before}); /* 2x */
    walsh_plan_add(p, "once", &walsh_add, &add, (walsh_value[]){w, w, y});
    walsh_plan_add(p, "sum", &walsh_add, &add, (walsh_value[]){before, y, after[0]});     /* 2x + y */
    walsh_plan_add(p, "later", &walsh_add, &add, (walsh_value[]){after[0], x, after[1]}); /* 3x + y */
    walsh_plan_add(p, "end", &walsh_add, &add, (walsh_value[]){after[0], after[1], z});   /* 5x + 2y */
    assert_ok(walsh_arena_create(device, &k->arena));
    assert_ok(walsh_plan_layout(p, k->arena));
    assert_ok(walsh_arena_commit(k->arena));
    assert_ok(walsh_plan_emit(p, k->arena));
}

/* Runs, and checks z = 5 small(i + x) + 4 small(i + w). */
static void run_keeper(const keeper *k, int x, int w)
{
    float *z = op_floats(ROWS * COLUMNS);
    assert_ok(walsh_plan_run(k->plan));
    assert_ok(walsh_view_download(op_device(), &k->z->view, z));
    for (int i = 0; i < ROWS * COLUMNS; i++) assert_true(z[i] == (float)(5 * small(i + x) + 4 * small(i + w)));
    free(z);
}

static void close_keeper(keeper *k)
{
    walsh_plan_destroy(&k->plan);
    walsh_arena_destroy(&k->arena);
    walsh_tensor_destroy(&k->w), walsh_tensor_destroy(&k->x), walsh_tensor_destroy(&k->z);
}

static void refill(walsh_tensor *to, int seed)
{
    float *dense = op_floats(ROWS * COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++) dense[i] = (float)small(i + seed);
    assert_ok(walsh_tensor_upload(to, dense));
    free(dense);
}

static void constants_are_kept(void **state)
{
    (void)state;
    keeper k;
    open_keeper(&k, op_device());
    run_keeper(&k, 2, 1);
    run_keeper(&k, 2, 1);
    refill(k.x, 5);
    run_keeper(&k, 5, 1);
    refill(k.w, 7); /* not noticed ... */
    run_keeper(&k, 5, 1);
    walsh_plan_renew(k.plan); /* ... until now */
    run_keeper(&k, 5, 7);
    run_keeper(&k, 5, 7);
    close_keeper(&k);
}

/* What a plan tells of its memory and launches: those of the keeper, whose y is kept and made before the first run. */
static void plans_tell_of_themselves(void **state)
{
    (void)state;
    keeper k;
    walsh_plan_block *blocks = NULL;
    size_t count = 0;
    open_keeper(&k, op_device());
    assert_ok(walsh_plan_blocks(k.plan, &blocks, &count));
    static const struct {
        const char *layer;
        int first, last;
    } known[] = {{"once", 0, INT_MAX}, {"before", 0, 2}, {"sum", 2, 4}, {"later", 3, 4}};
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(blocks[i].layer, known[i].layer);
        assert_string_equal(blocks[i].operation, "add");
        assert_string_equal(blocks[i].operand, "y");
        assert_int_equal(blocks[i].block.first, known[i].first);
        assert_int_equal(blocks[i].block.last, known[i].last);
        assert_int_equal(blocks[i].block.bytes, ROWS * COLUMNS * sizeof(float));
    }
    free(blocks);
    const walsh_list *once = walsh_plan_launches(k.plan, true), *each = walsh_plan_launches(k.plan, false);
    assert_int_equal(walsh_list_count(once), 1);
    assert_int_equal(walsh_list_count(each), 4);
    assert_string_equal(walsh_list_at(once, 0).layer, "once");
    assert_int_equal(walsh_list_at(once, 0).number, 2);
    static const int numbers[] = {1, 3, 4, 5};
    for (size_t i = 0; i < 4; i++) {
        walsh_listed launch = walsh_list_at(each, i);
        assert_int_equal(launch.number, numbers[i]);
        assert_string_equal(launch.kernel, "add_plain");
        assert_true(launch.global[0] * launch.global[1] >= ROWS * COLUMNS / 4 && launch.local[1] > 0);
        assert_true(launch.flops == ROWS * COLUMNS);
    }
    close_keeper(&k);
}

/* A constant cannot be written, neither one from outside nor one that the plan keeps. */
static void constants_cannot_be_written(void **state)
{
    (void)state;
    const walsh_add_problem add = {.n = ROWS, .h = 1, .w = 1, .c = COLUMNS};
    const walsh_shape shape = walsh_shape_matrix(ROWS, COLUMNS);
    for (int made = 0; made < 2; made++) {
        walsh_tensor *w = tensor(op_device(), shape, 1), *x = tensor(op_device(), shape, 2);
        walsh_plan *p = NULL;
        walsh_arena *arena = NULL;
        assert_ok(walsh_arena_create(op_device(), &arena));
        assert_ok(walsh_plan_create(op_device(), &p));
        walsh_value constant = walsh_plan_bind_constant(p, &w->view), y = walsh_plan_value(p, shape);
        walsh_value other = walsh_plan_bind(p, &x->view);
        walsh_plan_add(p, "once", &walsh_add, &add, (walsh_value[]){constant, constant, y});
        walsh_plan_add(p, "wrong", &walsh_add, &add, (walsh_value[]){other, other, made ? y : constant});
        assert_fails(WALSH_E_ARGUMENT, "wrong: add: operand y is constant", walsh_plan_layout(p, arena));
        walsh_plan_destroy(&p);
        walsh_arena_destroy(&arena);
        walsh_tensor_destroy(&w), walsh_tensor_destroy(&x);
    }
}

/* v = 2x, u = 2x, then early = 2v and u2 = 2u; from there on v and u are read as halves: late = 2v, of the lanes from
 * 8 on middle = 2v, and u no more. */
typedef struct halver {
    walsh_tensor *x, *early, *u2, *late, *middle;
    walsh_value v, u;
    walsh_plan *plan;
} halver;

enum { HALF_ROWS = 40, HALF_LANES = 24, HALF_FIRST = 8, HALF_MIDDLE = 12 };

static void open_halver(halver *k)
{
    const walsh_shape whole = walsh_shape_matrix(HALF_ROWS, HALF_LANES),
                      part = walsh_shape_matrix(HALF_ROWS, HALF_MIDDLE);
    const walsh_add_problem add = {.n = HALF_ROWS, .h = 1, .w = 1, .c = HALF_LANES};
    const walsh_add_problem add_part = {.n = HALF_ROWS, .h = 1, .w = 1, .c = HALF_MIDDLE};
    walsh_tensor **tensors[] = {&k->x, &k->early, &k->u2, &k->late, &k->middle};
    walsh_value bound[5];
    float thirds[HALF_ROWS * HALF_LANES];
    for (int i = 0; i < HALF_ROWS * HALF_LANES; i++) thirds[i] = (float)small(i) / 3;
    assert_ok(walsh_plan_create(op_device(), &k->plan));
    for (int i = 0; i < 5; i++) {
        assert_ok(walsh_tensor_make(op_device(), i == 4 ? part : whole, tensors[i]));
        bound[i] = walsh_plan_bind(k->plan, &(*tensors[i])->view);
    }
    assert_ok(walsh_tensor_upload(k->x, thirds));
    k->v = walsh_plan_value(k->plan, whole), k->u = walsh_plan_value(k->plan, whole);
    walsh_value middle = walsh_plan_slice(k->plan, k->v, HALF_FIRST, HALF_MIDDLE);
    walsh_plan_add(k->plan, "v", &walsh_add, &add, (walsh_value[]){bound[0], bound[0], k->v});
    walsh_plan_add(k->plan, "u", &walsh_add, &add, (walsh_value[]){bound[0], bound[0], k->u});
    walsh_plan_add(k->plan, "early", &walsh_add, &add, (walsh_value[]){k->v, k->v, bound[1]});
    walsh_plan_add(k->plan, "u2", &walsh_add, &add, (walsh_value[]){k->u, k->u, bound[2]});
    walsh_plan_store_half(k->plan, middle);
    walsh_plan_store_half(k->plan, k->u);
    walsh_plan_store_half(k->plan, bound[0]); /* does nothing */
    walsh_plan_add(k->plan, "late", &walsh_add, &add, (walsh_value[]){k->v, k->v, bound[3]});
    walsh_plan_add(k->plan, "middle", &walsh_add, &add_part, (walsh_value[]){middle, middle, bound[4]});
}

static void close_halver(halver *k)
{
    walsh_plan_destroy(&k->plan);
    walsh_tensor_destroy(&k->x), walsh_tensor_destroy(&k->early), walsh_tensor_destroy(&k->u2);
    walsh_tensor_destroy(&k->late), walsh_tensor_destroy(&k->middle);
}

/* What was added before reads floats, what is added later halves; it is packed behind its last use, unpacked once, and
 * takes half the memory meanwhile. What nobody reads later is not packed. */
static void halves_wait(void **state)
{
    static const char *const order[] = {"v add",  "u add",          "early add", "v store_pack",
                                        "u2 add", "v store_unpack", "late add",  "middle add"};
    halver k = {NULL};
    walsh_arena *arena = NULL;
    walsh_plan_block *blocks = NULL;
    size_t count, packed = 0, rounded = 0;
    float early[HALF_ROWS * HALF_LANES], late[HALF_ROWS * HALF_LANES], middle[HALF_ROWS * HALF_MIDDLE];
    (void)state;
    open_halver(&k);
    assert_int_equal(walsh_plan_count(k.plan), sizeof order / sizeof *order);
    for (int i = 0; i < walsh_plan_count(k.plan); i++) {
        char text[80];
        snprintf(text, sizeof text, "%s %s", walsh_plan_at(k.plan, i).label, walsh_plan_at(k.plan, i).op->name);
        assert_string_equal(text, order[i]);
    }
    assert_ok(walsh_arena_create(op_device(), &arena));
    assert_ok(walsh_plan_layout(k.plan, arena));
    assert_ok(walsh_plan_blocks(k.plan, &blocks, &count));
    for (size_t i = 0; i < count; i++)
        if (!strcmp(blocks[i].operation, "store_pack")) {
            assert_int_equal(blocks[i].block.bytes, HALF_ROWS * HALF_LANES * 2);
            assert_int_equal(blocks[i].block.first, 3);
            assert_int_equal(blocks[i].block.last, 5);
            packed++;
        } else if (!strcmp(blocks[i].layer, "v")) {
            assert_int_equal(blocks[i].block.last, blocks[i].block.first == 0 ? 3 : 7);
        } else {
            assert_string_equal(blocks[i].layer, "u");
            assert_int_equal(blocks[i].block.last, 4);
        }
    assert_int_equal(packed, 1);
    assert_int_equal(count, 4);
    assert_ok(walsh_arena_commit(arena));
    assert_ok(walsh_plan_emit(k.plan, arena));
    assert_ok(walsh_plan_run(k.plan));
    assert_ok(walsh_tensor_download(k.early, early));
    assert_ok(walsh_tensor_download(k.late, late));
    assert_ok(walsh_tensor_download(k.middle, middle));
    for (int i = 0; i < HALF_ROWS * HALF_LANES; i++) {
        const float v = 2 * ((float)small(i) / 3);
        const int lane = i % HALF_LANES - HALF_FIRST;
        /* A half has 11 bits: adding 1.5 * 2^(exponent - 10 + 52) to a double leaves those. */
        const double shift = 1.5 * ldexp(1, (v != 0 ? ilogb((double)v) : 0) + 42), half = (double)v + shift - shift;
        rounded += fabs(half - (double)v) > 0;
        assert_true((double)early[i] == 2 * (double)v);
        assert_true((double)late[i] == 2 * half);
        if (lane >= 0 && lane < HALF_MIDDLE)
            assert_true((double)middle[i / HALF_LANES * HALF_MIDDLE + lane] == 2 * half);
    }
    assert_true(rounded > HALF_ROWS * HALF_LANES / 2);
    free(blocks);
    close_halver(&k);
    walsh_arena_destroy(&arena);
}

static void halves_cannot_be_written(void **state)
{
    const walsh_add_problem add = {.n = HALF_ROWS, .h = 1, .w = 1, .c = HALF_LANES};
    halver k = {NULL};
    walsh_arena *arena = NULL;
    (void)state;
    open_halver(&k);
    walsh_value x = walsh_plan_bind(k.plan, &k.x->view);
    walsh_plan_add(k.plan, "wrong", &walsh_add, &add, (walsh_value[]){x, x, k.u});
    assert_ok(walsh_arena_create(op_device(), &arena));
    assert_fails(WALSH_E_ARGUMENT, "wrong: add: operand y is stored as half and cannot be written",
                 walsh_plan_layout(k.plan, arena));
    close_halver(&k);
    open_halver(&k);
    x = walsh_plan_bind(k.plan, &k.x->view);
    walsh_value nothing = walsh_plan_value(k.plan, walsh_shape_matrix(HALF_ROWS, HALF_LANES));
    walsh_plan_store_half(k.plan, nothing);
    walsh_plan_add(k.plan, "wrong", &walsh_add, &add, (walsh_value[]){nothing, nothing, x});
    assert_fails(WALSH_E_ARGUMENT, "wrong: add: operand a is read before anything wrote it",
                 walsh_plan_layout(k.plan, arena));
    close_halver(&k);
    walsh_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results),
        cmocka_unit_test(chain),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(disabling),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(constants_are_kept),
        cmocka_unit_test(plans_tell_of_themselves),
        cmocka_unit_test(constants_cannot_be_written),
        cmocka_unit_test(halves_wait),
        cmocka_unit_test(halves_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
