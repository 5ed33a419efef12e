/* Defects and peculiarities of OpenCL drivers, and what is done about each: the one place to look, and to add to. Those
 * that a driver's name is needed for are the flags; the rest is asked of the device, or avoided for all.
 *
 * POCL (3.1)
 *   keeps compiled kernels itself, and compiles a second time when asked for a program's binary: QUIRK_CACHES;
 *   compiles one kernel at a time in a process, whatever contexts and threads it has, and one for a local size (and for
 *   65535 work-items or more a dimension) when it is first enqueued: QUIRK_COMPILES_ALONE, ahead.h;
 *   counts 2^64 work-groups as none, and compiles for them without running anything: compiler.c lives on it;
 *   lets go of its last event after clFinish has returned, and reads the sub-device as it does: device.c waits;
 *   leaves mad() a multiply and an addition, and emits nothing for prefetch(): kernels say a*b + c, and walsh.clh takes
 *   Clang's builtin;
 *   code depends on the local size and on a global offset being zero: lists give the one and never have the other.
 * rusticl (Mesa 22.3, llvmpipe)
 *   is a CPU device that vectorises over work-items, and takes minutes to compile a kernel that holds a thousand values
 *   in a private array, as those for CPUs do: QUIRK_AS_GPU;
 *   answers 32 to CL_KERNEL_WORK_GROUP_SIZE and runs groups of 256: list.c lets the enqueueing decide;
 *   crashes in clCreateSubDevices, which it does not support: device.c asks what divisions there are;
 *   ends the process over Clang's builtin for prefetching, as what goes by way of SPIR-V may: walsh.clh;
 *   ends the process over a count in `#pragma unroll 2`: QUIRK_NO_UNROLL_COUNTS;
 *   multiplies and adds apart: tolerances of tests allow for two roundings.
 * Intel's runtime for CPUs (2026.2)
 *   comes with a second platform, an FPGA emulator: discover.c lists it, and the first CPU is used by default;
 *   takes half a second and more to compile a program, and keeps none: program.c's cache does.
 * Oclgrind (21.10)
 *   is CPU, GPU and accelerator at once: taken for a GPU;
 *   takes a question about an extension that it has not for an error, as it may: device.c asks for the extension first;
 *   crashes in its own check of uninitialised values (in Uninitialized::instructionExecuted) where a shufflevector's
 *   mask has an undef, which it takes for element 2^32 - 1, and takes element 11 for undef: Clang makes the one of a
 *   vector literal of vectors, (float8)(a, b), and the other of .hi of 16 elements, so that kernels assign to .lo and .hi
 *   instead, or store 16 elements (CLBlast's do not: tools/runtimes.sh runs these without the check);
 *   takes what clEnqueueFillBuffer has set for uninitialised: QUIRK_BLIND_TO_FILLS;
 *   refuses `freeze` and noalias.scope.decl, which its own optimiser makes: tools/runtimes.sh compiles without it.
 * CLBlast (1.5.3)
 *   first calls from several threads race: they come from the one thread that runs the list. */
#ifndef WALSH_ENGINE_DEVICE_QUIRKS_H
#define WALSH_ENGINE_DEVICE_QUIRKS_H

enum {
    WALSH_QUIRK_CACHES = 1,           /* the driver keeps compiled kernels itself */
    WALSH_QUIRK_AS_GPU = 2,           /* kernels are to be laid out as for a GPU, although it is a CPU */
    WALSH_QUIRK_BLIND_TO_FILLS = 4,   /* buffers are to be written and not filled */
    WALSH_QUIRK_NO_UNROLL_COUNTS = 8, /* how far to unroll loops is left to the driver */
    WALSH_QUIRK_COMPILES_ALONE = 16,  /* one kernel at a time in a process, and some only when they are enqueued */
};

/* The flags of a platform, by its name. */
unsigned walsh_quirks(const char *platform);

#endif
