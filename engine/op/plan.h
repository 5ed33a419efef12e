/* Plans: operations on values, for which variants are chosen and memory is laid out once, and which then only replay.
 *
 * Use: create; bind what lives outside (parameters, images), name values, add operations in order of execution;
 * walsh_plan_layout; once all plans that share the arena are laid out, walsh_arena_commit and walsh_plan_emit; then
 * walsh_plan_run as often as wanted.
 *
 * Building does not need an error check a line: the first failure is kept, later calls do nothing, walsh_plan_layout
 * reports it. */
#ifndef WALSH_ENGINE_OP_PLAN_H
#define WALSH_ENGINE_OP_PLAN_H

#include "engine/op/arena.h"
#include "engine/op/wisdom.h"

typedef struct walsh_plan walsh_plan;
typedef int walsh_value;      /* number of a tensor in a plan */
enum { WALSH_NO_VALUE = -1 }; /* an absent optional operand */

walsh_status walsh_plan_create(walsh_device *device, walsh_plan **plan);

walsh_device *walsh_plan_device(const walsh_plan *plan);

/* Operations added from now on take the variants that `wisdom` names, where they still may, else the rule's. It must
 * outlive the building of the plan. */
void walsh_plan_consult(walsh_plan *plan, const walsh_wisdom *wisdom);

/* A value whose memory lives outside the plan and longer than it. */
walsh_value walsh_plan_bind(walsh_plan *plan, const walsh_view *view);

/* The same, and its content changes only between runs, if at all. Operations on constants alone, and what variants make
 * of constants alone (walsh_variant.pack), run once, before the first run; what they write is constant too, and keeps
 * its memory in the arena. Nothing else may write into it. */
walsh_value walsh_plan_bind_constant(walsh_plan *plan, const walsh_view *view);

/* A value in the arena: its memory is its own from the first to the last operation that names it, so its content does
 * not survive a run. */
walsh_value walsh_plan_value(walsh_plan *plan, walsh_shape shape);

/* Channels [first, first + c) of every pixel of another value, first being a multiple of 4: the same memory, which
 * lives as long as any of its parts. */
walsh_value walsh_plan_slice(walsh_plan *plan, walsh_value of, int first, int c);

/* Whether two values share memory: the same one, or slices that meet. */
bool walsh_plan_overlap(const walsh_plan *plan, walsh_value a, walsh_value b);

walsh_shape walsh_plan_shape(const walsh_plan *plan, walsh_value value);

/* Appends an operation. `label` names it in profiles (layer's name); `operands` as in op->operands. */
void walsh_plan_add(walsh_plan *plan, const char *label, const walsh_op *op, const void *problem,
                    const walsh_value *operands);

/* Operations added from now on read a value, which is then not written any more, as float16 has it: where there are
 * any, it is packed behind the last operation so far that uses it, and unpacked before the first of them, so that in
 * between it takes half the memory. What it is a slice of goes with it. Not for what is bound or constant, which stays.
 */
void walsh_plan_store_half(walsh_plan *plan, walsh_value value);

/* One operation as it was added, with the variant that was chosen for it; valid while the plan lives. */
typedef struct walsh_planned {
    const char *label;
    const walsh_op *op;
    const void *problem;
    const walsh_variant *variant;
} walsh_planned;

/* The operations in order of execution: how many, and the one at `index`. */
int walsh_plan_count(const walsh_plan *plan);
walsh_planned walsh_plan_at(const walsh_plan *plan, int index);

/* Records a failure of whoever builds the plan, as if an operation had failed; the thread's message is kept. */
void walsh_plan_fail(walsh_plan *plan, walsh_status status);

/* Places values and workspaces in the arena. Reports the first failure since creation. */
walsh_status walsh_plan_layout(walsh_plan *plan, walsh_arena *arena);

/* Makes the launches; the arena must be committed. */
walsh_status walsh_plan_emit(walsh_plan *plan, const walsh_arena *arena);

/* The same for several plans of one arena, whose kernels are then compiled at once where that is of use. */
walsh_status walsh_plans_emit(walsh_plan *const *plans, size_t count, const walsh_arena *arena);

/* What depends on constants alone runs again before the next run: constants have changed, or another plan that shares
 * the arena has run. */
void walsh_plan_renew(walsh_plan *plan);

/* Enqueues the whole plan without waiting. */
walsh_status walsh_plan_run(walsh_plan *plan);

/* Where a value lies; after walsh_plan_emit. */
walsh_view walsh_plan_view(const walsh_plan *plan, walsh_value value);

/* The launches of a run, or those before the first one; each labelled once for every operation. After walsh_plan_emit.
 */
const walsh_list *walsh_plan_launches(const walsh_plan *plan, bool once);

/* What lies in the arena: who writes it first. */
typedef struct walsh_plan_block {
    const char *layer, *operation, *operand; /* the last: "workspace" for one; valid while the plan lives */
    walsh_block block;                       /* its steps: indices of operations, to INT_MAX where it is kept */
} walsh_plan_block;

/* An array of all blocks, which the caller frees with free(); after walsh_plan_layout. */
walsh_status walsh_plan_blocks(const walsh_plan *plan, walsh_plan_block **blocks, size_t *count);

/* Adds the plan's choices to `wisdom`: consulting it later repeats them. */
walsh_status walsh_plan_choices(const walsh_plan *plan, walsh_wisdom *wisdom);

/* See walsh_list_profile; what depends on constants alone is of the phase "preparation". */
walsh_status walsh_plan_profile(const walsh_plan *plan, const char *phase, walsh_profile_line **lines, size_t *count);

void walsh_plan_destroy(walsh_plan **plan);

#endif
