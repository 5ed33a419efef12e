/* The matrix product of packed panels, a variant of walsh_gemm (gemm.h). */
#ifndef WALSH_ENGINE_OP_GEMM_PACKED_H
#define WALSH_ENGINE_OP_GEMM_PACKED_H

#include "engine/op/gemm.h"

/* For CPUs, and preferred there. Where rows of C are many it packs B once, into a workspace of at most 16 MiB. */
extern const walsh_variant walsh_gemm_packed;

#endif
