/* Wisdom: which variant was measured to be the fastest for which problem, on one device and driver. A run consults it,
 * and never changes it by itself, so that a run's numbers are a function of its inputs and the wisdom file. */
#ifndef WALSH_ENGINE_OP_WISDOM_H
#define WALSH_ENGINE_OP_WISDOM_H

#include "engine/op/op.h"

typedef struct walsh_wisdom walsh_wisdom;

walsh_status walsh_wisdom_create(walsh_wisdom **wisdom);

/* The name of the variant for a problem, or NULL where nothing is known. */
const char *walsh_wisdom_find(const walsh_wisdom *wisdom, const walsh_op *op, const void *problem);

/* The variant that `wisdom` (NULL: nothing is known) names for a problem, where it still may be used; else the rule's.
 */
walsh_status walsh_wisdom_choose(const walsh_wisdom *wisdom, const walsh_device *device, const walsh_op *op,
                                 const void *problem, const walsh_variant **variant);

/* Remembers (or replaces) the variant for a problem. */
walsh_status walsh_wisdom_set(walsh_wisdom *wisdom, const walsh_op *op, const void *problem, const char *variant);

/* Number of problems known. */
size_t walsh_wisdom_count(const walsh_wisdom *wisdom);

/* As text, a line a problem: "OPERATION PROBLEM-IN-HEX VARIANT", sorted, which the caller frees; and back, adding to
 * what is known. WALSH_E_FORMAT, naming `source`, where a line cannot be read. */
walsh_status walsh_wisdom_text(const walsh_wisdom *wisdom, char **text);
walsh_status walsh_wisdom_parse(walsh_wisdom *wisdom, const char *text, const char *source);

/* The wisdom kept for a device below walsh_cache_folder(); empty where there is none or where it cannot be used, which
 * is logged. */
walsh_status walsh_wisdom_load(const walsh_device *device, walsh_wisdom **wisdom);

/* Keeps it, replacing the file atomically. */
walsh_status walsh_wisdom_save(const walsh_device *device, const walsh_wisdom *wisdom);

void walsh_wisdom_destroy(walsh_wisdom **wisdom);

#endif
