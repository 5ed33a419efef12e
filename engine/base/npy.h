/* NumPy's .npy files, format version 1.0: float32 arrays in C order, written in parts. */
#ifndef WALSH_ENGINE_BASE_NPY_H
#define WALSH_ENGINE_BASE_NPY_H

#include <stddef.h>
#include <walsh/status.h>

enum { WALSH_NPY_RANK = 32 }; /* NumPy reads no more dimensions */

typedef struct walsh_npy walsh_npy;

/* Begins a file that will replace PATH when it is finished (engine/base/file.h). `shape` has `rank` lengths; rank 0 is
 * a scalar. Fails with WALSH_E_ARGUMENT for a rank out of range or a shape whose bytes overflow size_t, WALSH_E_FILE
 * where the file cannot be created; then *npy is NULL. */
walsh_status walsh_npy_begin(const char *path, int rank, const size_t *shape, walsh_npy **npy);

/* Appends `count` rows: slices along the first dimension, each of shape[1] * shape[2] * ... floats; a scalar is one row
 * of one. Fails with WALSH_E_ARGUMENT if that is more than the shape holds. After a failure, abandon. */
walsh_status walsh_npy_rows(walsh_npy *npy, const float *data, size_t count);

/* Puts the file in place and frees *npy, setting it to NULL. Fails with WALSH_E_ARGUMENT if rows are missing; then, as
 * after any failure, PATH is as it was. */
walsh_status walsh_npy_finish(walsh_npy **npy);

/* Drops the unfinished file, frees *npy and sets it to NULL; NULL is accepted. */
void walsh_npy_abandon(walsh_npy **npy);

#endif
