/* The files of engine/data/sample within the library; each ends where its _end lies. */
#ifndef WALSH_ENGINE_DATA_SAMPLE_H
#define WALSH_ENGINE_DATA_SAMPLE_H

#include <stdint.h>

extern const uint8_t walsh_sample_train[], walsh_sample_train_end[];
extern const uint8_t walsh_sample_test[], walsh_sample_test_end[];
extern const uint8_t walsh_sample_names[], walsh_sample_names_end[];

#endif
