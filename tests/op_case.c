#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"

static walsh_device *shared_device;

/* The largest case, in operations and bytes, that each launch's variant has been tried on, or a variant without a kernel
 * of ours. */
typedef struct trial {
    char *what;
    double work;
} trial;
static trial *tried;
static size_t tried_count;

walsh_device *op_device(void)
{
    if (!shared_device) assert_ok(walsh_device_open(NULL, &shared_device));
    return shared_device;
}

bool op_device_divides(void)
{
    const walsh_device_options one = {.threads = 1};
    walsh_device *device = NULL;
    if (op_device()->info.kind != WALSH_DEVICE_CPU || op_device()->info.compute_units < 2) return false;
    bool divides = !walsh_device_open(&one, &device);
    walsh_device_close(&device);
    return divides;
}

int op_device_close(void **state)
{
    (void)state;
    walsh_device_close(&shared_device);
    for (size_t i = 0; i < tried_count; i++) free(tried[i].what);
    free(tried);
    return 0;
}

float *op_floats(size_t count)
{
    float *p = calloc(count ? count : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

double *op_doubles(size_t count)
{
    double *p = calloc(count ? count : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static const walsh_view *view(const op_case *c, int operand)
{
    return &c->tensor[operand]->view;
}

static void poison(walsh_device *device, const walsh_view *view)
{
    size_t n = walsh_shape_bytes(view->shape);
    char *nan = malloc(n);
    assert_non_null(nan);
    memset(nan, 0xFF, n); /* of floats and of halves */
    assert_ok(walsh_view_write(device, view, nan));
    free(nan);
}

void op_case_open(op_case *c, const walsh_op *op, const void *problem, int extra)
{
    op_case_open_on(c, op_device(), op, problem, extra);
}

void op_case_open_on(op_case *c, walsh_device *device, const walsh_op *op, const void *problem, int extra)
{
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    *c = (op_case){.device = device, .op = op, .problem = problem};
    assert_ok(op->shapes(problem, shapes));
    for (int i = 0; i < walsh_op_operands(op); i++) {
        if (walsh_shape_is_absent(shapes[i])) continue;
        if (walsh_type_is_padded(shapes[i].type)) shapes[i].pitch += extra;
        assert_ok(walsh_tensor_make(c->device, shapes[i], &c->tensor[i]));
        if (walsh_type_is_padded(shapes[i].type) && extra) poison(c->device, view(c, i));
    }
}

void op_case_alias(op_case *c, int operand, int other)
{
    walsh_tensor_destroy(&c->tensor[operand]);
    c->tensor[operand] = c->tensor[other];
}

size_t op_case_count(const op_case *c, int operand)
{
    return walsh_shape_rows(view(c, operand)->shape) * (size_t)view(c, operand)->shape.c;
}

void op_case_set(op_case *c, int operand, const float *dense)
{
    assert_ok(walsh_view_upload(c->device, view(c, operand), dense));
}

void op_case_random(op_case *c, int operand, uint64_t seed, float *dense)
{
    walsh_rng rng = {seed, (uint64_t)operand};
    size_t n = op_case_count(c, operand);
    for (size_t i = 0; i < n; i++) dense[i] = 2 * walsh_rng_uniform(rng, i) - 1;
    op_case_set(c, operand, dense);
}

void op_case_set_raw(op_case *c, int operand, const void *elements)
{
    assert_ok(walsh_view_write(c->device, view(c, operand), elements));
}

void op_case_poison(op_case *c, int operand)
{
    poison(c->device, view(c, operand));
}

/* The workspace is poisoned too: a variant must not rest on zeroed memory. */
static walsh_tensor *make_workspace(op_case *c, const walsh_variant *variant)
{
    size_t bytes = variant->workspace ? variant->workspace(c->device, c->problem) : 0;
    walsh_tensor *workspace = NULL;
    if (!bytes) return NULL;
    assert_ok(walsh_tensor_make(c->device, walsh_shape_vector((int)((bytes + 3) / 4)), &workspace));
    poison(c->device, &workspace->view);
    return workspace;
}

/* $WALSH_TEST_WORK: the limit, and the one of a kernel's first case. */
static double most_work(double *first)
{
    const char *text = getenv("WALSH_TEST_WORK");
    char *end;
    *first = INFINITY;
    if (!text || !*text) return INFINITY;
    double most = strtod(text, &end);
    if (*end) *first = strtod(end, NULL);
    return most;
}

bool op_cases_are_few(void)
{
    double first;
    return most_work(&first) < INFINITY;
}

static double work_of(const walsh_op *op, const void *problem)
{
    double flops = 0, bytes = 0;
    op->cost(problem, &flops, &bytes);
    return flops + bytes;
}

static trial *find_tried(const char *what)
{
    for (size_t i = 0; i < tried_count; i++)
        if (!strcmp(tried[i].what, what)) return &tried[i];
    assert_ok(walsh_grow(&tried, tried_count, sizeof *tried, "what was tried"));
    tried[tried_count] = (trial){.what = strdup(what)};
    assert_non_null(tried[tried_count].what);
    return &tried[tried_count++];
}

static trial *find_launch(const walsh_variant *variant, const walsh_list *list, size_t index)
{
    const char *launched = walsh_list_at(list, index).variant;
    return find_tried(launched ? launched : variant->name);
}

static bool is_enough(double tried_before, double work)
{
    const double growth = 4;
    double first, most = most_work(&first);
    return tried_before > 0 ? work < growth * tried_before || work > most : work > first;
}

/* Whether each of the variant's launches for this problem has been tried enough. It is emitted without memory. */
static bool all_tried(const walsh_op *op, const walsh_variant *variant, const void *problem)
{
    walsh_view views[WALSH_MAX_OPERANDS] = {0}, workspace = {.shape = walsh_shape_absent};
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    walsh_list *list = NULL;
    bool enough = true;
    size_t bytes = variant->workspace ? variant->workspace(op_device(), problem) : 0;
    if (bytes) workspace.shape = walsh_shape_vector((int)((bytes + 3) / 4));
    assert_ok(op->shapes(problem, shapes));
    for (int i = 0; i < walsh_op_operands(op); i++) views[i].shape = shapes[i];
    assert_ok(walsh_list_create(op_device(), &list));
    assert_ok(walsh_variant_emit(variant, list, problem, views, &workspace));
    for (size_t i = 0; i < walsh_list_count(list); i++)
        enough &= is_enough(find_launch(variant, list, i)->work, work_of(op, problem));
    walsh_list_destroy(&list);
    return enough;
}

bool op_case_left_out(const walsh_op *op, const walsh_variant *variant, const void *problem)
{
    if (!op_cases_are_few()) return false;
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        if ((variant && *v != variant) || !walsh_op_takes(op_device(), op, *v, problem)) continue;
        if (!all_tried(op, *v, problem)) return false;
    }
    return true;
}

static void remember(const op_case *c, const walsh_variant *variant, const walsh_list *list)
{
    double work = work_of(c->op, c->problem);
    for (size_t i = 0; i < walsh_list_count(list); i++) {
        trial *launched = find_launch(variant, list, i);
        if (launched->work < work) launched->work = work;
    }
}

void op_case_run(op_case *c, const walsh_variant *variant)
{
    walsh_view views[WALSH_MAX_OPERANDS], absent = {.shape = walsh_shape_absent};
    for (int i = 0; i < walsh_op_operands(c->op); i++) views[i] = c->tensor[i] ? *view(c, i) : absent;
    assert_ok(walsh_op_check(c->op, c->problem, views));
    walsh_tensor *workspace = make_workspace(c, variant);
    walsh_list *list = NULL;
    assert_ok(walsh_list_create(c->device, &list));
    assert_ok(walsh_variant_emit(variant, list, c->problem, views, workspace ? &workspace->view : &absent));
    assert_ok(walsh_list_run(list));
    assert_int_equal(clFinish(c->device->queue), CL_SUCCESS);
    if (op_cases_are_few()) remember(c, variant, list);
    walsh_list_destroy(&list);
    walsh_tensor_destroy(&workspace);
}

static void check_lanes(op_case *c, int operand)
{
    walsh_shape s = view(c, operand)->shape;
    size_t rows = walsh_shape_rows(s);
    float *raw = op_floats(walsh_shape_elements(s));
    assert_ok(walsh_view_read(c->device, view(c, operand), raw));
    for (size_t r = 0; r < rows; r++) {
        for (int k = s.c; k < walsh_pad(s.c); k++)
            if (raw[r * (size_t)s.pitch + (size_t)k] != 0)
                fail_msg("%s: pad lane %d of row %zu of %s is %g", c->op->name, k, r, c->op->operands[operand].name,
                         raw[r * (size_t)s.pitch + (size_t)k]);
        for (int k = walsh_pad(s.c); k < s.pitch && r + 1 < rows; k++)
            if (!isnan(raw[r * (size_t)s.pitch + (size_t)k]))
                fail_msg("%s: extra lane %d of row %zu of %s was written", c->op->name, k, r,
                         c->op->operands[operand].name);
    }
    free(raw);
}

void op_case_get(op_case *c, int operand, float *dense)
{
    check_lanes(c, operand);
    assert_ok(walsh_view_download(c->device, view(c, operand), dense));
}

void op_case_close(op_case *c)
{
    for (int i = 0; i < WALSH_MAX_OPERANDS; i++) {
        for (int j = i + 1; j < WALSH_MAX_OPERANDS; j++)
            if (c->tensor[j] == c->tensor[i]) c->tensor[j] = NULL; /* shared by op_case_alias */
        walsh_tensor_destroy(&c->tensor[i]);
    }
}

double op_error(const float *got, const double *want, size_t count)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double e = fabs((double)got[i] - want[i]);
        if (!isnan(worst) && !(e <= worst)) worst = e; /* a NaN stays */
        if (fabs(want[i]) > largest) largest = fabs(want[i]);
    }
    return largest > 0 ? worst / largest : worst;
}
