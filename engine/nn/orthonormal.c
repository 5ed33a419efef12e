#include "engine/nn/orthonormal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/base/task.h"

/* Entries of a panel that stay in the first-level cache, and panels beside each other whose share of that many entries
 * stays in the second. A register tile is QUAD by HALF. */
enum { PANEL = WALSH_PANEL, CHUNK = 64, FEW = 4, MANY = 8, QUAD = 4, HALF = PANEL / 2 };

/* Doubles in a vector, and the same function compiled for vectors so wide, chosen when the program starts. Without a
 * fused multiply-add, which rounds differently. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDTH 4
#define WIDE_TOO __attribute__((target_clones("avx2", "default")))
#else
#define WIDTH 2
#define WIDE_TOO
#endif

typedef struct sizes {
    size_t length; /* entries, in whole quads */
    double *v;     /* panels of vectors */
    double *s;     /* products of two halves: [panel of the second][vector of the first][PANEL], negated */
    size_t first, firsts, second, seconds; /* the halves: first panel and number */
} sizes;

size_t walsh_panel_vectors(size_t count)
{
    return (count + PANEL - 1) / PANEL * PANEL;
}

size_t walsh_panel_length(size_t length)
{
    return (length + QUAD - 1) / QUAD * QUAD;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What multiplies: `a` has a quad of rows `row` apart, and for each of `panels` panels, `panel` apart, `depth` columns
 * `column` apart. */
typedef struct quad {
    const double *a;
    size_t row, column, panel, panels, depth;
} quad;

/* Said outright, since compilers do not find these vectors in loops over rows. At any address a double may have. */
typedef double vector __attribute__((vector_size(WIDTH * sizeof(double)), aligned(sizeof(double)), may_alias));

/* C += A B for a tile of QUAD by HALF; the rows of B and C are PANEL apart. */
WIDE_TOO static void multiply(const quad *q, const double *b, double *c)
{
    vector sum[QUAD][HALF / WIDTH];
    for (size_t r = 0; r < QUAD; r++)
        for (size_t k = 0; k < HALF / WIDTH; k++) sum[r][k] = (vector){0};
    for (size_t p = 0; p < q->panels; p++) {
        const double *a = q->a + p * q->panel;
        for (size_t d = 0; d < q->depth; d++, b += PANEL, a += q->column)
            for (size_t r = 0; r < QUAD; r++)
                for (size_t k = 0; k < HALF / WIDTH; k++) sum[r][k] += a[r * q->row] * *(const vector *)(b + k * WIDTH);
    }
    for (size_t r = 0; r < QUAD; r++)
        for (size_t k = 0; k < HALF / WIDTH; k++) *(vector *)(c + r * PANEL + k * WIDTH) += sum[r][k];
}

static double *panel(const sizes *z, size_t index)
{
    return z->v + index * z->length * PANEL;
}

/* Minus the products of some panels of the first half with some of the second. */
static void compare(void *context, size_t piece)
{
    const sizes *z = context;
    size_t groups = (z->firsts + FEW - 1) / FEW, p0 = piece % groups * FEW, j0 = piece / groups * MANY;
    size_t p1 = least(p0 + FEW, z->firsts), j1 = least(j0 + MANY, z->seconds), square = PANEL * PANEL;
    for (size_t j = j0; j < j1; j++) memset(z->s + (j * z->firsts + p0) * square, 0, (p1 - p0) * square * sizeof *z->s);
    for (size_t i = 0; i < z->length; i += CHUNK)
        for (size_t p = p0; p < p1; p++)
            for (size_t j = j0; j < j1; j++)
                for (size_t r = 0; r < PANEL; r += QUAD) {
                    quad q = {.a = panel(z, z->first + p) + i * PANEL + r, .row = 1, .column = PANEL, .panels = 1};
                    q.depth = least(CHUNK, z->length - i);
                    const double *b = panel(z, z->second + j) + i * PANEL;
                    double *c = z->s + (j * z->firsts + p) * square + r * PANEL;
                    multiply(&q, b, c);
                    multiply(&q, b + HALF, c + HALF);
                }
    for (size_t j = j0; j < j1; j++)
        for (size_t k = p0 * square; k < p1 * square; k++) z->s[j * z->firsts * square + k] *= -1;
}

/* Takes from a chunk of entries of the second half its part along the first. */
static void subtract(void *context, size_t piece)
{
    const sizes *z = context;
    size_t end = least((piece + 1) * CHUNK, z->length);
    for (size_t p = 0; p < z->firsts; p += MANY)
        for (size_t j = 0; j < z->seconds; j++)
            for (size_t i = piece * CHUNK; i < end; i += QUAD) {
                quad q = {.a = panel(z, z->first + p) + i * PANEL, .row = PANEL, .column = 1, .depth = PANEL};
                q.panel = z->length * PANEL;
                q.panels = least(MANY, z->firsts - p);
                const double *b = z->s + (j * z->firsts + p) * PANEL * PANEL;
                double *c = panel(z, z->second + j) + i * PANEL;
                multiply(&q, b, c);
                multiply(&q, b + HALF, c + HALF);
            }
}

/* One panel: each vector becomes a unit, and its part is taken from those behind it. */
static void by_vectors(double *v, size_t length)
{
    for (size_t j = 0; j < PANEL; j++) {
        double products[PANEL] = {0}, keep[PANEL], take[PANEL];
        for (size_t i = 0; i < length; i++)
            for (size_t k = 0; k < PANEL; k++) products[k] += v[i * PANEL + j] * v[i * PANEL + k];
        if (products[j] == 0) return; /* the panel is not full */
        for (size_t k = 0; k < PANEL; k++) {
            keep[k] = k != j;
            take[k] = k > j ? -products[k] / products[j] : k == j ? 1 / sqrt(products[j]) : 0;
        }
        for (size_t i = 0; i < length; i++) {
            double own = v[i * PANEL + j];
            for (size_t k = 0; k < PANEL; k++) v[i * PANEL + k] = keep[k] * v[i * PANEL + k] + take[k] * own;
        }
    }
}

static void by_halves(sizes *z, size_t first, size_t panels)
{
    if (panels == 1) {
        by_vectors(panel(z, first), z->length);
        return;
    }
    size_t half = panels / 2;
    by_halves(z, first, half);
    z->first = first, z->firsts = half, z->second = first + half, z->seconds = panels - half;
    walsh_task_share((z->firsts + FEW - 1) / FEW * ((z->seconds + MANY - 1) / MANY), compare, z);
    walsh_task_share((z->length + CHUNK - 1) / CHUNK, subtract, z);
    by_halves(z, first + half, panels - half);
}

walsh_status walsh_orthonormalise(double *panels, size_t count, size_t length)
{
    size_t number = walsh_panel_vectors(count) / PANEL, half = number / 2;
    sizes z = {.length = walsh_panel_length(length), .v = panels};
    WALSH_TRY(walsh_alloc(&z.s, half * (number - half) * PANEL * PANEL + 1, sizeof *z.s, "orthonormal vectors"));
    for (size_t passes = length < 2 * count ? 2 : 1; passes; passes--) by_halves(&z, 0, number);
    free(z.s);
    return WALSH_OK;
}
