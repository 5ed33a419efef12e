/* The matrix product by CLBlast, a variant of walsh_gemm (gemm.h). */
#ifndef WALSH_ENGINE_OP_GEMM_CLBLAST_H
#define WALSH_ENGINE_OP_GEMM_CLBLAST_H

#include "engine/op/gemm.h"

/* Tuned for about 180 GPUs, so preferred there but for tiny products. Not tuned for any CPU runtime, where it compiles
 * for ten seconds at its first call and is several times slower than the engine's own: never chosen there by rule. */
extern const walsh_variant walsh_gemm_clblast;

#endif
