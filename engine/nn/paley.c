#include "engine/nn/paley.h"

#include "engine/base/status.h"

/* GF(q), q = p^degree. */
typedef struct galois {
    int q, p, degree;
    int chi[WALSH_PALEY_MAX];
} galois;

/* q = p^degree with p an odd prime? */
static bool prime_power(int q, galois *g)
{
    if (q < 3 || q % 2 == 0) return false;
    *g = (galois){.q = q, .p = 3};
    while (q % g->p) g->p += 2; /* the least divisor of an odd number is an odd prime */
    for (; q % g->p == 0; q /= g->p) g->degree++;
    return q == 1;
}

/* a - b times c, digit by digit. */
static int subtract(const galois *g, int a, int b, int c)
{
    int difference = 0;
    for (int digit = 1; digit < g->q; digit *= g->p, a /= g->p, b /= g->p)
        difference += (a % g->p + (g->p - b % g->p) * c) % g->p * digit;
    return difference;
}

/* a X modulo X^degree + low. */
static int times_x(const galois *g, int a, int low)
{
    int top = g->q / g->p;
    return subtract(g, a % top * g->p, low, a / top);
}

/* Fills chi from the powers of X where X generates the field modulo X^degree + low: even powers are the squares. */
static bool characters(galois *g, int low)
{
    int y = 1;
    g->chi[0] = 0;
    for (int i = 0; i < g->q - 1; i++, y = times_x(g, y, low)) {
        if (y == 0 || (i > 0 && y == 1)) return false;
        g->chi[y] = i % 2 ? -1 : 1;
    }
    return y == 1;
}

/* Entry of the bordered matrix S; row and column 0 are the border. */
static int bordered(const galois *g, int row, int column)
{
    if (row == 0 && column == 0) return 0;
    if (row == 0) return 1;
    if (column == 0) return g->q % 4 == 3 ? -1 : 1;
    return g->chi[subtract(g, row - 1, column - 1, 1)];
}

static bool field_of_order(int order, galois *g)
{
    if (order < 4 || order > WALSH_PALEY_MAX || order % 4) return false;
    return prime_power(order - 1, g) || (prime_power(order / 2 - 1, g) && g->q % 4 == 1);
}

bool walsh_paley_exists(int order)
{
    galois g;
    return field_of_order(order, &g);
}

walsh_status walsh_paley(int order, float *h)
{
    galois g;
    if (!field_of_order(order, &g))
        WALSH_FAIL(WALSH_E_ARGUMENT, "no Paley matrix of order %d, expected 12, 20, 28, 36, 44, 52, 60 or the like",
                   order);
    int low = 1;
    while (!characters(&g, low)) low++;
    static const int outer[2][2] = {{1, 1}, {1, -1}}, inner[2][2] = {{1, -1}, {-1, -1}};
    for (int i = 0; i < order; i++)
        for (int j = 0; j < order; j++) {
            int one = g.q == order - 1
                          ? bordered(&g, i, j) + (i == j)
                          : bordered(&g, i / 2, j / 2) * outer[i % 2][j % 2] + (i / 2 == j / 2) * inner[i % 2][j % 2];
            h[i * order + j] = (float)one;
        }
    return WALSH_OK;
}
