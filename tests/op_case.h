/* One operation under test: its operands in device memory with guard pitches, run through every variant that applies.
 */
#ifndef WALSH_TESTS_OP_CASE_H
#define WALSH_TESTS_OP_CASE_H

#include "tests/check.h"

#include "engine/op/plan.h"

typedef struct op_case {
    walsh_device *device;
    const walsh_op *op;
    const void *problem;                      /* the caller's, must outlive the case */
    walsh_tensor *tensor[WALSH_MAX_OPERANDS]; /* NULL where absent */
} op_case;

/* The device that every check uses: $WALSH_DEVICE or the default. Opened once, closed by op_device_close. */
walsh_device *op_device(void);
int op_device_close(void **state);

/* Allocates every operand with `extra` more lanes of pitch than needed (a multiple of 4), so that views are tested.
 * The extra lanes hold NaN: reading them shows, and writing them is found by op_case_get. */
void op_case_open(op_case *c, const walsh_op *op, const void *problem, int extra);

/* The same on a device of the caller's. */
void op_case_open_on(op_case *c, walsh_device *device, const walsh_op *op, const void *problem, int extra);

/* Lets `operand` share the memory of `other`, for operations that work in place. */
void op_case_alias(op_case *c, int operand, int other);

/* Number of logical elements of an operand (pad lanes not counted). */
size_t op_case_count(const op_case *c, int operand);

/* Uploads dense logical values; or uniform values in [-1, 1) drawn from `seed`, which are also written to dense. */
void op_case_set(op_case *c, int operand, const float *dense);
void op_case_random(op_case *c, int operand, uint64_t seed, float *dense);

/* Uploads raw elements of an operand that is not float32. */
void op_case_set_raw(op_case *c, int operand, const void *elements);

/* Fills an output with NaN, pad lanes included, so that what is not written shows. */
void op_case_poison(op_case *c, int operand);

/* Whether to leave this case out. $WALSH_TEST_WORK limits the operations and bytes of a case, for devices that are slow
 * to test on: then the process tries a kernel, as compiled with some options, on cases that are each several times as
 * large as the last. The first may be beyond the limit, since some kernels are for large ones alone, but not beyond a
 * second number behind a blank. A case is left out where that says so for every launch of `variant` (NULL: of every
 * one). Unset or empty: no case is. */
bool op_case_left_out(const walsh_op *op, const walsh_variant *variant, const void *problem);

/* Whether cases are left out: for tests that are slow by themselves, and reach nothing that no other does. */
bool op_cases_are_few(void);

/* Whether the device can be opened with fewer threads than it has. */
bool op_device_divides(void);

/* Runs one variant; fails the test with its message if it cannot. */
void op_case_run(op_case *c, const walsh_variant *variant);

/* Downloads dense values, and checks that pad lanes are zero and extra lanes untouched. */
void op_case_get(op_case *c, int operand, float *dense);

void op_case_close(op_case *c);

/* Largest |got - want| over the largest |want|. */
double op_error(const float *got, const double *want, size_t count);

/* Allocates `count` floats or doubles for a test; never returns NULL. */
float *op_floats(size_t count);
double *op_doubles(size_t count);

#endif
