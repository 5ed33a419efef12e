/* What the machine gives to this process. */
#ifndef WALSH_ENGINE_BASE_HOST_H
#define WALSH_ENGINE_BASE_HOST_H

#include <stdint.h>

/* Bytes of main memory that it may use at most: the machine's, or what its control group (a container) allows. */
uint64_t walsh_host_memory(void);

#endif
