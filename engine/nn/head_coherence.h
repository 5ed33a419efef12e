#ifndef WALSH_ENGINE_NN_HEAD_COHERENCE_H
#define WALSH_ENGINE_NN_HEAD_COHERENCE_H

#include <walsh/head.h>

/* Fills what a report says about cosines between rows and about identical ones; the report was zeroed. */
walsh_status walsh_head_coherence(const walsh_head_spec *spec, walsh_head_report *report);

#endif
