#include "engine/base/npy.h"

#include "engine/base/file.h"
#include "engine/base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is written as the machine's");

struct walsh_npy {
    walsh_file_writer *writer;
    size_t rows, written; /* expected, and so far */
    size_t row_bytes;
    char path[];
};

/* Preamble and header: magic, version, length, and a Python dictionary padded by spaces, so that the data begins at a
 * multiple of 64 bytes. */
static walsh_status write_header(walsh_file_writer *writer, int rank, const size_t *shape)
{
    enum { PREAMBLE = 10, ALIGNMENT = 64 };
    char header[1024]; /* the longest: 32 lengths of 20 digits, each with ", ", and 60 characters around them */
    size_t length = PREAMBLE;
    length += (size_t)sprintf(header + length, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int i = 0; i < rank; i++) length += (size_t)sprintf(header + length, i ? ", %zu" : "%zu", shape[i]);
    length += (size_t)sprintf(header + length, rank == 1 ? ",), }" : "), }");
    size_t padded = (length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset(header + length, ' ', padded - length);
    header[padded - 1] = '\n';
    uint16_t text = (uint16_t)(padded - PREAMBLE);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    memcpy(header + 8, &text, sizeof text);
    return walsh_file_write(writer, header, padded);
}

walsh_status walsh_npy_begin(const char *path, int rank, const size_t *shape, walsh_npy **npy)
{
    *npy = NULL;
    if (rank < 0 || rank > WALSH_NPY_RANK)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: expected 0 to %d dimensions, found %d", path, WALSH_NPY_RANK, rank);
    size_t row_bytes = sizeof(float), bytes;
    size_t rows = rank ? shape[0] : 1;
    for (int i = 1; i < rank; i++)
        if (__builtin_mul_overflow(row_bytes, shape[i], &row_bytes))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: an array of this shape does not fit into memory", path);
    if (__builtin_mul_overflow(row_bytes, rows, &bytes))
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: an array of %zu rows of %zu bytes does not fit into memory", path, rows,
                   row_bytes);
    walsh_npy *n;
    WALSH_TRY(walsh_alloc(&n, 1, sizeof *n + strlen(path) + 1, path));
    strcpy(n->path, path);
    n->rows = rows;
    n->row_bytes = row_bytes;
    walsh_status status = walsh_file_begin(path, &n->writer);
    if (!status) status = write_header(n->writer, rank, shape);
    if (status)
        walsh_npy_abandon(&n);
    else
        *npy = n;
    return status;
}

walsh_status walsh_npy_rows(walsh_npy *npy, const float *data, size_t count)
{
    if (count > npy->rows - npy->written)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: expected %zu rows, found %zu more after %zu", npy->path, npy->rows, count,
                   npy->written);
    WALSH_TRY(walsh_file_write(npy->writer, data, count * npy->row_bytes));
    npy->written += count;
    return WALSH_OK;
}

walsh_status walsh_npy_finish(walsh_npy **npy)
{
    walsh_npy *n = *npy;
    walsh_status status;
    if (n->written == n->rows)
        status = walsh_file_commit(&n->writer);
    else
        status = walsh_fail(WALSH_E_ARGUMENT, "%s: expected %zu rows, found %zu", n->path, n->rows, n->written);
    walsh_npy_abandon(npy);
    return status;
}

void walsh_npy_abandon(walsh_npy **npy)
{
    if (!*npy) return;
    walsh_file_abandon(&(*npy)->writer);
    free(*npy);
    *npy = NULL;
}
